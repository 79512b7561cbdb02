// expectations: what a study says of its results, and the results -> what does not hold.
#include "core/study/expectations.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <map>

#include "core/study/statistics.h"
#include "core/support/suggest.h"

namespace expgraph {
namespace {

struct Figure {
  const char* name;
  double (*of)(const RunRecord&);
};
constexpr std::array<Figure, 4> kFigures = {{
    {"seconds", [](const RunRecord& record) { return record.clocks.training(); }},
    {"parameters", [](const RunRecord& record) { return double(record.parameters); }},
    {"macs", [](const RunRecord& record) { return double(record.macs); }},
    {"peak_bytes", [](const RunRecord& record) { return double(record.peak_bytes); }},
}};

bool compares(const Expectation& expectation) {
  return expectation.kind != Expectation::Kind::at_least &&
         expectation.kind != Expectation::Kind::at_most;
}

double value_of(const RunRecord& record, const std::string& name) {
  for (const Figure& figure : kFigures) {
    if (name == figure.name) return figure.of(record);
  }
  for (size_t k = 0; k < record.metrics.size(); ++k) {
    if (record.metrics[k].name == name) return record.history.back().metrics[k];
  }
  throw Error(fmt::format("there is no metric '{}'", name));
}

std::map<int64_t, double> values_by_seed(const VariantResult& variant, const std::string& name) {
  std::map<int64_t, double> out;
  for (const SeedResult& run : variant.runs) {
    if (run.record) out[run.seed] = value_of(*run.record, name);
  }
  return out;
}

/// "" when it holds, or cannot be judged yet.
std::string complaint(const Expectation& expectation, const VariantResult& variant,
                      const VariantResult* base) {
  const auto values = values_by_seed(variant, expectation.metric);
  std::vector<double> all;
  for (const auto& [seed, value] : values) all.push_back(value);
  if (all.empty()) return "";
  const double mean = summarise(all).mean;
  const std::string subject =
      fmt::format("{}: {} is {:.6g}", variant.name, expectation.metric, mean);
  if (!compares(expectation)) {
    const bool at_least = expectation.kind == Expectation::Kind::at_least;
    const bool holds = at_least ? mean >= expectation.bound : mean <= expectation.bound;
    if (holds) return "";
    return fmt::format("{}, expected at {} {:.6g}", subject, at_least ? "least" : "most",
                       expectation.bound);
  }
  if (base == nullptr) return "";
  std::vector<double> differences, references;
  for (const auto& [seed, reference] : values_by_seed(*base, expectation.metric)) {
    const auto pair = values.find(seed);
    if (pair == values.end()) continue;
    differences.push_back(pair->second - reference);
    references.push_back(reference);
  }
  if (differences.empty()) return "";
  const Interval change = confidence_interval(differences);
  const double reference = summarise(references).mean;
  const bool same = std::abs(change.mean) <= 0.01 * std::abs(reference) ||
                    (change.n > 1 && std::abs(change.mean) <= change.half_width);
  std::string_view wanted;
  if (expectation.kind == Expectation::Kind::up && !(change.mean > 0)) wanted = "more than";
  if (expectation.kind == Expectation::Kind::down && !(change.mean < 0)) wanted = "less than";
  if (expectation.kind == Expectation::Kind::same && !same) wanted = "the same as";
  if (wanted.empty()) return "";
  return fmt::format("{}, expected {} the {:.6g} of {}", subject, wanted, reference, base->name);
}

}  // namespace

void check_expectations(const Variant& variant, const SideGraphs& train, const SideGraphs* test) {
  std::vector<std::string> names;
  for (const MetricSpec& metric : train.metrics) names.push_back("train/" + metric.name);
  if (test != nullptr) {
    for (const MetricSpec& metric : test->metrics) names.push_back("test/" + metric.name);
  }
  for (const Figure& figure : kFigures) names.emplace_back(figure.name);
  for (const Expectation& expectation : variant.expect) {
    if (std::find(names.begin(), names.end(), expectation.metric) == names.end()) {
      Error error(fmt::format("there is no metric '{}'", expectation.metric), expectation.where);
      const std::string hint = did_you_mean(expectation.metric, names);
      throw hint.empty() ? error : error.note(hint);
    }
  }
}

std::vector<std::string> unmet_expectations(const Study& study, const StudyResult& result) {
  std::vector<std::string> out;
  for (const Variant& variant : study.variants) {
    const VariantResult* own = result.find(variant.name);
    if (own == nullptr) continue;
    for (const Expectation& expectation : variant.expect) {
      std::string text = complaint(expectation, *own, result.find(variant.base));
      if (!text.empty()) out.push_back(std::move(text));
    }
  }
  return out;
}

}  // namespace expgraph
