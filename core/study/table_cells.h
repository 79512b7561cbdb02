// table_cells: a table -> columns of formatted cells, for Markdown and the terminal.
#pragma once

#include <string>
#include <vector>

#include "core/study/table.h"

namespace expgraph {

struct Cell {
  std::string text;
  std::string spread = {};  ///< "± 0.32"; "" when there is none
};

struct Column {
  std::vector<std::string> words;  ///< of the header; a narrow column has one a line
  bool is_text = false;            ///< left-aligned, may wrap
  bool is_setting = false;         ///< may be left out
  std::vector<Cell> cells;
  std::string header() const;
};

/// Rung, settings, n where it differs, time, metric, change and p where there is one, time to the
/// target and how many runs reach it, parameters, MACs, peak memory.
std::vector<Column> make_columns(const Table& table);

}  // namespace expgraph
