// table: the results of a study -> rows of numbers side by side, and their text.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "core/study/result.h"
#include "core/study/statistics.h"

namespace expgraph {

struct TableRow {
  std::string name;
  std::string title;
  std::string base;
  std::vector<std::string> settings;  ///< one for each Table::settings; "" = has none
  Summary seconds;                    ///< training time, over seeds; n == 0: no run is finished
  Summary metric;
  std::optional<Interval> change;  ///< paired by seed, against base
  int64_t parameters = 0;
  int64_t macs = 0;
  int64_t peak_bytes = 0;
  int failed = 0;
};

struct Table {
  std::string study;
  std::string profile;
  std::string backend;
  std::string command;
  std::string metric;  ///< name of the main metric
  bool percent = false;
  std::vector<std::string> settings;  ///< only those that differ
  std::vector<TableRow> rows;
  int other_machines = 0;  ///< runs whose times were taken on another machine than most

  /// What the numbers are: statistic, n, what the change is against. One sentence a line.
  std::vector<std::string> caption() const;
};

Table make_table(const StudyResult& result);

struct TerminalOptions {
  int columns = 80;
  bool colour = false;
};
/// Titles wrap, numbers are aligned, spreads stand below their means; settings columns are shown
/// as far as they fit, the caption names those left out.
std::string to_terminal(const Table& table, const TerminalOptions& options);
std::string to_markdown(const Table& table);
std::string to_tsv(const Table& table);
std::string to_latex(const Table& table);  ///< a tabular with booktabs' rules
nlohmann::ordered_json to_json(const Table& table);

/// "5.21 M", "114.8 k", "986": three or four digits with an SI prefix.
std::string si_text(double value);
/// "1.21 GiB", "312 MiB".
std::string bytes_text(int64_t bytes);

}  // namespace expgraph
