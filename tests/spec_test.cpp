// The language: documents expand to flat specs, print canonically and read back; studies make
// variants. Error messages are in tests/golden/language.
#include <doctest/doctest.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "core/pipeline.h"
#include "core/spec/expression.h"
#include "core/spec/selector.h"
#include "core/spec/study_spec.h"

namespace expgraph {
namespace {

const std::string kRoot = std::string(EXPGRAPH_SOURCE_DIR) + "/";

std::string round_trip(const FlatSpec& spec) {
  return to_yaml(expand_text(to_yaml(spec), "again.yaml", "", {}, op_names()));
}

/// A study in a file of its own, for as long as this lives.
class StudyFile {
 public:
  explicit StudyFile(const std::string& text) {
    static int count = 0;
    path_ = std::filesystem::temp_directory_path() /
            fmt::format("expgraph_spec_test_{}_{}.yaml", std::hash<std::string>()(text), count++);
    std::ofstream(path_) << "study: s\npipeline: " << kRoot << "graphs/pipelines/davidnet.yaml\n"
                         << text;
  }
  StudyFile(const StudyFile&) = delete;
  StudyFile& operator=(const StudyFile&) = delete;
  ~StudyFile() { std::filesystem::remove(path_); }

  Study read(const StudyOptions& options = {}) const {
    return read_study(path_.string(), options, op_names());
  }

