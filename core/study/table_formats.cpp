// table_formats: a table -> Markdown, TSV and JSON.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <nlohmann/json.hpp>

#include "core/study/table_cells.h"

namespace expgraph {
namespace {

using nlohmann::ordered_json;

ordered_json summary_json(const Summary& summary) {
  return {{"mean", summary.mean}, {"standard_deviation", summary.deviation}, {"n", summary.n}};
}

ordered_json interval_json(const Interval& interval) {
  return {{"mean", interval.mean}, {"half_width_95", interval.half_width}, {"n", interval.n}};
}

/// Cells of a line of TSV: "" where there is nothing.
class Line {
 public:
  explicit Line(std::vector<std::string> cells) : cells_(std::move(cells)) {}
  void add(const std::string& text) { cells_.push_back(text); }
  void add(double value) { add(fmt::format("{:.6g}", value)); }
  void add(int64_t value) { add(fmt::format("{}", value)); }
  void add(const std::optional<double>& value) { value ? add(*value) : add(""); }
  /// Mean and deviation; the latter from two on.
  void add(const Summary& summary) {
    add(summary.n > 0 ? std::optional(summary.mean) : std::nullopt);
    add(summary.n > 1 ? std::optional(summary.deviation) : std::nullopt);
  }
  /// Mean, half width and n.
  void add(const Interval* interval) {
    add(interval ? std::optional(interval->mean) : std::nullopt);
    add(interval && interval->n > 1 ? std::optional(interval->half_width) : std::nullopt);
    add(interval ? fmt::format("{}", interval->n) : "");
  }
  std::string str() const { return fmt::format("{}\n", fmt::join(cells_, "\t")); }

 private:
  std::vector<std::string> cells_;
};

}  // namespace

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
  Line head({"variant", "title", "base", "same_as"});
  for (const std::string& setting : table.settings) head.add(setting);
  for (const char* name : {"n",
                           "failed",
                           "seconds",
                           "seconds_sd",
                           "metric",
                           "metric_sd",
                           "change",
                           "change_ci95",
                           "change_n",
                           "change_p",
                           "change_p_holm",
                           "seconds_change",
                           "seconds_change_ci95",
                           "seconds_change_n",
                           "time_to_target",
                           "time_to_target_sd",
                           "reached",
                           "reached_of",
                           "parameters",
                           "macs",
                           "peak_bytes"}) {
    head.add(std::string(name));
  }
  std::string out = head.str();
  for (const TableRow& row : table.rows) {
    Line line({row.name, row.title, row.base, row.same_as});
    for (const std::string& setting : row.settings) line.add(setting);
    line.add(int64_t{row.metric.n});
    line.add(int64_t{row.failed});
    line.add(row.seconds);
    line.add(row.metric);
    line.add(row.change ? &*row.change : nullptr);
    line.add(row.change ? row.change->p : std::nullopt);
    line.add(row.change ? row.change->holm : std::nullopt);
    line.add(row.seconds_change ? &*row.seconds_change : nullptr);
    line.add(row.time_to ? row.time_to->seconds : Summary{});
    line.add(row.time_to ? fmt::format("{}", row.time_to->reached) : "");
    line.add(row.time_to ? fmt::format("{}", row.time_to->runs) : "");
    for (const int64_t figure : {row.parameters, row.macs, row.peak_bytes}) {
      line.add(row.metric.n > 0 ? fmt::format("{}", figure) : "");
    }
    out += line.str();
  }
  return out;
}

ordered_json to_json(const Table& table) {
  ordered_json out = {{"study", table.study},
                      {"profile", table.profile},
                      {"backend", table.backend},
                      {"command", table.command},
                      {"metric", table.metric},
                      {"target", table.target ? table.target->str() : ""},
                      {"comparisons", table.comparisons},
                      {"caption", table.caption()},
                      {"rows", ordered_json::array()}};
  for (const TableRow& row : table.rows) {
    ordered_json json = {{"name", row.name},     {"title", row.title},
                         {"base", row.base},     {"same_as", row.same_as},
                         {"no_op", row.no_op},   {"settings", ordered_json::object()},
                         {"failed", row.failed}, {"n", row.metric.n}};
    for (size_t k = 0; k < table.settings.size(); ++k) {
      json["settings"][table.settings[k]] = row.settings[k];
    }
    if (row.seconds.n > 0) json["seconds"] = summary_json(row.seconds);
    if (row.metric.n > 0) {
      json["metric"] = summary_json(row.metric);
      json["parameters"] = row.parameters;
      json["macs"] = row.macs;
      json["peak_bytes"] = row.peak_bytes;
    }
    if (row.change) {
      json["change"] = interval_json(*row.change);
      if (row.change->p) json["change"]["p"] = *row.change->p;
      if (row.change->holm) {
        json["change"]["p_holm"] = *row.change->holm;
        json["change"]["within_noise"] = row.change->within_noise();
      }
    }
    if (row.seconds_change) json["seconds_change"] = interval_json(*row.seconds_change);
    if (row.time_to) {
      json["time_to_target"] = summary_json(row.time_to->seconds);
      json["time_to_target"]["reached"] = row.time_to->reached;
      json["time_to_target"]["runs"] = row.time_to->runs;
    }
    out["rows"].push_back(std::move(json));
  }
  return out;
}

}  // namespace expgraph
