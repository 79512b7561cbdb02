// table_text: a table -> lines for a terminal of some width.
#include <fmt/format.h>

#include <algorithm>

#include "core/study/table_cells.h"

namespace expgraph {
namespace {

constexpr size_t kGap = 2;
constexpr size_t kMinTitle = 20;  // columns that a title keeps when settings take the rest

/// Columns of a terminal that a text takes: its code points.
size_t width_of(std::string_view text) {
  return static_cast<size_t>(std::count_if(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xC0) != 0x80;
  }));
}

/// Bytes of the first `columns` code points.
size_t bytes_of(std::string_view text, size_t columns) {
  size_t at = 0;
  for (size_t seen = 0; at < text.size(); ++at) {
    if ((static_cast<unsigned char>(text[at]) & 0xC0) != 0x80 && seen++ == columns) break;
  }
  return at;
}

/// Lines of at most `columns`, broken at spaces; a longer word is cut.
std::vector<std::string> wrap(std::string_view text, size_t columns) {
  std::vector<std::string> lines(1);
  while (!text.empty()) {
    const size_t space = text.find(' ');
    std::string_view word = text.substr(0, space);
    text = space == std::string_view::npos ? std::string_view() : text.substr(space + 1);
    while (!word.empty()) {
      const size_t used = width_of(lines.back());
      const size_t gap = used == 0 ? 0 : 1;
      if (used + gap + width_of(word) <= columns) {
        lines.back() += std::string(gap, ' ') + std::string(word);
        break;
      }
      if (used != 0) {
        lines.emplace_back();
        continue;
      }
      const size_t cut = bytes_of(word, columns);
      lines.back() = std::string(word.substr(0, cut));
      word.remove_prefix(cut);
    }
  }
  return lines;
}

size_t natural_width(const Column& column) {
  size_t width = 1;
  for (const std::string& word : column.words) width = std::max(width, width_of(word));
  for (const Cell& cell : column.cells) {
    width = std::max({width, width_of(cell.text), width_of(cell.spread)});
  }
  return width;
}

struct Layout {
  std::vector<Column> columns;
  std::vector<size_t> widths;
  std::vector<std::string> left_out;  ///< headers of settings that do not fit
};

Layout lay_out(const Table& table, size_t room) {
  Layout out;
  std::vector<Column> all = make_columns(table);
  size_t fixed = 0;
  for (const Column& column : all) {
    if (!column.is_text && !column.is_setting) fixed += kGap + natural_width(column);
  }
  const size_t title = std::min(natural_width(all.front()), kMinTitle);
  for (Column& column : all) {
    const size_t width = natural_width(column);
    if (column.is_setting) {
      if (title + fixed + kGap + width > room) {
        out.left_out.push_back(column.header());
        continue;
      }
      fixed += kGap + width;
    }
    out.widths.push_back(width);
    out.columns.push_back(std::move(column));
  }
  const size_t open = room > fixed ? room - fixed : 0;
  out.widths.front() = std::clamp(open, std::min<size_t>(title, 12), out.widths.front());
  return out;
}

std::string padded(const std::string& text, size_t width, bool left) {
  const std::string pad(width - std::min(width, width_of(text)), ' ');
  return left ? text + pad : pad + text;
}

std::string without_trailing_spaces(std::string line) {
  line.erase(line.find_last_not_of(' ') + 1);
  return line;
}

/// The lines of one row: each cell gives its own, from the top or (headers) from the bottom.
std::string row_lines(const Layout& layout, const std::vector<std::vector<std::string>>& cells,
                      bool bottom) {
  size_t height = 0;
  for (const auto& lines : cells) height = std::max(height, lines.size());
  std::string out;
  for (size_t k = 0; k < height; ++k) {
    std::string line;
    for (size_t c = 0; c < cells.size(); ++c) {
      const size_t skip = bottom ? height - cells[c].size() : 0;
      const bool has = k >= skip && k - skip < cells[c].size();
      if (c > 0) line += std::string(kGap, ' ');
      line += padded(has ? cells[c][k - skip] : "", layout.widths[c], layout.columns[c].is_text);
    }
    out += without_trailing_spaces(std::move(line)) + "\n";
  }
  return out;
}

std::string styled(const std::string& text, std::string_view code, bool colour) {
  return colour ? fmt::format("\x1b[{}m{}\x1b[0m", code, text) : text;
}

}  // namespace

std::string to_terminal(const Table& table, const TerminalOptions& options) {
  const auto room = static_cast<size_t>(std::max(options.columns, 40));
  const Layout layout = lay_out(table, room);
  std::string heading = table.study;
  if (!table.profile.empty()) heading += ", profile " + table.profile;
  heading += fmt::format(", {}: {} variant{}", table.backend, table.rows.size(),
                         table.rows.size() == 1 ? "" : "s");
  std::string out = styled(heading, "1", options.colour) + "\n\n";

  std::vector<std::vector<std::string>> header;
  for (const Column& column : layout.columns) header.push_back(column.words);
  std::string head = row_lines(layout, header, true);
  head.pop_back();
  out += styled(head, "1", options.colour) + "\n";
  size_t line = 0;
  for (const size_t width : layout.widths) line += width + kGap;
  for (size_t k = 0; k < line - kGap; ++k) out += "─";
  out += "\n";

  for (size_t row = 0; row < table.rows.size(); ++row) {
    std::vector<std::vector<std::string>> cells;
    for (size_t c = 0; c < layout.columns.size(); ++c) {
      const Cell& cell = layout.columns[c].cells[row];
      if (layout.columns[c].is_text) {
        cells.push_back(wrap(cell.text, layout.widths[c]));
      } else {
        cells.push_back({cell.text});
        if (!cell.spread.empty()) cells.back().push_back(cell.spread);
      }
    }
    out += row_lines(layout, cells, false);
  }
  out += "\n";
  std::vector<std::string> caption = table.caption();
  if (!layout.left_out.empty()) {
    caption.push_back(fmt::format("not shown at this width: {} (they are in table.md)",
                                  fmt::join(layout.left_out, ", ")));
  }
  for (const std::string& sentence : caption) {
    for (const std::string& text : wrap(sentence, room)) {
      out += styled(text, "2", options.colour) + "\n";
    }
  }
  return out;
}

}  // namespace expgraph
