// table: the results of a study -> rows of numbers side by side, with what they mean.
#include "core/study/table.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

namespace expgraph {
namespace {

/// Text of a study file on one line: control characters would break a row or drive a terminal.
std::string one_line(std::string text) {
  for (char& c : text) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = ' ';
  }
  return text;
}

/// The main metric after the last epoch.
double final_metric(const RunRecord& record) {
  return record.history.back().metrics[record.main_metric()];
}

double training_seconds(const RunRecord& record) { return record.clocks.training(); }

/// Values of finished runs by seed; of times, only those that were taken alone.
std::map<int64_t, double> by_seed(const VariantResult& variant, double (*value)(const RunRecord&),
                                  bool timed_only) {
  std::map<int64_t, double> out;
  for (const SeedResult& run : variant.runs) {
    if (run.record && (run.record->timed || !timed_only)) out[run.seed] = value(*run.record);
  }
  return out;
}

std::vector<double> values_of(const std::map<int64_t, double>& by_seed) {
  std::vector<double> out;
  for (const auto& [seed, value] : by_seed) out.push_back(value);
  return out;
}

/// One difference for each seed that both have.
std::vector<double> paired(const std::map<int64_t, double>& own,
                           const std::map<int64_t, double>& reference) {
  std::vector<double> out;
  for (const auto& [seed, value] : own) {
    const auto pair = reference.find(seed);
    if (pair != reference.end()) out.push_back(value - pair->second);
  }
  return out;
}

/// Whether each epoch's value is known.
bool is_measured(const RunRecord& record, size_t metric) {
  return std::none_of(record.history.begin(), record.history.end(),
                      [&](const EpochRecord& row) { return std::isnan(row.metrics[metric]); });
}

std::optional<TimeTo> time_to(const VariantResult& variant, const Condition& target) {
  TimeTo out;
  std::vector<double> seconds;
  for (const SeedResult& run : variant.runs) {
    if (!run.error.empty()) ++out.runs;
    if (!run.record) continue;
    const auto metric = run.record->find_metric(target.metric);
    if (!metric || !is_measured(*run.record, *metric)) continue;
    ++out.runs;
    const auto& history = run.record->history;
    const auto first = std::find_if(history.begin(), history.end(), [&](const EpochRecord& row) {
      return target.holds(row.metrics[*metric]);
    });
    if (first == history.end()) continue;
    ++out.reached;
    if (run.record->timed) seconds.push_back(first->seconds);
  }
  if (out.runs == 0) return std::nullopt;
  out.seconds = summarise(seconds);
  return out;
}

bool same_programs(const VariantResult& a, const VariantResult& b) {
  const std::string& first = a.same_as.empty() ? a.name : a.same_as;
  return first == (b.same_as.empty() ? b.name : b.same_as);
}

TableRow make_row(const VariantResult& variant, const VariantResult* base,
                  const std::optional<Condition>& target) {
  TableRow row{.name = variant.name,
               .title = one_line(variant.title.empty() ? variant.name : variant.title),
               .base = variant.base,
               .same_as = variant.same_as};
  for (const SeedResult& run : variant.runs) {
    if (!run.error.empty()) ++row.failed;
    if (!run.record) continue;
    row.parameters = run.record->parameters;
    row.macs = run.record->macs;
    row.peak_bytes = run.record->peak_bytes;
  }
  const auto seconds = by_seed(variant, training_seconds, true);
  const auto metric = by_seed(variant, final_metric, false);
  row.seconds = summarise(values_of(seconds));
  row.metric = summarise(values_of(metric));
  if (target) row.time_to = time_to(variant, *target);
  if (base == nullptr) return row;
  row.no_op = same_programs(variant, *base);
  const auto changes = paired(metric, by_seed(*base, final_metric, false));
  if (!changes.empty()) {
    row.change = Comparison{confidence_interval(changes), std::nullopt, std::nullopt};
    // What is proved to be the same needs no test, and costs the others no correction.
    if (!row.no_op) row.change->p = paired_p(changes);
  }
  const auto times = paired(seconds, by_seed(*base, training_seconds, true));
  if (!times.empty()) row.seconds_change = confidence_interval(times);
  return row;
}

/// Corrects the p of all rows; returns how many there are.
int correct(std::vector<TableRow>& rows) {
  std::vector<double> p;
  for (const TableRow& row : rows) {
    if (row.change && row.change->p) p.push_back(*row.change->p);
  }
  const std::vector<double> corrected = holm(p);
  size_t k = 0;
  for (TableRow& row : rows) {
    if (row.change && row.change->p) row.change->holm = corrected[k++];
  }
  return static_cast<int>(p.size());
}

std::string setting_of(const VariantResult& variant, const std::string& name) {
  for (const auto& [own, value] : variant.settings) {
    if (own == name) return one_line(value);
  }
  return "";
}

/// Names and values of the settings that are not equal in all variants.
void add_settings(const StudyResult& result, Table& table) {
  if (result.variants.empty()) return;
  const VariantResult& first = result.variants.front();
  for (const auto& [name, value] : first.settings) {
    const bool differs = std::any_of(
        result.variants.begin(), result.variants.end(),
        [&](const VariantResult& variant) { return setting_of(variant, name) != value; });
    if (!differs) continue;
    table.settings.push_back(name);
    for (size_t row = 0; row < table.rows.size(); ++row) {
      table.rows[row].settings.push_back(setting_of(result.variants[row], name));
    }
  }
}

int runs_of_other_machines(const StudyResult& result) {
  std::map<std::string, int> count;
  int runs = 0;
  int most = 0;
  for (const VariantResult& variant : result.variants) {
    for (const SeedResult& run : variant.runs) {
      if (!run.record) continue;
      ++runs;
      most = std::max(most, ++count[run.machine]);
    }
  }
  return runs - most;
}

std::optional<Condition> read_target(const std::string& text) {
  if (text.empty()) return std::nullopt;
  const auto source = std::make_shared<const SourceText>(SourceText{"--target", text});
  return read_condition(yaml::parse(source), "'target'");
}

std::string base_text(const Table& table) {
  std::set<std::string> bases;
  bool ladder = true;
  for (size_t k = 0; k < table.rows.size(); ++k) {
    const TableRow& row = table.rows[k];
    if (!row.change) continue;
    bases.insert(row.base);
    ladder = ladder && k > 0 && table.rows[k - 1].name == row.base;
  }
  if (bases.empty()) return "";
  if (bases.size() == 1) return fmt::format("against {}", *bases.begin());
  return ladder ? "against the row above" : "against the variant that it is built on";
}

}  // namespace

