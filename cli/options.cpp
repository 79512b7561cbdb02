// options: arguments that several commands share -> a Study.
#include <fmt/ostream.h>
#include <fmt/ranges.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "core/backend.h"
#include "core/pipeline.h"
#include "core/study/run_store.h"
#include "core/support/suggest.h"

namespace expgraph {

namespace {

void add_values(CLI::App& app, StudyArguments& arguments, const std::string& profile) {
  app.add_option(profile, arguments.profile, "named set of values of the study")->type_name("NAME");
  app.add_option("--set", arguments.set, "overrides path.attribute=value or parameter=value")
      ->type_name("NAME=VALUE")
      ->allow_extra_args(false);
  const auto set = [&arguments](const std::string& name) {
    arguments.set.push_back("train.precision=" + name);
  };
  app.add_option_function<std::string>(
         "--precision", set, "of the steps, over the pipeline's: fp32, bf16, fp16 or auto")
      ->type_name("NAME");
}

}  // namespace

void add_study_arguments(CLI::App& app, StudyArguments& arguments) {
  app.add_option("FILE", arguments.file, "a study or a pipeline (YAML)")->required();
  add_values(app, arguments, "--profile");
  app.add_option("--only", arguments.only, "variants by name or glob; 'final' is the last")
      ->type_name("NAME,...")
      ->delimiter(',')
      ->allow_extra_args(false);
  app.add_option("--seeds", arguments.seeds, "runs of each variant")
      ->type_name("N")
      ->check(CLI::Range(1, 1000));
}

void add_variant_arguments(CLI::App& app, StudyArguments& arguments, const std::string& profile) {
  app.add_option("FILE[:VARIANT]", arguments.file,
                 arguments.networks
                     ? "a pipeline, a network, a run's folder, or a study and a variant of it "
                       "(default: the last)"
                     : "a pipeline, a run's folder, or a study and a variant of it (default: the "
                       "last)")
      ->required();
  add_values(app, arguments, profile);
}

Study read_study(const StudyArguments& arguments) {
  StudyOptions options{.profile = arguments.profile,
                       .only = arguments.only,
                       .networks = arguments.networks,
                       .attribute = arguments.attribute,
                       .check = [](const FlatSpec& spec) { build_pipeline(spec); }};
  for (const std::string& text : arguments.set) {
    const size_t equals = text.find('=');
    if (equals == 0 || equals == std::string::npos) {
      throw Error(fmt::format("--set wants NAME=VALUE, got '{}'", text), {}, ExitCode::usage);
    }
    options.set.emplace_back(text.substr(0, equals), text.substr(equals + 1));
  }
  if (arguments.seeds > 0) options.seeds = arguments.seeds;
  return read_study(arguments.file, options, op_names());
}

Study one_variant(const StudyArguments& arguments) {
  StudyArguments one = arguments;
  const size_t colon = arguments.file.rfind(':');
  if (colon != std::string::npos && !std::filesystem::exists(arguments.file)) {
    one.file = arguments.file.substr(0, colon);
    one.only = {arguments.file.substr(colon + 1)};
  } else {
    one.only = {"final"};
    if (std::filesystem::is_directory(one.file)) one.file += "/spec.yaml";  // of a stored run
  }
  Study study = read_study(one);
  study.variants.erase(study.variants.begin(), study.variants.end() - 1);
  return study;
}

Variant choose_variant(const StudyArguments& arguments) {
  return one_variant(arguments).variants.back();
}

std::string backend_text(const std::string& name) {
  try {
    return load_backend(name).describe();
  } catch (const Error& error) {
    return error.what();
  }
}

std::string columns_text(const std::vector<std::vector<std::string>>& rows,
                         const std::vector<bool>& right) {
  const auto columns = [](std::string_view text) {
    return static_cast<size_t>(std::count_if(text.begin(), text.end(), [](char c) {
      return (static_cast<unsigned char>(c) & 0xC0) != 0x80;
    }));
  };
  std::vector<size_t> widths(right.size(), 0);
  for (const auto& row : rows) {
    for (size_t k = 0; k < row.size(); ++k) widths[k] = std::max(widths[k], columns(row[k]));
  }
  std::string out;
  for (const auto& row : rows) {
    std::string line;
    for (size_t k = 0; k < row.size(); ++k) {
      const std::string blanks(widths[k] - columns(row[k]), ' ');
      line += (k > 0 ? "  " : "") + (right[k] ? blanks + row[k] : row[k] + blanks);
    }
    line.erase(line.find_last_not_of(' ') + 1);
    out += line + "\n";
  }
  return out;
}

std::filesystem::path stored_study(const std::string& place, const std::string& runs) {
  if (std::filesystem::is_directory(place)) return place;
  StudyArguments study;
  study.file = place;
  return study_folder(runs, read_study(study).name);
}

void add_input(CLI::App& app, std::string& input) {
  app.add_option("--input", input,
                 "channels, height and width that a network file is given (default: 3x32x32)")
      ->type_name("CxHxW");
}

void write_file(const std::string& path, const std::string& text) {
  std::ofstream stream(path, std::ios::binary);
  if (!(stream << text).flush()) {
    throw Error(fmt::format("cannot write '{}'", path), {}, ExitCode::environment);
  }
}

void add_json(CLI::App& app, bool& json) {
  app.add_flag("--json", json, "print the result as JSON");
}

void print_json(Streams& streams, const nlohmann::ordered_json& json) {
  fmt::print(streams.out, "{}\n",
             json.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace));
}

}  // namespace expgraph