 private:
  std::filesystem::path path_;
};

std::vector<std::string> names_of(const Study& study) {
  std::vector<std::string> names;
  for (const Variant& variant : study.variants) {
    names.push_back(variant.name + (variant.base.empty() ? "" : " < " + variant.base));
  }
  return names;
}

std::string attribute(const FlatSpec& spec, std::string_view path, std::string_view name) {
  const SpecNode* node = spec.find(path);
  REQUIRE(node != nullptr);
  const AttributeSpec* found = node->find(name);
  return found == nullptr ? "" : yaml::to_text(found->value);
}

yaml::Value value(std::string text) {
  return yaml::parse(std::make_shared<SourceText>(SourceText{"value", std::move(text)}));
}

TEST_CASE("canonical text of every graph of the product reads back to itself") {
  for (const char* file : {"pipelines/dawnbench.yaml", "pipelines/davidnet.yaml",
                           "networks/davidnet.yaml", "networks/dawnbench_resnet18.yaml"}) {
    CAPTURE(file);
    const FlatSpec spec = expand_file(kRoot + "graphs/" + file, {}, op_names());
    CHECK(round_trip(spec) == to_yaml(spec));
  }
}

int64_t parameters_of(const FlatSpec& spec) {
  int64_t parameters = 0;
  const Graph forward = build_pipeline(spec).train.forward;
  for (const Leaf& leaf : forward.leaves()) {
    if (leaf.trainable) parameters += forward.type(leaf.value).elements();
  }
  return parameters;
}

TEST_CASE("every rung of the ladder has the reference's number of parameters and reads back") {
  const Study study =
      read_study(kRoot + "experiments/ablations.yaml", {.profile = "cifar10"}, op_names());
  const std::vector<std::pair<std::string, int64_t>> expected = {
      {"baseline", 5'205'962},
      {"stem", 5'205'834},
      {"preprocess_once", 5'205'834},
      {"bulk_random_choices", 5'205'834},
      {"no_worker_processes", 5'205'834},
      {"batch_size", 5'205'834},
      {"bn_in_fp32", 5'205'834},
      {"one_cycle", 5'205'834},
      {"larger_batch", 5'205'834},
      {"drop_long_branches", 115'786},
      {"merge_bn_relu", 114'762},
      {"conv_3x3", 966'730},
      {"max_pooling", 966'730},
      {"classifier", 1'557'066},
      {"scales", 1'557'056},
      {"double_width", 6'210'688},
      {"extra_layers", 4'655'424},
      {"residuals", 6'573'120},
      {"final", 6'573'120},
  };
  REQUIRE(study.variants.size() == expected.size());
  for (size_t i = 0; i < expected.size(); ++i) {
    const Variant& variant = study.variants[i];
    CAPTURE(variant.name);
    CHECK(variant.name == expected[i].first);
    CHECK(parameters_of(variant.spec) == expected[i].second);
    CHECK(round_trip(variant.spec) == to_yaml(variant.spec));
  }
}

TEST_CASE("the search has 15 nets by 2 lengths, with the reference's numbers of parameters") {
  const Study study =
      read_study(kRoot + "experiments/search.yaml", {.profile = "cifar10"}, op_names());
  const std::vector<std::pair<std::string, int64_t>> expected = {
      {"bare", 1'557'056},         {"extra_l1", 1'704'768},     {"extra_l2", 2'147'392},
      {"extra_l3", 3'917'376},     {"extra_l12", 2'295'104},    {"extra_l13", 4'065'088},
      {"extra_l23", 4'507'712},    {"extra_l123", 4'655'424},   {"residual_l1", 1'852'480},
      {"residual_l2", 2'737'728},  {"residual_l3", 6'277'696},  {"residual_l12", 3'033'152},
      {"residual_l13", 6'573'120}, {"residual_l23", 7'458'368}, {"residual_l123", 7'753'792},
  };
  REQUIRE(study.variants.size() == 2 * expected.size());
  for (size_t i = 0; i < study.variants.size(); ++i) {
    const Variant& variant = study.variants[i];
    const auto& [net, parameters] = expected[i / 2];
    const std::string epochs = i % 2 == 0 ? "20" : "22";
    CHECK(variant.name == fmt::format("net_{}-epochs_{}", net, epochs));
    CHECK(parameters_of(variant.spec) == parameters);
    CHECK(attribute(variant.spec, "train", "epochs") == epochs);
    CHECK(attribute(variant.spec, "train/lr", "epochs") ==
          (i % 2 == 0 ? "[0, 4, 20]" : "[0, 4.4, 22]"));
  }
}

TEST_CASE("BaiduNet9P has the reference's number of parameters and its training") {
  const Study study = read_study(kRoot + "experiments/baidunet.yaml",
                                 {.profile = "cifar10", .only = {"baidunet9p"}}, op_names());
  REQUIRE(study.variants.size() == 1);
  const FlatSpec& spec = study.variants[0].spec;
  CHECK(parameters_of(spec) == 4'211'786);
  CHECK(attribute(spec, "train/batch", "size") == "1024");
  CHECK(attribute(spec, "train/lr", "values") == "[0.000208, 0.0052, 2.0799999999999998e-08]");
  CHECK(attribute(spec, "train/momentum", "values") == "[0.95, 0.85, 0.95]");
  CHECK(attribute(spec, "train/update", "weight_decay") == "0.42");
  const SideGraphs train = build_pipeline(spec).train;
  REQUIRE(train.training);
  CHECK(train.training->optimisers[0].inputs[2].valid());  // beta1 follows the schedule
  CHECK(train.forward.find_leaf("train/mix/choice") != nullptr);
}

TEST_CASE("the last rung of the ladder does what the pipeline davidnet does") {
  const Study study = read_study(kRoot + "experiments/ablations.yaml",
                                 {.profile = "cifar10", .only = {"final"}}, op_names());
  REQUIRE(study.variants.size() == 1);
  const FlatSpec davidnet = expand_file(kRoot + "graphs/pipelines/davidnet.yaml", {}, op_names());
  const auto operators = [](const FlatSpec& spec) {
    std::vector<std::string> lines;
    for (const SpecNode& node : spec.nodes) {
      if (node.is_group) continue;
      std::map<std::string, std::string> attributes;
      for (const AttributeSpec& a : node.attributes) attributes[a.name] = yaml::to_text(a.value);
      lines.push_back(fmt::format("{} {}", node.op, attributes));
    }
    return lines;
  };
  CHECK(operators(study.variants[0].spec) == operators(davidnet));
}

TEST_CASE("--set of parameters and of paths, as the half-width recipe says them") {
  const StudyOptions options{.profile = "cifar10",
                             .only = {"final"},
                             .set = {{"width", "32"},
                                     {"train.epochs", "5"},
                                     {"train/lr.epochs", "[0,1,5]"},
                                     {"train/lr.values", "[0,0.4,0]"},
                                     {"train/cutout.size", "0"}},
                             .seeds = 2};
  const Study study = read_study(kRoot + "experiments/ablations.yaml", options, op_names());
  REQUIRE(study.variants.size() == 1);
  CHECK(study.seeds == 2);
  const FlatSpec& spec = study.variants[0].spec;
  CHECK(attribute(spec, "train", "epochs") == "5");
  CHECK(attribute(spec, "train/lr", "epochs") == "[0, 1, 5]");
  CHECK(attribute(spec, "train/cutout", "size") == "0");
  CHECK(attribute(spec, "train/batch", "size") == "512");
  CHECK(attribute(spec, "train/net/prep/conv", "channels") == "32");
  CHECK(attribute(spec, "train/net/layer4/block0/conv3", "channels") == "256");
}

TEST_CASE("drop long branches and merge bn-relu are the named edit ror_removal") {
  std::ifstream file(kRoot + "experiments/ablations.yaml");
  std::string text{std::istreambuf_iterator<char>(file), {}};
  const auto change = [&text](const std::string& from, const std::string& to) {
    REQUIRE(text.find(from) != std::string::npos);
    text.replace(text.find(from), from.size(), to);
  };
  change("- apply: drop_long_branches", "- apply: ror_removal");
  change("      - apply: merge_repeated_bn_relu\n", "      - set: {train/pad.size: 4}\n");
  change("../graphs/pipelines/", kRoot + "graphs/pipelines/");
  change("../graphs/blocks/", kRoot + "graphs/blocks/");
  const auto path = std::filesystem::temp_directory_path() / "expgraph_spec_test_ror.yaml";
  std::ofstream(path) << text;
  const StudyOptions options{.only = {"merge_bn_relu"}};
  const Study once = read_study(path.string(), options, op_names());
  const Study twice = read_study(kRoot + "experiments/ablations.yaml", options, op_names());
  std::filesystem::remove(path);
  CHECK(to_yaml(once.variants[0].spec) == to_yaml(twice.variants[0].spec));
}

TEST_CASE("series: names of variants and what each is compared with") {
  const std::string two =
      "  - variant: Flip only\n    edits: [{remove: train/cutout}]\n"
      "  - variant: b\n    edits: [{set: {train.epochs: 2}}]\n";
  using Names = std::vector<std::string>;
  CHECK(names_of(StudyFile("each:\n" + two).read()) ==
        Names{"base", "flip_only < base", "b < base"});
  CHECK(names_of(StudyFile("list:\n" + two).read()) == Names{"flip_only", "b < flip_only"});
  CHECK(names_of(StudyFile("").read()) == Names{"base"});

  const Study without = StudyFile("leave_one_out:\n" + two).read();
  CHECK(names_of(without) == Names{"all", "without_flip_only < all", "without_b < all"});
  CHECK(without.variants[1].spec.find("train/cutout") != nullptr);
  CHECK(attribute(without.variants[1].spec, "train", "epochs") == "2");
  CHECK(without.variants[2].spec.find("train/cutout") == nullptr);
  CHECK(attribute(without.variants[2].spec, "train", "epochs") == "24");

  const Study grid = StudyFile(
                         "grid:\n  width: [8, 16]\n  train/lr.values: [[0, 0.5, 0]]\n"
                         "  flip: {off: [{remove: train/flip}], on: []}\n")
                         .read();
  CHECK(names_of(grid) == Names{"width_8-lr_values_0_0.5_0-flip_off",
                                "width_8-lr_values_0_0.5_0-flip_on < "
                                "width_8-lr_values_0_0.5_0-flip_off",
                                "width_16-lr_values_0_0.5_0-flip_off < "
                                "width_8-lr_values_0_0.5_0-flip_off",
                                "width_16-lr_values_0_0.5_0-flip_on < "
                                "width_8-lr_values_0_0.5_0-flip_off"});
  CHECK(attribute(grid.variants[2].spec, "train/net/prep/conv", "channels") == "16");
  CHECK(grid.variants[2].spec.find("train/flip") == nullptr);

  const Study zip = StudyFile("zip: {width: [8, 16], batch: [32, 64]}\n").read();
  CHECK(names_of(zip) == Names{"width_8-batch_32", "width_16-batch_64 < width_8-batch_32"});
  CHECK(attribute(zip.variants[1].spec, "train/batch", "size") == "64");
}

TEST_CASE("values: the pipeline's, then params, then the profile, then --set") {
  const StudyFile file(
      "params: {width: 8, batch: $(2 * width)}\nprofile: small\n"
      "profiles: {small: {width: 4, seeds: 3}, other: {}}\n");
  const auto values = [](const Study& study) {
    const FlatSpec& spec = study.variants[0].spec;
    return fmt::format("{} {} {} {}", attribute(spec, "train/net/prep/conv", "channels"),
                       attribute(spec, "train/batch", "size"), attribute(spec, "train", "epochs"),
                       study.seeds);
  };
  CHECK(values(file.read()) == "4 8 24 3");
  CHECK(values(file.read({.profile = "other"})) == "8 16 24 1");
  CHECK(values(file.read({.set = {{"width", "16"}, {"epochs", "7"}}, .seeds = 5})) == "16 32 7 5");
}

TEST_CASE("globs match whole paths") {
  const auto matches = [](const char* glob, const char* path) {
    return Glob(glob, {}).matches(path);
  };
  CHECK(matches("train/net", "train/net"));
  CHECK_FALSE(matches("train/net", "train/net/conv"));
  CHECK(matches("train/*/conv?", "train/net/conv1"));
  CHECK_FALSE(matches("train/*/conv?", "train/net/conv"));
  CHECK(matches("train/**/conv", "train/conv"));
  CHECK(matches("train/**/conv", "train/a/b/conv"));
  CHECK_FALSE(matches("train/**", "train"));
  CHECK(matches("train/**", "train/a/b"));
  CHECK(matches("**", "train"));
  CHECK(matches("*/net/{a,b/c}x", "test/net/b/cx"));
  CHECK(matches("{a,b}{c,d}", "bd"));
  CHECK_FALSE(matches("{a,b}{c,d}", "ab"));
  CHECK(matches("a*b*c", "axxbxbxc"));
  CHECK_FALSE(matches("a*b*c", "axxbxbx"));
  CHECK(matches("**/a/**/b", "a/a/x/a/b"));
}

TEST_CASE("expressions are integers where they can be, and keep lists and texts whole") {
  Bindings bindings;
  bindings["width"] = value("64");
  bindings["rate"] = value("0.1");
  bindings["act"] = value("relu");
  bindings["sizes"] = value("[1, 2]");
  const auto evaluate = [&](const std::string& text) {
    return yaml::to_text(substitute(value("\"" + text + "\""), bindings));
  };
  CHECK(evaluate("$(2 * width + 1)") == "129");
  CHECK(evaluate("$(width / 4)") == "16");
  CHECK(evaluate("$(width / 5)") == "12.8");
  CHECK(evaluate("$(floor(width / 5) % 5)") == "2");
  CHECK(evaluate("$(rate * 2)") == "0.2");
  CHECK(evaluate("$(-(width - 70) * -2)") == "-12");
  CHECK(evaluate("$(max(width, 1e2) - min(1, 2))") == "99");
  CHECK(evaluate("$(round(2.5) + ceil(0.1))") == "4");
  CHECK(evaluate("$sizes") == "[1, 2]");
  CHECK(evaluate("$act") == "relu");
  CHECK(evaluate("conv$(width)_$act") == "conv64_relu");
  CHECK(evaluate("10$$") == "\"10$\"");
}

TEST_CASE("one line of YAML reads back to the same value") {
  for (const char* text :
       {"[1, 0.5, 5e-4, -3]", "{a: [x, \"8\", \"true\"], b: null}", "\"a: b # c\"", "\"\"",
        "\"line\\nbreak \\\"q\\\" \\\\\"", "[[], {}]", "\"null\"", "\"---\"", "true"}) {
    CAPTURE(text);
    CHECK(yaml::to_text(value(text)) == text);
  }
}

TEST_CASE("repeats number their copies from 0 and chain them") {
  const FlatSpec spec = expand_text(
      "network: n\nparams: {depth: 3}\nnodes:\n"
      "  conv: {repeat: $depth, op: conv2d, kernel: 1, channels: $(8 * (index + 1))}\n"
      "  none: {repeat: 0, op: relu}\n  act: relu\n",
      "n.yaml", "", {}, op_names());
  CHECK(to_yaml(spec) ==
        "network: n\nnodes:\n"
        "  conv0: {op: conv2d, inputs: [in], channels: 8, kernel: 1}\n"
        "  conv1: {op: conv2d, inputs: [conv0], channels: 16, kernel: 1}\n"
        "  conv2: {op: conv2d, inputs: [conv1], channels: 24, kernel: 1}\n"
        "  act: {op: relu, inputs: [conv2]}\n");
}

}  // namespace
}  // namespace expgraph
