// attribution: results of sets of edits -> what each edit gives.
#include "core/study/attribution.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <map>
#include <set>

#include "core/support/diagnostics.h"

namespace expgraph {
namespace {

constexpr double kMissing = std::numeric_limits<double>::quiet_NaN();
constexpr size_t kMostInteractions = 5;

/// Squared standard error of a mean, and its degrees of freedom.
struct MeanError {
  double variance = 0;
  double degrees = 0;
};

MeanError error_of(const std::vector<double>& means) {
  const Summary summary = summarise(means);
  if (summary.n < 2) return {};
  return {summary.deviation * summary.deviation / summary.n, double(summary.n - 1)};
}

Coalition with(Coalition set, int edit) {
  set.insert(std::lower_bound(set.begin(), set.end(), edit), edit);
  return set;
}

/// Values of one figure: by set, one a seed.
class Values {
 public:
  Values(const StudyResult& result, const std::vector<int64_t>& seeds,
         const std::function<double(const RunRecord&)>& figure) {
    for (const VariantResult& variant : result.variants) {
      std::vector<double> values(seeds.size(), kMissing);
      for (const SeedResult& run : variant.runs) {
        const auto place = std::find(seeds.begin(), seeds.end(), run.seed);
        if (run.record) values[static_cast<size_t>(place - seeds.begin())] = figure(*run.record);
      }
      values_[*variant.coalition] = std::move(values);
    }
    seeds_ = seeds.size();
  }

  bool has(const Coalition& set) const { return values_.contains(set); }

  /// Of `more` beyond `less`, one a seed; NaN where a run is missing.
  std::vector<double> change(const Coalition& less, const Coalition& more) const {
    std::vector<double> out(seeds_, kMissing);
    const auto from = values_.find(less);
    const auto to = values_.find(more);
    if (from == values_.end() || to == values_.end()) return out;
    for (size_t k = 0; k < seeds_; ++k) out[k] = to->second[k] - from->second[k];
    return out;
  }

