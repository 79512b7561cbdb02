// table: the results of a study -> rows of numbers side by side; Markdown, TSV and JSON.
#include "core/study/table.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "core/study/table_cells.h"

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

std::map<int64_t, double> metric_by_seed(const VariantResult& variant) {
  std::map<int64_t, double> out;
  for (const SeedResult& run : variant.runs) {
    if (run.record) out[run.seed] = final_metric(*run.record);
  }
  return out;
}

TableRow make_row(const VariantResult& variant, const VariantResult* base) {
  TableRow row{.name = variant.name,
               .title = one_line(variant.title.empty() ? variant.name : variant.title),
               .base = variant.base};
  std::vector<double> seconds, metric;
  for (const SeedResult& run : variant.runs) {
    if (!run.error.empty()) ++row.failed;
    if (!run.record) continue;
    seconds.push_back(run.record->clocks.training());
    metric.push_back(final_metric(*run.record));
    row.parameters = run.record->parameters;
    row.macs = run.record->macs;
    row.peak_bytes = run.record->peak_bytes;
  }
  row.seconds = summarise(seconds);
  row.metric = summarise(metric);
  if (base == nullptr) return row;
  const auto reference = metric_by_seed(*base);
  std::vector<double> differences;
  for (const auto& [seed, value] : metric_by_seed(variant)) {
    const auto pair = reference.find(seed);
    if (pair != reference.end()) differences.push_back(value - pair->second);
  }
  if (!differences.empty()) row.change = confidence_interval(differences);
  return row;
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

nlohmann::ordered_json summary_json(const Summary& summary) {
  return {{"mean", summary.mean}, {"standard_deviation", summary.deviation}, {"n", summary.n}};
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
              .other_machines = runs_of_other_machines(result)};
  for (const VariantResult& variant : result.variants) {
    table.rows.push_back(make_row(variant, result.find(variant.base)));
    for (const SeedResult& run : variant.runs) {
      if (!run.record || !table.metric.empty()) continue;
      const MetricInfo& metric = run.record->metrics[run.record->main_metric()];
      table.metric = metric.name;
      table.percent = metric.percent;
    }
  }
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
  }
  out.push_back(
      "time: preprocessing and training; params: trained; MACs: of one image forward; "
      "memory: planned, without the data");
  if (failed > 0) out.push_back(fmt::format("runs that failed: {}", failed));
  if (other_machines > 0) {
    out.push_back(fmt::format("runs whose times come from another machine: {}", other_machines));
  }
  return out;
}

std::string to_markdown(const Table& table) {
  const std::vector<Column> columns = make_columns(table);
  const auto escaped = [](const std::string& text) {
    std::string out;
    for (const char c : text) out += c == '|' ? std::string("\\|") : std::string(1, c);
    return out;
  };
  std::string out = "|";
  for (const Column& column : columns) out += fmt::format(" {} |", column.header());
  out += "\n|";
  for (const Column& column : columns) out += column.is_text ? "---|" : "---:|";
  out += "\n";
  for (size_t row = 0; row < table.rows.size(); ++row) {
    out += "|";
    for (const Column& column : columns) {
      const Cell& cell = column.cells[row];
      const std::string spread = cell.spread.empty() ? "" : " " + cell.spread;
      out += fmt::format(" {}{} |", escaped(cell.text), spread);
    }
    out += "\n";
  }
  out += "\n";
  for (const std::string& line : table.caption()) out += line + ".  \n";
  if (!table.command.empty()) out += fmt::format("Made by `{}`.\n", table.command);
  return out;
}

std::string to_tsv(const Table& table) {
  std::string out = "variant\ttitle\tbase";
  for (const std::string& setting : table.settings) out += "\t" + setting;
  out +=
      "\tn\tseconds\tseconds_sd\tmetric\tmetric_sd\tchange\tchange_ci95\tchange_n\tparameters\t"
      "macs\tpeak_bytes\n";
  for (const TableRow& row : table.rows) {
    out += fmt::format("{}\t{}\t{}", row.name, row.title, row.base);
    for (const std::string& setting : row.settings) out += "\t" + setting;
    out += fmt::format("\t{}", row.metric.n);
    if (row.metric.n == 0) {
      out += "\t\t\t\t\t\t\t\t\t\t\n";
      continue;
    }
    const auto spread = [](int n, double value) {
      return n < 2 ? "" : fmt::format("{:.6g}", value);
    };
    out += fmt::format("\t{:.3f}\t{}\t{:.6g}\t{}", row.seconds.mean,
                       spread(row.seconds.n, row.seconds.deviation), row.metric.mean,
                       spread(row.metric.n, row.metric.deviation));
    if (row.change) {
      out += fmt::format("\t{:.6g}\t{}\t{}", row.change->mean,
                         spread(row.change->n, row.change->half_width), row.change->n);
    } else {
      out += "\t\t\t";
    }
    out += fmt::format("\t{}\t{}\t{}\n", row.parameters, row.macs, row.peak_bytes);
  }
  return out;
}

nlohmann::ordered_json to_json(const Table& table) {
  using nlohmann::ordered_json;
  ordered_json out = {{"study", table.study},         {"profile", table.profile},
                      {"backend", table.backend},     {"command", table.command},
                      {"metric", table.metric},       {"caption", table.caption()},
                      {"rows", ordered_json::array()}};
  for (const TableRow& row : table.rows) {
    ordered_json json = {{"name", row.name},     {"title", row.title},
                         {"base", row.base},     {"settings", ordered_json::object()},
                         {"failed", row.failed}, {"n", row.metric.n}};
    for (size_t k = 0; k < table.settings.size(); ++k) {
      json["settings"][table.settings[k]] = row.settings[k];
    }
    if (row.metric.n > 0) {
      json["seconds"] = summary_json(row.seconds);
      json["metric"] = summary_json(row.metric);
      json["parameters"] = row.parameters;
      json["macs"] = row.macs;
      json["peak_bytes"] = row.peak_bytes;
    }
    if (row.change) {
      json["change"] = {{"mean", row.change->mean},
                        {"half_width_95", row.change->half_width},
                        {"n", row.change->n}};
    }
    out["rows"].push_back(std::move(json));
  }
  return out;
}

}  // namespace expgraph
