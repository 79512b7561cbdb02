// table: the results of a study -> rows of numbers side by side, and their text.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "core/spec/condition.h"
#include "core/study/result.h"
#include "core/study/statistics.h"

namespace expgraph {

/// Paired differences of the main metric to the base, and whether they may be noise.
struct Comparison : Interval {
  std::optional<double> p;     ///< of the paired t test; none with less than two pairs
  std::optional<double> holm;  ///< corrected over all comparisons of the table
  bool within_noise() const { return holm && *holm > 0.05; }
};

/// Seconds of training until a condition held first.
struct TimeTo {
  Summary seconds;  ///< over the timed runs that reach it
  int reached = 0;
  int runs = 0;  ///< those that failed count; those that were not measured at each epoch do not
};

struct TableRow {
  std::string name;
  std::string title;
  std::string base;
  std::string same_as;                     ///< variant whose programs are equal; "" for none
  bool no_op = false;                      ///< its programs are equal to those of its base
  std::vector<std::string> settings;       ///< one for each Table::settings; "" = has none
  Summary seconds;                         ///< training time, over seeds; n == 0: no run was timed
  Summary metric;                          ///< n == 0: no run is finished
  std::optional<Comparison> change;        ///< paired by seed, against base
  std::optional<Interval> seconds_change;  ///< the same of the training time
  std::optional<TimeTo> time_to;           ///< when the table has a target
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
  std::optional<Condition> target;
  std::vector<std::string> settings;  ///< only those that differ
  std::vector<TableRow> rows;
  int comparisons = 0;     ///< that Holm's correction is over
  int other_machines = 0;  ///< runs whose times were taken on another machine than most
  int untimed = 0;         ///< runs that had no device for themselves

  /// What the numbers are: statistic, n, what the change is against. One sentence a line.
  std::vector<std::string> caption() const;
};

/// Error when the target of the result is no condition.
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
