// draw: a network, a pipeline or the edit of a variant -> SVG or DOT.
#include <fmt/ostream.h>

#include <CLI/CLI.hpp>

#include "cli/commands.h"
#include "core/host_network.h"
#include "viz/dot.h"
#include "viz/drawings.h"
#include "viz/svg.h"

namespace expgraph {
namespace {

struct Arguments {
  StudyArguments study;
  std::string output;
  std::string input = "3x32x32";
  bool edit = false;
  bool pipeline = false;
};

Picture picture(const Variant& variant, const Arguments& arguments) {
  if (!arguments.edit) {
    if (arguments.pipeline) return pipeline_picture(variant.spec, variant.title);
    return network_picture(variant.spec, variant.title, network_input(arguments.input));
  }
  if (variant.before == nullptr) {
    throw Error(fmt::format("'{}' is compared with no other variant: there is no edit to draw",
                            variant.name),
                variant.where, ExitCode::usage);
  }
  return edit_picture(*variant.before, *variant.after, variant.title);
}

ExitCode draw(const Arguments& arguments, Streams& streams) {
  const Picture drawing = picture(choose_variant(arguments.study), arguments);
  if (arguments.output.empty()) {
    fmt::print(streams.out, "{}", to_dot(drawing));
  } else {
    write_drawing(arguments.output, drawing);
  }
  return ExitCode::done;
}

}  // namespace

void write_drawing(const std::string& path, const Picture& picture) {
  const bool svg = path.ends_with(".svg");
  if (!svg && !path.ends_with(".dot")) {
    throw Error(fmt::format("-o wants a name that ends in .svg or .dot, got '{}'", path), {},
                ExitCode::usage);
  }
  write_file(path, svg ? to_svg(picture) : to_dot(picture));
}

Action add_draw(CLI::App& app, Streams& streams) {
  const auto arguments = std::make_shared<Arguments>();
  arguments->study.networks = true;
  add_variant_arguments(app, arguments->study);
  app.add_option("-o,--output", arguments->output, "file that ends in .svg or .dot; else DOT")
      ->type_name("FILE");
  app.add_flag("--edit", arguments->edit,
               "what the variant changes, against the one that it is compared with");
  app.add_flag("--pipeline", arguments->pipeline, "data, loss, schedule and evaluation as well");
  add_input(app, arguments->input);
  return [arguments, &streams] { return draw(*arguments, streams); };
}

}  // namespace expgraph
