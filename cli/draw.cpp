// draw: a network, a pipeline or the edit of a variant -> SVG or DOT.
#include <fmt/ostream.h>

#include <CLI/CLI.hpp>
#include <fstream>

#include "cli/commands.h"
#include "viz/dot.h"
#include "viz/drawings.h"
#include "viz/svg.h"

namespace expgraph {
namespace {

struct Arguments {
  StudyArguments study;
  std::string output;
  bool edit = false;
  bool pipeline = false;
};

Picture picture(const Variant& variant, const Arguments& arguments) {
  if (!arguments.edit) {
    const auto draw = arguments.pipeline ? pipeline_picture : network_picture;
    return draw(variant.spec, variant.title);
  }
  if (variant.before == nullptr) {
    throw Error(fmt::format("'{}' is compared with no other variant: there is no edit to draw",
                            variant.name),
                variant.where, ExitCode::usage);
  }
  return edit_picture(*variant.before, *variant.after, variant.title);
}

void write_file(const std::string& path, const std::string& text) {
  std::ofstream stream(path, std::ios::binary);
  if (!(stream << text).flush()) {
    throw Error(fmt::format("cannot write '{}'", path), {}, ExitCode::environment);
  }
}

ExitCode draw(const Arguments& arguments, Streams& streams) {
  const bool svg = arguments.output.ends_with(".svg");
  if (!svg && !arguments.output.ends_with(".dot") && !arguments.output.empty()) {
    throw Error(
        fmt::format("-o wants a name that ends in .svg or .dot, got '{}'", arguments.output), {},
        ExitCode::usage);
  }
  const Picture drawing = picture(choose_variant(arguments.study), arguments);
  if (arguments.output.empty()) {
    fmt::print(streams.out, "{}", to_dot(drawing));
  } else {
    write_file(arguments.output, svg ? to_svg(drawing) : to_dot(drawing));
  }
  return ExitCode::done;
}

}  // namespace

Action add_draw(CLI::App& app, Streams& streams) {
  const auto arguments = std::make_shared<Arguments>();
  add_variant_arguments(app, arguments->study);
  app.add_option("-o,--output", arguments->output, "file that ends in .svg or .dot; else DOT")
      ->type_name("FILE");
  app.add_flag("--edit", arguments->edit,
               "what the variant changes, against the one that it is compared with");
  app.add_flag("--pipeline", arguments->pipeline, "data, loss, schedule and evaluation as well");
  return [arguments, &streams] { return draw(*arguments, streams); };
}

}  // namespace expgraph
