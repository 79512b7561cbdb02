// main: the process's words, streams and terminal -> run_cli.
#include <sys/ioctl.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <iostream>

#include "cli/cli.h"

namespace {

int terminal_width() {
  winsize size{};
  const bool known = ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
  return known ? size.ws_col : 80;
}

}  // namespace

int main(int argc, char** argv) {
  // A reader that goes away (`expgraph ops | head`) ends the program quietly, even when the parent
  // ignores the signal.
  std::signal(SIGPIPE, SIG_DFL);
  std::ios::sync_with_stdio(false);
  const char* no_colour = std::getenv("NO_COLOR");
  expgraph::Streams streams{.out = std::cout,
                            .err = std::cerr,
                            .width = terminal_width(),
                            .out_terminal = isatty(STDOUT_FILENO) != 0,
                            .err_terminal = isatty(STDERR_FILENO) != 0};
  streams.colour = streams.out_terminal && (no_colour == nullptr || *no_colour == '\0');
  return expgraph::run_cli({argv + 1, argv + argc}, streams);
}