const VariantResult* StudyResult::find(std::string_view variant) const {
  const auto found =
      std::find_if(variants.begin(), variants.end(),
                   [&](const VariantResult& candidate) { return candidate.name == variant; });
  return found == variants.end() ? nullptr : &*found;
}

Table make_table(const StudyResult& result) {
  Table table{.study = result.study,
              .profile = result.profile,
              .backend = result.backend,
              .command = result.command,
              .metric = "",
              .target = read_target(result.target),
              .other_machines = runs_of_other_machines(result)};
  for (const VariantResult& variant : result.variants) {
    table.rows.push_back(make_row(variant, result.find(variant.base), table.target));
    for (const SeedResult& run : variant.runs) {
      if (run.record && !run.record->timed) ++table.untimed;
      if (!run.record || !table.metric.empty()) continue;
      const MetricInfo& metric = run.record->metrics[run.record->main_metric()];
      table.metric = metric.name;
      table.percent = metric.percent;
    }
  }
  table.comparisons = correct(table.rows);
  add_settings(result, table);
  return table;
}

std::vector<std::string> Table::caption() const {
  std::set<int> counts;
  bool any_change = false;
  int failed = 0;
  for (const TableRow& row : rows) {
    if (row.metric.n > 0) counts.insert(row.metric.n);
    any_change = any_change || row.change.has_value();
    failed += row.failed;
  }
  std::vector<std::string> out;
  const std::string base = base_text(*this);
  if (counts.empty()) {
    out.emplace_back("no run is finished");
  } else if (counts.size() == 1 && *counts.begin() == 1) {
    out.push_back("one seed (n = 1)" + (any_change ? "; change: " + base : std::string()));
  } else {
    out.push_back(fmt::format(
        "mean ± standard deviation over seeds ({})",
        counts.size() == 1 ? fmt::format("n = {}", *counts.begin()) : "n in its column"));
    if (any_change) {
      out.push_back(fmt::format(
          "change: mean of the paired differences {} ± half of its 95 % interval (Student t)",
          base));
    }
    if (comparisons > 0) {
      out.push_back(fmt::format(
          "p: paired t test with Holm's correction over {} comparison{}; within noise: p > 0.05",
          comparisons, comparisons == 1 ? "" : "s"));
    }
  }
  std::string equal;
  for (const TableRow& row : rows) {
    if (row.same_as.empty()) continue;
    equal += fmt::format("{}{} = {}", equal.empty() ? "" : ", ", row.name, row.same_as);
  }
  if (!equal.empty()) out.push_back("compiled programs are equal, run once: " + equal);
  if (target) {
    out.push_back(fmt::format(
        "time to {}: mean over the runs that reach it; reached: of those that were measured",
        target->str()));
  }
  out.push_back(
      "time: preprocessing and training; params: trained; MACs: of one image forward; "
      "memory: planned, without the data");
  if (failed > 0) out.push_back(fmt::format("runs that failed: {}", failed));
  if (untimed > 0) {
    out.push_back(
        fmt::format("runs that shared their device, whose times do not count: {}", untimed));
  }
  if (other_machines > 0) {
    out.push_back(fmt::format("runs whose times come from another machine: {}", other_machines));
  }
  return out;
}

}  // namespace expgraph
