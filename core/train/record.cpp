// record: what a run measured -> metrics.tsv and DAWNBench's logs.tsv.
#include "core/train/record.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "core/support/diagnostics.h"

namespace expgraph {

size_t RunRecord::main_metric() const {
  EXPGRAPH_CHECK(!metrics.empty());
  const auto of_test = [](const MetricInfo& metric) { return metric.name.starts_with("test/"); };
  auto found = std::find_if(metrics.begin(), metrics.end(), [&](const MetricInfo& metric) {
    return of_test(metric) && metric.percent;
  });
  if (found == metrics.end()) found = std::find_if(metrics.begin(), metrics.end(), of_test);
  return found == metrics.end() ? 0 : static_cast<size_t>(found - metrics.begin());
}

std::optional<size_t> RunRecord::find_metric(std::string_view name) const {
  const auto found = std::find_if(metrics.begin(), metrics.end(),
                                  [&](const MetricInfo& metric) { return metric.name == name; });
  if (found == metrics.end()) return std::nullopt;
  return static_cast<size_t>(found - metrics.begin());
}

std::string metrics_tsv(const RunRecord& record) {
  std::string out = "epoch\tlearning_rate";
  for (const MetricInfo& metric : record.metrics) out += "\t" + metric.name;
  out += "\tseconds\timages_per_second\n";
  for (const EpochRecord& row : record.history) {
    out += fmt::format("{}\t{}", row.epoch, row.learning_rate);
    for (const double value : row.metrics) out += fmt::format("\t{}", value);
    out += fmt::format("\t{:.3f}\t{:.1f}\n", row.seconds, row.images_per_second);
  }
  return out;
}

std::string logs_tsv(const RunRecord& record) {
  const size_t accuracy = record.main_metric();
  if (!record.metrics[accuracy].percent) return "";
  std::string out = "epoch\thours\ttop1Accuracy\n";
  for (const EpochRecord& row : record.history) {
    if (std::isnan(row.metrics[accuracy])) continue;
    out += fmt::format("{}\t{:.8f}\t{:.2f}\n", row.epoch, row.seconds / 3600,
                       100 * row.metrics[accuracy]);
  }
  return out;
}

}  // namespace expgraph
