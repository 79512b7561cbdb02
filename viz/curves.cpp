// curves: the results of a study -> plots of metrics and learning rate over epochs and seconds.
#include "viz/curves.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <set>

#include "core/study/statistics.h"

namespace expgraph {
namespace {

constexpr size_t kMostLines = 12;
constexpr std::string_view kRate = "learning rate";

/// The value of an epoch: a metric's by name (a share of samples in percent), or the learning rate.
std::optional<double> value_of(const RunRecord& record, const EpochRecord& epoch,
                               std::string_view what) {
  if (what == kRate) return epoch.learning_rate;
  for (size_t k = 0; k < record.metrics.size(); ++k) {
    if (record.metrics[k].name != what) continue;
    const double value = epoch.metrics[k] * (record.metrics[k].percent ? 100 : 1);
    return std::isfinite(value) ? std::optional(value) : std::nullopt;
  }
  return std::nullopt;
}

const RunRecord* first_record(const VariantResult& variant) {
  for (const SeedResult& run : variant.runs) {
    if (run.record) return &*run.record;
  }
  return nullptr;
}

Plot::Line line_of(const VariantResult& variant, std::string_view what, bool over_seconds,
                   std::string name) {
  Plot::Line line{.name = std::move(name), .points = {}};
  size_t epochs = 0;
  for (const SeedResult& run : variant.runs) {
    if (run.record) epochs = std::max(epochs, run.record->history.size());
  }
  for (size_t k = 0; k < epochs; ++k) {
    std::vector<double> values, seconds;
    for (const SeedResult& run : variant.runs) {
      if (!run.record || k >= run.record->history.size()) continue;
      const EpochRecord& epoch = run.record->history[k];
      const std::optional<double> value = value_of(*run.record, epoch, what);
      if (!value) continue;
      values.push_back(*value);
      seconds.push_back(epoch.seconds);
    }
    if (values.empty()) continue;
    const Summary summary = summarise(values);
    line.points.push_back({.x = over_seconds ? summarise(seconds).mean : double(k + 1),
                           .y = summary.mean,
                           .low = summary.mean - summary.deviation,
                           .high = summary.mean + summary.deviation});
  }
  return line;
}

/// Names of all metrics, those of the test first, then the learning rate; and which are shares.
std::vector<std::string> what_to_plot(const StudyResult& result, std::set<std::string>& percent) {
  std::vector<std::string> names;
  for (const VariantResult& variant : result.variants) {
    const RunRecord* record = first_record(variant);
    if (record == nullptr) continue;
    const std::string& main = record->metrics[record->main_metric()].name;
    if (names.empty()) names.push_back(main);
    for (auto metric = record->metrics.rbegin(); metric != record->metrics.rend(); ++metric) {
      if (metric->percent) percent.insert(metric->name);
      const bool known = std::find(names.begin(), names.end(), metric->name) != names.end();
      if (!known) names.push_back(metric->name);
    }
  }
  if (!names.empty()) names.emplace_back(kRate);
  return names;
}

double final_value(const VariantResult& variant) {
  const RunRecord* record = first_record(variant);
  const std::string& main = record->metrics[record->main_metric()].name;
  return line_of(variant, main, false, "").points.back().y;
}

/// The first, the last and the best of those that have a finished run.
std::vector<const VariantResult*> variants_to_show(const StudyResult& result, size_t& finished) {
  std::vector<const VariantResult*> all;
  for (const VariantResult& variant : result.variants) {
    const RunRecord* record = first_record(variant);
    if (record == nullptr || record->history.empty()) continue;
    const std::string& main = record->metrics[record->main_metric()].name;
    if (!line_of(variant, main, false, "").points.empty()) all.push_back(&variant);
  }
  finished = all.size();
  if (all.size() <= kMostLines) return all;
  const RunRecord* record = first_record(*all.front());
  const bool more_is_better = record->metrics[record->main_metric()].percent;
  std::vector<std::pair<double, size_t>> ranked;
  for (size_t i = 1; i + 1 < all.size(); ++i) {
    ranked.emplace_back(final_value(*all[i]) * (more_is_better ? -1 : 1), i);
  }
  std::sort(ranked.begin(), ranked.end());
  std::set<size_t> chosen = {0, all.size() - 1};
  for (const auto& [value, i] : ranked) {
    if (chosen.size() < kMostLines) chosen.insert(i);
  }
  std::vector<const VariantResult*> out;
  for (const size_t i : chosen) out.push_back(all[i]);
  return out;
}

std::string title_of(const VariantResult& variant) {
  return variant.title.empty() ? variant.name : variant.title;
}

/// "test/accuracy" -> "test_accuracy": the name of a file.
std::string file_name(std::string text) {
  for (char& c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte > 0x7f || std::isalnum(byte) == 0) c = '_';
  }
  return text;
}

}  // namespace

StudyPlots study_plots(const StudyResult& result) {
  StudyPlots out;
  std::set<std::string> percent;
  const std::vector<std::string> names = what_to_plot(result, percent);
  const auto shown = variants_to_show(result, out.finished);
  out.shown = shown.size();
  for (const bool over_seconds : {false, true}) {
    for (const std::string& what : names) {
      Plot plot{.title = what,
                .x_label = over_seconds ? "training seconds" : "epoch",
                .y_label = percent.contains(what) ? "%" : "",
                .lines = {}};
      for (const VariantResult* variant : shown) {
        plot.lines.push_back(line_of(*variant, what, over_seconds, title_of(*variant)));
      }
      (over_seconds ? out.seconds : out.epochs)
          .emplace_back(fmt::format("{}-{}", file_name(what), over_seconds ? "seconds" : "epochs"),
                        std::move(plot));
    }
  }
  return out;
}

std::vector<Plot> variant_plots(const StudyResult& result, const VariantResult& variant) {
  const RunRecord* record = first_record(variant);
  if (record == nullptr) return {};
  const MetricInfo& main = record->metrics[record->main_metric()];
  std::vector<Plot> out;
  Plot metric{.title = main.name,
              .x_label = "epoch",
              .y_label = main.percent ? "%" : "",
              .lines = {line_of(variant, main.name, false, title_of(variant))}};
  const VariantResult* base = result.find(variant.base);
  if (base != nullptr && first_record(*base) != nullptr) {
    metric.lines.push_back(line_of(*base, main.name, false, title_of(*base)));
    metric.lines.back().dashed = true;
  }
  out.push_back(std::move(metric));
  Plot losses{.title = "loss", .x_label = "epoch", .y_label = "", .lines = {}};
  for (const MetricInfo& one : record->metrics) {
    if (one.percent || one.name == main.name) continue;
    losses.lines.push_back(line_of(variant, one.name, false, one.name));
  }
  if (!losses.lines.empty()) out.push_back(std::move(losses));
  out.push_back({.title = std::string(kRate),
                 .x_label = "epoch",
                 .y_label = "",
                 .lines = {line_of(variant, kRate, false, title_of(variant))}});
  return out;
}

}  // namespace expgraph
