// Flat specs that no YAML gives, made by hand: what the resolver and the builder of graphs say of
// them, so that a mistake of an edit or of another maker of specs is told and not built.
#include "core/resolve.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <functional>

#include "core/pipeline.h"
#include "tests/support/tiny_pipeline.h"

using namespace expgraph;

namespace {

SpecNode op_node(std::string path, std::vector<std::string> inputs) {
  SpecNode node;
  node.path = std::move(path);
  node.op = "relu";
  for (std::string& input : inputs) node.inputs.push_back({std::move(input), {}});
  return node;
}

SpecNode group_node(std::string path, std::string output, std::vector<std::string> inputs = {}) {
  SpecNode node = op_node(std::move(path), std::move(inputs));
  node.is_group = true;
  node.op.clear();
  node.output = std::move(output);
  return node;
}

std::string message_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.render();
  }
  return "no error";
}

std::string resolving(std::vector<SpecNode> nodes) {
  FlatSpec spec;
  spec.nodes = std::move(nodes);
  return message_of([&] { Resolver(spec).instances("train"); });
}

/// What building says of the tiny pipeline after a change.
std::string building(const std::function<void(FlatSpec&)>& change) {
  FlatSpec spec = tiny_spec();
  change(spec);
  std::string text = message_of([&] { build_pipeline(spec); });
  text = text.substr(0, text.find('\n'));
  const size_t start = text.find("error: ");
  return start == std::string::npos ? text : text.substr(start);
}

}  // namespace

TEST_CASE("instances come after all they read, groups and their inputs resolved") {
  FlatSpec spec;
  spec.nodes = {op_node("train/last", {"train/net"}),
                group_node("train/net", "train/net/b", {"train/first"}),
                op_node("train/net/b", {"train/net/a"}), op_node("train/net/a", {"train/net/in"}),
                op_node("train/first", {})};
  std::vector<std::string> paths;
  for (const Instance& instance : Resolver(spec).instances("train")) {
    paths.push_back(instance.path());
  }
  CHECK(paths ==
        std::vector<std::string>{"train/first", "train/net/a", "train/net/b", "train/last"});
}

TEST_CASE("a reference to nothing is an error with the nearest path") {
  CHECK(resolving({op_node("train/first", {}), op_node("train/relu", {"train/frist"})}) ==
        "error: there is no node 'train/frist'\nnote: did you mean 'train/first'?\n");
}

TEST_CASE("a group without an input has none to give to its members") {
  CHECK(resolving(
            {group_node("train/net", "train/net/a"), op_node("train/net/a", {"train/net/in"})}) ==
        "error: 'train/net' has no input for 'train/net/in' to read\n");
}

TEST_CASE("an evaluation reads only the input of its group") {
  SpecNode again = group_node("train/again", "", {"train/first"});
  again.evaluates = "train/net";
  CHECK(resolving({op_node("train/first", {}), group_node("train/net", "train/net/a"),
                   op_node("train/net/a", {"train/first"}), again}) ==
        "error: 'train/again' evaluates 'train/net' again, which reads 'train/first' outside of "
        "it\n");
}

TEST_CASE("cycles are told, through nodes and through groups alone") {
  CHECK(resolving({op_node("train/a", {"train/b"}), op_node("train/b", {"train/a"})}) ==
        "error: cyclic inputs: train/a <- train/b <- train/a\n");
  CHECK(resolving({group_node("train/a", "train/b"), group_node("train/b", "train/a"),
                   op_node("train/c", {"train/a"})}) ==
        "error: the inputs of 'train/a' form a cycle\n");
}

TEST_CASE("specs that lack what a pipeline needs are not built") {
  CHECK(building([](FlatSpec&) {}) == "no error");
  CHECK(building([](FlatSpec& spec) { spec.find("train/net/relu")->inputs.clear(); }) ==
        "error: op 'relu' needs its input 'x'");
  CHECK(building([](FlatSpec& spec) {
          auto& inputs = spec.find("train/net/relu")->inputs;
          inputs.push_back(inputs.front());
        }) == "error: op 'relu' takes 1 input, got 2");
  CHECK(building([](FlatSpec& spec) { spec.find("train/crop")->inputs.clear(); }) ==
        "error: op 'random_crop' needs its input 'x'");
  CHECK(building([](FlatSpec& spec) {
          spec.find("train/loss")->inputs.at(1).path = "train/batch/labels";
        }) == "error: 'train/batch' has no output 'labels'");
  CHECK(building([](FlatSpec& spec) { spec.find("train")->attributes.clear(); }) ==
        "error: 'train' needs 'epochs': how often it goes over the data");
  CHECK(building([](FlatSpec& spec) {
          spec.name = "small";
          spec.nodes = {op_node("relu", {"in"})};
        }) ==
        "error: 'small' is a network: only a pipeline, with a group 'train', can be compiled");
}
