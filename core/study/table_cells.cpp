// table_cells: a table -> columns of formatted cells, for Markdown and the terminal.
#include "core/study/table_cells.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>

#include "core/support/brief.h"

namespace expgraph {
namespace {

constexpr std::string_view kNone = "–";

Cell summary_cell(const Summary& summary, int decimals) {
  if (summary.n == 0) return {std::string(kNone)};
  Cell cell{fmt::format("{:.{}f}", summary.mean, decimals)};
  if (summary.n > 1) cell.spread = fmt::format("± {:.{}f}", summary.deviation, decimals);
  return cell;
}

Column column(std::vector<std::string> words, const Table& table,
              const std::function<Cell(const TableRow&)>& cell_of) {
  Column out{.words = std::move(words)};
  for (const TableRow& row : table.rows) out.cells.push_back(cell_of(row));
  return out;
}

/// "batch.size" in a narrow column: "batch", ".size".
std::vector<std::string> setting_words(const std::string& name) {
  std::vector<std::string> words(1);
  for (const char c : name) {
    if (c == '.' || c == '/') words.emplace_back();
    words.back() += c;
  }
  return words;
}

std::vector<std::string> metric_words(const Table& table) {
  if (table.metric.empty()) return {"result"};
  std::vector<std::string> words(1);
  for (const char c : table.metric) {
    if (c == '/') {
      words.emplace_back();
    } else {
      words.back() += c;
    }
  }
  if (table.percent) words.emplace_back("%");
  return words;
}

Cell change_cell(const TableRow& row, double scale, int decimals) {
  if (row.no_op) return {"no-op"};
  if (!row.change) return {std::string(kNone)};
  Cell cell{fmt::format("{:+.{}f}", scale * row.change->mean, decimals)};
  if (row.change->n > 1) {
    cell.spread = fmt::format("± {:.{}f}", scale * row.change->half_width, decimals);
  }
  return cell;
}

Cell p_cell(const TableRow& row) {
  if (!row.change || !row.change->holm) return {std::string(kNone)};
  const double p = *row.change->holm;
  return {p < 0.001 ? "< 0.001" : fmt::format("{:.3f}", p),
          row.change->within_noise() ? "within noise" : ""};
}

/// "time to 94 % s".
std::vector<std::string> target_words(const Table& table) {
  const Condition& target = *table.target;
  const bool of_metric = target.metric == table.metric;
  if (of_metric && table.percent) {
    return {"time to", fmt::format("{:.6g} %", 100 * target.bound), "s"};
  }
  const std::string bound = fmt::format("{} {}", target.at_least ? ">=" : "<=", target.bound);
  if (of_metric) return {"time to", bound, "s"};
  return {"time to", target.metric, bound, "s"};
}

}  // namespace

std::string Column::header() const {
  std::string out;
  for (const std::string& word : words) {
    out += (out.empty() || is_setting ? "" : " ") + word;
  }
  return out;
}

std::string si_text(double value) {
  constexpr std::array<std::string_view, 5> kPrefix = {"", " k", " M", " G", " T"};
  size_t k = 0;
  while (std::abs(value) >= 1000 && k + 1 < kPrefix.size()) {
    value /= 1000;
    ++k;
  }
  if (k == 0) return fmt::format("{:.0f}", value);
  return fmt::format("{:.{}f}{}", value,
                     std::abs(value) < 10    ? 2
                     : std::abs(value) < 100 ? 1
                                             : 0,
                     kPrefix[k]);
}

std::string bytes_text(int64_t bytes) {
  constexpr std::array<std::string_view, 5> kUnit = {"B", "KiB", "MiB", "GiB", "TiB"};
  auto value = static_cast<double>(bytes);
  size_t k = 0;
  while (value >= 1024 && k + 1 < kUnit.size()) {
    value /= 1024;
    ++k;
  }
  return fmt::format("{:.{}f} {}", value,
                     k == 0 || value >= 100 ? 0
                     : value < 10           ? 2
                                            : 1,
                     kUnit[k]);
}

std::vector<Column> make_columns(const Table& table) {
  std::vector<Column> out;
  const auto any = [&](auto&& condition) {
    return std::any_of(table.rows.begin(), table.rows.end(), condition);
  };
  out.push_back(column({"variant"}, table, [](const TableRow& row) { return Cell{row.title}; }));
  out.back().is_text = true;
  for (size_t k = 0; k < table.settings.size(); ++k) {
    out.push_back(column(setting_words(table.settings[k]), table, [&](const TableRow& row) {
      return Cell{row.settings[k].empty() ? std::string(kNone) : brief_numbers(row.settings[k])};
    }));
    out.back().is_setting = true;
  }
  if (any([&](const TableRow& row) { return row.metric.n != table.rows.front().metric.n; })) {
    out.push_back(column(
        {"n"}, table, [](const TableRow& row) { return Cell{fmt::format("{}", row.metric.n)}; }));
  }
  out.push_back(column({"time", "s"}, table, [](const TableRow& row) {
    return row.metric.n == 0 && row.failed > 0 ? Cell{"failed"} : summary_cell(row.seconds, 1);
  }));
  const double scale = table.percent ? 100 : 1;
  const int decimals = table.percent ? 2 : 4;
  out.push_back(column(metric_words(table), table, [&](const TableRow& row) {
    return summary_cell({row.metric.n, scale * row.metric.mean, scale * row.metric.deviation},
                        decimals);
  }));
  if (any([](const TableRow& row) { return row.change || row.no_op; })) {
    out.push_back(column({"change"}, table,
                         [&](const TableRow& row) { return change_cell(row, scale, decimals); }));
  }
  if (table.comparisons > 0) out.push_back(column({"p"}, table, p_cell));
  if (table.target) {
    out.push_back(column(target_words(table), table, [](const TableRow& row) {
      return summary_cell(row.time_to ? row.time_to->seconds : Summary{}, 1);
    }));
    out.push_back(column({"reached"}, table, [](const TableRow& row) {
      return Cell{row.time_to ? fmt::format("{}/{}", row.time_to->reached, row.time_to->runs)
                              : std::string(kNone)};
    }));
  }
  const auto of_finished = [&](std::vector<std::string> words, auto&& text) {
    out.push_back(column(std::move(words), table, [&](const TableRow& row) {
      return Cell{row.metric.n == 0 ? std::string(kNone) : text(row)};
    }));
  };
  of_finished({"params"},
              [](const TableRow& row) { return si_text(static_cast<double>(row.parameters)); });
  of_finished({"MACs"}, [](const TableRow& row) { return si_text(static_cast<double>(row.macs)); });
  of_finished({"peak", "memory"}, [](const TableRow& row) { return bytes_text(row.peak_bytes); });
  return out;
}

}  // namespace expgraph
