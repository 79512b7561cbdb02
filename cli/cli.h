// cli: the words of a command line -> a command's output and an exit code.
#pragma once

#include <functional>
#include <ostream>
#include <string>
#include <string_view>
#include <vector>

#include "core/support/diagnostics.h"

namespace CLI {
class App;
}

namespace expgraph {

/// Where a command writes: results to `out`, all else (progress, notes, errors) to `err`.
struct Streams {
  std::ostream& out;
  std::ostream& err;
  int width = 80;             ///< columns of the terminal, for tables; 80 when there is none
  bool out_terminal = false;  ///< `out` is a terminal
  bool err_terminal = false;  ///< `err` is a terminal: progress may be redrawn
  bool colour = false;        ///< `out` is a terminal and NO_COLOR is not set
};

/// Runs a parsed command.
using Action = std::function<ExitCode()>;

/// A command: `add` registers its options on `app` and returns what runs it. The action owns the
/// values that the options are parsed into.
struct Command {
  std::string_view name;
  std::string_view help;  ///< one line, lower case, no full stop
  Action (*add)(CLI::App& app, Streams& streams);
};

/// Runs one command. Every Error ends here: rendered to `err`, its code returned. Mistakes of ours
/// (std::logic_error) are "internal error" and 70.
int run_cli(const std::vector<std::string>& arguments, Streams& streams);

}  // namespace expgraph