 private:
  std::map<Coalition, std::vector<double>> values_;
  size_t seeds_ = 0;
};

Interval over_seeds(std::vector<double> values) {
  std::erase_if(values, [](double value) { return std::isnan(value); });
  return confidence_interval(values);
}

Coalition all_of(size_t edits) {
  Coalition all(edits);
  for (size_t k = 0; k < edits; ++k) all[k] = static_cast<int>(k);
  return all;
}

Interval shapley_of(int edit, const Values& values, const AttributionPlan& plan) {
  std::vector<std::vector<double>> samples;
  for (const std::vector<int>& order : plan.orders) {
    Coalition before;
    for (const int other : order) {
      if (other == edit) break;
      before = with(std::move(before), other);
    }
    samples.push_back(values.change(before, with(before, edit)));
  }
  return two_way_interval(samples, plan.exact);
}

/// On top of every set of which all four corners were run.
Interval interaction_of(int a, int b, const Values& values, const std::set<Coalition>& sets) {
  std::vector<std::vector<double>> samples;
  for (const Coalition& set : sets) {
    const auto lacks = [&](int edit) { return !std::binary_search(set.begin(), set.end(), edit); };
    if (!lacks(a) || !lacks(b)) continue;
    const Coalition with_a = with(set, a), with_b = with(set, b), both = with(with_a, b);
    if (!values.has(with_a) || !values.has(with_b) || !values.has(both)) continue;
    std::vector<double> together = values.change(with_b, both);
    const std::vector<double> apart = values.change(set, with_a);
    for (size_t k = 0; k < together.size(); ++k) together[k] -= apart[k];
    samples.push_back(std::move(together));
  }
  return two_way_interval(samples, false);
}

Attribution attribute_figure(const StudyResult& result, const Values& values) {
  const AttributionPlan& plan = *result.attribution;
  const size_t edits = plan.edits.size();
  const Coalition all = all_of(edits);
  std::set<Coalition> sets;
  for (const VariantResult& variant : result.variants) sets.insert(*variant.coalition);
  Attribution out{.edits = std::vector<EditEffect>(edits),
                  .whole = over_seeds(values.change({}, all))};
  for (size_t k = 0; k < edits; ++k) {
    const int edit = static_cast<int>(k);
    const Coalition before = all_of(k);
    Coalition without = all;
    without.erase(without.begin() + edit);
    EditEffect& effect = out.edits[k];
    effect.ladder = over_seeds(values.change(before, with(before, edit)));
    effect.alone = over_seeds(values.change({}, {edit}));
    effect.left_in = over_seeds(values.change(without, all));
    effect.shapley = shapley_of(edit, values, plan);
    out.shapley_sum += effect.shapley.mean;
    for (const VariantResult& variant : result.variants) {
      effect.inapplicable += static_cast<int>(
          std::count(variant.inapplicable.begin(), variant.inapplicable.end(), edit));
    }
    for (int other = edit + 1; other < static_cast<int>(edits); ++other) {
      const Interval interaction = interaction_of(edit, other, values, sets);
      if (interaction.n > 0) out.interactions.push_back({edit, other, interaction});
    }
  }
  std::stable_sort(out.interactions.begin(), out.interactions.end(),
                   [](const Interaction& x, const Interaction& y) {
                     return std::abs(x.effect.mean) > std::abs(y.effect.mean);
                   });
  if (out.interactions.size() > kMostInteractions) out.interactions.resize(kMostInteractions);
  return out;
}

}  // namespace

Interval two_way_interval(const std::vector<std::vector<double>>& samples, bool exact) {
  std::vector<std::vector<double>> whole;
  for (const std::vector<double>& unit : samples) {
    const bool missing =
        std::any_of(unit.begin(), unit.end(), [](double value) { return std::isnan(value); });
    if (!missing) whole.push_back(unit);
  }
  Interval out{.n = static_cast<int>(whole.size())};
  if (whole.empty()) return out;
  std::vector<double> by_unit, by_seed(whole.front().size(), 0.0);
  for (const std::vector<double>& unit : whole) {
    by_unit.push_back(summarise(unit).mean);
    for (size_t k = 0; k < unit.size(); ++k) by_seed[k] += unit[k] / double(whole.size());
  }
  out.mean = summarise(by_unit).mean;
  MeanError units = error_of(by_unit);
  if (exact && whole.size() == samples.size()) units = {};
  const MeanError seeds = error_of(by_seed);
  const double variance = units.variance + seeds.variance;
  if (variance <= 0) return out;
  double weights = 0;
  for (const MeanError& part : {units, seeds}) {
    if (part.degrees > 0) weights += part.variance * part.variance / part.degrees;
  }
  out.half_width = student_t_quantile(0.975, variance * variance / weights) * std::sqrt(variance);
  return out;
}

AttributionTable attribute(const StudyResult& result) {
  if (!result.attribution) {
    throw Error(fmt::format("'{}' was not run for attribution", result.study), {}, ExitCode::usage)
        .note("'expgraph run FILE --attribute N' runs the sets of edits that it needs");
  }
  std::vector<int64_t> seeds;
  const RunRecord* any = nullptr;
  for (const VariantResult& variant : result.variants) {
    for (const SeedResult& run : variant.runs) {
      if (std::find(seeds.begin(), seeds.end(), run.seed) == seeds.end()) seeds.push_back(run.seed);
      if (run.record) any = &*run.record;
    }
  }
  AttributionTable out{.study = result.study,
                       .profile = result.profile,
                       .backend = result.backend,
                       .edits = result.attribution->edits,
                       .orders = static_cast<int>(result.attribution->orders.size()),
                       .exact = result.attribution->exact,
                       .sets = static_cast<int>(result.variants.size()),
                       .seeds = static_cast<int>(seeds.size())};
  if (any == nullptr) return out;
  const MetricInfo& metric = any->metrics[any->main_metric()];
  const Values metrics(result, seeds, [](const RunRecord& record) {
    return record.history.back().metrics[record.main_metric()];
  });
  const Values times(result, seeds, [](const RunRecord& record) {
    return record.timed ? record.clocks.training() : kMissing;
  });
  out.figures = {attribute_figure(result, metrics), attribute_figure(result, times)};
  out.figures[0].figure = metric.name;
  out.figures[0].percent = metric.percent;
  out.figures[1].figure = "seconds";
  return out;
}

}  // namespace expgraph
