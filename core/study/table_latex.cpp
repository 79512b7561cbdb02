// table_latex: a table -> a LaTeX tabular for \input (packages: booktabs).
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "core/study/table.h"
#include "core/study/table_cells.h"

namespace expgraph {
namespace {

constexpr std::array<std::pair<std::string_view, std::string_view>, 17> kEscapes{{
    {"\\", "\\textbackslash{}"},
    {"&", "\\&"},
    {"%", "\\%"},
    {"$", "\\$"},
    {"#", "\\#"},
    {"_", "\\_"},
    {"{", "\\{"},
    {"}", "\\}"},
    {"~", "\\textasciitilde{}"},
    {"^", "\\textasciicircum{}"},
    {"<", "\\textless{}"},
    {">", "\\textgreater{}"},
    {"±", "$\\pm$"},
    {"−", "$-$"},
    {"×", "$\\times$"},
    {"→", "$\\to$"},
    {"–", "--"},
}};

/// Untrusted text as plain characters; what LaTeX knows by another name is written so.
std::string escaped(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const auto found = std::find_if(kEscapes.begin(), kEscapes.end(), [&](const auto& escape) {
      return text.starts_with(escape.first);
    });
    out += found == kEscapes.end() ? text.substr(0, 1) : found->second;
    text.remove_prefix(found == kEscapes.end() ? 1 : found->first.size());
  }
  return out;
}

}  // namespace

std::string to_latex(const Table& table) {
  const std::vector<Column> columns = make_columns(table);
  std::string out, kinds;
  for (const std::string& sentence : table.caption()) out += fmt::format("% {}\n", sentence);
  for (const Column& column : columns) kinds += column.is_text ? 'l' : 'r';
  out += fmt::format("\\begin{{tabular}}{{{}}}\n\\toprule\n", kinds);
  const auto add_row = [&](auto&& text_of) {
    for (size_t c = 0; c < columns.size(); ++c) {
      out += fmt::format("{}{}", c == 0 ? "" : " & ", text_of(columns[c]));
    }
    out += " \\\\\n";
  };
  add_row([](const Column& column) { return escaped(column.header()); });
  out += "\\midrule\n";
  for (size_t row = 0; row < table.rows.size(); ++row) {
    add_row([&](const Column& column) {
      const Cell& cell = column.cells[row];
      return escaped(cell.text + (cell.spread.empty() ? "" : " " + cell.spread));
    });
  }
  return out + "\\bottomrule\n\\end{tabular}\n";
}

}  // namespace expgraph
