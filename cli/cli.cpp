// cli: the table of commands; words -> command, errors -> text and exit code.
#include "cli/cli.h"

#include <fmt/ostream.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <exception>
#include <new>

#include "cli/commands.h"
#include "core/support/suggest.h"

namespace expgraph {
namespace {

constexpr int kInternalError = 70;  // EX_SOFTWARE of sysexits.h

constexpr std::array kCommands{
    Command{"run", "train what a study asks for and is not done yet, and print its table", add_run},
    Command{"table", "print the table of a study from the run store", add_table},
    Command{"report", "write a study of the run store as one HTML page", add_report},
    Command{"check", "read a study or pipeline and type every graph of it", add_check},
    Command{"plan", "tell without running: steps, parameters, work, memory, what is cached",
            add_plan},
    Command{"show", "print a variant as complete YAML, or a stage of its compilation", add_show},
    Command{"diff", "edits that turn one variant, pipeline, network or run into another", add_diff},
    Command{"draw", "draw a network, a pipeline or an edit as SVG or DOT", add_draw},
    Command{"ops", "list the operators, or tell about one", add_ops},
    Command{"backends", "list the backends and the operators that they run", add_backends},
    Command{"verify", "train a few steps on two backends and compare every state", add_verify},
    Command{"bench", "time the training steps of a pipeline on generated samples", add_bench},
    Command{"calibrate", "time steps here, so that plans and budgets can tell how long runs take",
            add_calibrate},
    Command{"doctor", "tell what this machine has: processor, libraries, backends, data",
            add_doctor},
};

void print_commands(std::ostream& out) {
  fmt::print(out,
             "expgraph: experiment graphs in YAML, trained, compared and drawn\n\n"
             "usage: expgraph COMMAND [OPTIONS]\n\n");
  for (const Command& command : kCommands) {
    fmt::print(out, "  {:<10} {}\n", command.name, command.help);
  }
  fmt::print(out,
             "\n'expgraph COMMAND --help' tells its options; '--version' the version.\n"
             "exit codes: 0 done, 1 a run failed, 2 usage, 3 invalid YAML or graph,\n"
             "4 an expectation not met, 5 environment, 130 interrupted\n");
}

const Command& find_command(const std::string& name) {
  std::vector<std::string> names;
  for (const Command& command : kCommands) {
    if (command.name == name) return command;
    names.emplace_back(command.name);
  }
  const std::string_view what = name.starts_with('-') ? "option" : "command";
  Error error(fmt::format("unknown {} '{}'", what, name), {}, ExitCode::usage);
  const std::string hint = did_you_mean(name, names);
  error.note(hint.empty() ? "'expgraph help' lists the commands" : hint);
  throw error;
}

/// The error for words that no option took.
Error unknown_words(const CLI::App& app) {
  const std::vector<std::string> words = app.remaining();
  const auto option = std::find_if(words.begin(), words.end(), [](const std::string& word) {
    return word.starts_with('-') && word != "--";
  });
  if (option == words.end()) {
    return Error(fmt::format("unexpected argument '{}'", words.empty() ? "" : words.front()), {},
                 ExitCode::usage);
  }
  std::vector<std::string> names;
  for (const CLI::Option* known : app.get_options()) {
    for (const std::string& name : known->get_lnames()) names.push_back("--" + name);
  }
  const std::string name = option->substr(0, option->find('='));
  Error error(fmt::format("unknown option '{}'", name), {}, ExitCode::usage);
  const std::string hint = did_you_mean(name, names);
  if (!hint.empty()) error.note(hint);
  return error;
}

int run_command(const Command& command, std::vector<std::string> words, Streams& streams) {
  CLI::App app(std::string(command.help), fmt::format("expgraph {}", command.name));
  app.get_formatter()->column_width(28);
  app.get_formatter()->label("TEXT", "");
  app.get_formatter()->label("REQUIRED", "");
  app.set_help_flag("-h,--help", "print this help");
  const Action action = command.add(app, streams);
  std::reverse(words.begin(), words.end());  // CLI11 takes them from the back
  try {
    app.parse(std::move(words));
  } catch (const CLI::CallForHelp&) {
    fmt::print(streams.out, "{}", app.help());
    return static_cast<int>(ExitCode::done);
  } catch (const CLI::ExtrasError&) {
    throw unknown_words(app).note(
        fmt::format("'expgraph {} --help' tells its options", command.name));
  } catch (const CLI::ParseError& error) {
    throw Error(error.what(), {}, ExitCode::usage)
        .note(fmt::format("'expgraph {} --help' tells its options", command.name));
  }
  return static_cast<int>(action());
}

int dispatch(const std::vector<std::string>& words, Streams& streams) {
  if (words.empty()) {
    print_commands(streams.err);
    return static_cast<int>(ExitCode::usage);
  }
  const std::string& name = words.front();
  if (name == "help" || name == "--help" || name == "-h") {
    if (words.size() > 1) return run_command(find_command(words[1]), {"--help"}, streams);
    print_commands(streams.out);
    return static_cast<int>(ExitCode::done);
  }
  if (name == "--version") {
    fmt::print(streams.out, "expgraph {}\n", EXPGRAPH_VERSION);
    return static_cast<int>(ExitCode::done);
  }
  return run_command(find_command(name), {words.begin() + 1, words.end()}, streams);
}

int internal_error(const std::exception& error, Streams& streams) {
  const std::string_view what = error.what();
  const bool named = what.starts_with("internal error");  // EXPGRAPH_CHECK says so itself
  fmt::print(streams.err, "{}{}\nnote: this is a mistake of expgraph, not yours\n",
             named ? "" : "internal error: ", what);
  return kInternalError;
}

}  // namespace

int run_cli(const std::vector<std::string>& arguments, Streams& streams) {
  try {
    const int code = dispatch(arguments, streams);
    if (!streams.out.flush()) {
      throw Error("cannot write to standard output", {}, ExitCode::environment);
    }
    return code;
  } catch (const Error& error) {
    streams.out.flush();
    fmt::print(streams.err, "{}", error.render());
    return static_cast<int>(error.code());
  } catch (const std::bad_alloc&) {
    fmt::print(streams.err, "error: out of memory\n");
    return static_cast<int>(ExitCode::environment);
  } catch (const std::exception& error) {
    return internal_error(error, streams);
  }
}

}  // namespace expgraph
