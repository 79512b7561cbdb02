// ir_test: graphs are typed as they are built, their text round-trips, the verifier finds faults.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <limits>
#include <memory>
#include <stdexcept>
#include <string>

#include "core/ir/op_schema.h"

using namespace expgraph;

namespace {

/// A network with every kind of leaf, optional inputs, several outputs, a body and updates.
constexpr std::string_view kWhole = R"(graph step {
  %0 = input images : f32[8,3,8,8]
  %1 = input label : i32[8]
  %2 = state net/conv/w : f32[4,3,3,3] uniform(-0.19245, 0.19245) trainable
  %3 = conv2d(%0, %2, _) {channels=4, kernel=[3], stride=[1], padding=[1], bias=false, init="uniform"} : f32[8,4,8,8] @ net/conv
  %4 = state net/norm/scale : f32[4] constant(1) trainable
  %5 = state net/norm/bias : f32[4] constant(0) trainable
  %6 = state net/norm/running_mean : f32[4] constant(0)
  %7 = state net/norm/running_var : f32[4] constant(1)
  %8, %9, %10, %11, %12 = batch_norm(%3, %4, %5, %6, %7) {epsilon=1e-05, momentum=0.1, scale_init="one", affine="both", splits=1} : f32[8,4,8,8], f32[4], f32[4], f32[4], f32[4] @ net/norm
  %13, %14 = fusion(%8) {kind="relu_pool"} : f32[8,4,4,4], u8[8,4,4,4] @ "net/the pool" body relu_pool {
    %0 = input x : f32[8,4,8,8]
    %1 = relu(%0) : f32[8,4,8,8] @ net/relu
    %2, %3 = max_pool(%1) {size=[2], stride=[], padding=[0]} : f32[8,4,4,4], u8[8,4,4,4] @ net/pool
    result y = %2
    result index = %3
  }
  %15 = choice crop/choice : i32[8,2] bounds [9, 9]
  %16 = state "net/conv/w/the copy" : f32[4,3,3,3] copy(net/conv/w)
  result "the pool's output" = %13
  update net/norm/running_mean = %11
  update net/norm/running_var = %12
}
)";

std::string message_of(std::string_view text) {
  try {
    parse_graph(text, "g");
  } catch (const Error& error) {
    return error.where().str() + ": " + error.what();
  }
  return "no error";
}

std::string rendered(std::string_view text) {
  try {
    parse_graph(text, "g");
  } catch (const Error& error) {
    return error.render();
  }
  return "no error";
}

/// What verify says of the graph after `damage` was done to it behind the API's back.
template <typename Damage>
std::string verified(Damage damage) {
  Graph graph = parse_graph(kWhole);
  verify(graph);
  damage(graph);
  try {
    verify(graph);
  } catch (const std::logic_error& error) {
    return error.what();
  }
  return "no fault found";
}

Node& node_of(Graph& graph, size_t k) { return const_cast<Node&>(graph.nodes()[k]); }

}  // namespace

TEST_CASE("text of a graph parses back to the same text, with ids as printed") {
  const Graph graph = parse_graph(kWhole);
  verify(graph);
  CHECK(to_text(graph) == kWhole);
  CHECK(graph.find_leaf("crop/choice")->value.index == 15);
  CHECK(graph.node({1}).inputs.size() == 5);
  CHECK_FALSE(graph.node({0}).inputs[2].valid());
  CHECK(graph.node({2}).body->results().size() == 2);
}

TEST_CASE("hand-written text may name values, leave out types, defaults and paths, and comment") {
  const Graph graph = parse_graph(R"(graph g {  # a comment
    %x = input x : f32[2,3]
    %w = state w : f32[4,3] normal(0, 0.5) trainable
    %y = linear(%x, %w) {features=4, bias=false}
    result y = %y
  })");
  CHECK(to_text(graph) ==
        "graph g {\n"
        "  %0 = input x : f32[2,3]\n"
        "  %1 = state w : f32[4,3] normal(0, 0.5) trainable\n"
        "  %2 = linear(%0, %1, _) {features=4, bias=false, init_std=0.0} : f32[2,4]\n"
        "  result y = %2\n"
        "}\n");
}

TEST_CASE("names with any bytes round-trip") {
  Graph graph("odd \"name\"\n\x01");
  const ValueId x = graph.add_input("größe \\ [2]", {DType::f32, {2}});
  graph.add_result("", graph.add("relu", {x}, {}, "a b"));
  const Graph again = parse_graph(to_text(graph));
  CHECK(again.name() == graph.name());
  CHECK(again.leaves()[0].name == graph.leaves()[0].name);
  CHECK(again.results()[0].name.empty());
  CHECK(to_text(again) == to_text(graph));
}

TEST_CASE("each mistake in a graph's text is an error at its line and column") {
  struct Case {
    std::string_view text;
    std::string_view error;
  };
  const std::string deep = [] {
    std::string text = "graph g {\n";
    for (int k = 0; k < 1000; ++k) text += "fusion() {kind=\"k\"} body b {\n";
    return text;
  }();
  const Case cases[] = {
      {"", "g:1:1: expected 'graph', got the end of the text"},
      {"grap g {}", "g:1:1: expected 'graph', got 'grap'"},
      {"graph {}", "g:1:7: expected the name of a graph, got '{'"},
      {"graph g {", "g:1:10: expected a line of a graph or '}', got the end of the text"},
      {"graph g {} x", "g:1:12: expected the end of the text, got 'x'"},
      {"graph g {\n  = 3 }", "g:2:3: expected a line of a graph or '}', got '='"},
      {"graph g {\n  %0 input x }", "g:2:6: expected '=', got 'input'"},
      {"graph g {\n  % = input x }", "g:2:3: expected a value like %1, got '%'"},
      {"graph g {\n  %0 = input : }", "g:2:14: expected the name of a leaf, got ':'"},
      {"graph g {\n  %0 = input x : f33[2] }",
       "g:2:18: no element type 'f33', expected f32, f64, bf16, f16, i32 or u8"},
      {"graph g {\n  %0 = input x : f32[2,] }", "g:2:24: expected an integer, got ']'"},
      {"graph g {\n  %0 = input x : [2] }", "g:2:18: expected a type like f32[2,3], got '['"},
      {"graph g {\n  %0 = input x : f32[0] }",
       "g:2:18: x would be f32[0], every dimension must be at least 1"},
      {"graph g {\n  %0 = input x : f32[-2] }",
       "g:2:18: x would be f32[-2], every dimension must be at least 1"},
      {"graph g {\n  %0 = input x : f32[9000000000,9000000000,9] }",
       "g:2:18: x would be f32[9000000000,9000000000,9], a tensor may have at most 68719476736 "
       "elements"},
      {"graph g {\n  %0 = input x : f32[1,1,1,1,1,1,1,1,1] }",
       "g:2:18: x would have 9 dimensions, at most 8 are possible"},
      {"graph g {\n  %0 = input x : f32[99999999999999999999] }",
       "g:2:22: expected an integer, got '99999999999999999999'"},
      {"graph g {\n  %0 = input x : f32[2]\n  %1 = input x : f32[2] }",
       "g:3:14: two leaves are named 'x'"},
      {"graph g {\n  %0 = input x : f32[2]\n  %0 = input y : f32[2] }",
       "g:3:3: value %0 is defined twice"},
      {"graph g {\n  %0 = state w : f32[2] ones }",
       "g:2:25: no initialiser 'ones', expected constant, uniform, normal, dirac, copy"},
      {"graph g {\n  %0 = state w : f32[2] }",
       "g:2:25: expected an initialiser like uniform(-1, 1), got '}'"},
      {"graph g {\n  %0 = state w : f32[2] uniform(1) }", "g:2:34: expected ',', got ')'"},
      {"graph g {\n  %0 = state w : f32[2] constant(x) }", "g:2:34: expected a number, got 'x'"},
      {"graph g {\n  %0 = choice c : f32[2,2] bounds [3, 4] }",
       "g:2:19: choice 'c' is f32[2,2] with 2 bounds, expected i32[N,2]"},
      {"graph g {\n  %0 = choice c : i32[2,2] }", "g:2:28: expected 'bounds', got '}'"},
      {"graph g {\n  %1 = relu(%0) }", "g:2:13: no value %0 before this line"},
      {"graph g {\n  %0 = input x : f32[2]\n  %1 = rellu(%0) }", "g:3:8: no operator 'rellu'"},
      {"graph g {\n  %0 = input x : f32[2]\n  %1 = relu(%0 }", "g:3:16: expected ')', got '}'"},
      {"graph g {\n  %0 = input x : f32[2]\n  %1 = relu(%0, %0) }",
       "g:3:8: relu takes 1 input, got 2"},
      {"graph g {\n  %1 = relu() }", "g:2:8: relu needs its input 'x'"},
      {"graph g {\n  %1 = relu(_) }", "g:2:8: relu needs its input 'x'"},
      {"graph g {\n  %0 = input x : u8[2]\n  %1 = relu(%0) }",
       "g:3:8: x is u8[2], relu expects floating point numbers"},
      {"graph g {\n  %0 = input x : f32[2]\n  %1 = scale(%0) {factor=1, factor=2} }",
       "g:3:29: attribute 'factor' is given twice"},
      {"graph g {\n  %0 = input x : f32[2]\n  %1 = scale(%0) {factor=} }",
       "g:3:26: expected an attribute's value, got '}'"},
      {"graph g {\n  %0 = input x : f32[2]\n  %1, %2 = relu(%0) }",
       "g:3:12: 2 values are named, relu gives 1"},
      {"graph g {\n  %0 = input x : f32[2]\n  %1 = relu(%0) : f32[2], f32[2] }",
       "g:3:19: 2 types follow, relu gives 1"},
      {"graph g {\n  %0 = input x : f32[2]\n  %1 = relu(%0) : f32[3] }",
       "g:3:19: relu gives f32[2], the text says f32[3]"},
      {"graph g {\n  %0 = input x : f32[2]\n  %1 = relu(%0) @ \"a\n\" }",
       "g:3:19: a quoted text must end on its line"},
      {"graph g {\n  %0 = input \"\\q\" : f32[2] }",
       "g:2:14: a backslash is followed by \", \\ or xHH"},
      {"graph g {\n  %0 = input x : f32[2]\n  result y = %0\n  result y = %0 }",
       "g:4:10: two results are named 'y'"},
      {"graph g {\n  %0 = state weight : f32[2] constant(0)\n  update weigth = %0 }",
       "g:3:10: no state 'weigth'"},
      {"graph g {\n  %0 = input x : f32[2]\n  update x = %0 }", "g:3:10: no state 'x'"},
      {"graph g {\n  %0 = state w : f32[2] constant(0)\n  update w = %0\n  update w = %0 }",
       "g:4:10: state 'w' is updated twice"},
      {"graph g {\n  %0 = state w : f32[2] constant(0)\n  %1 = input x : f32[3]\n"
       "  update w = %1 }",
       "g:4:14: state 'w' is f32[2], its update f32[3]"},
      {deep, "g:10:26: bodies are nested more than 8 deep"},
  };
  for (const Case& one : cases) {
    CAPTURE(one.text.substr(0, 200));
    CHECK(message_of(one.text) == one.error);
  }
}

TEST_CASE("a parse error shows its line, a caret and the nearest name") {
  CHECK(rendered("graph g {\n  %0 = input x : f32[2]\n  %1 = rellu(%0)\n}\n") ==
        "g:3:8: error: no operator 'rellu'\n"
        "      %1 = rellu(%0)\n"
        "           ^~~~~\n"
        "note: did you mean 'relu'?\n");
}

TEST_CASE("the verifier finds planted faults") {
  CHECK(verified([](Graph&) {}) == "no fault found");
  CHECK(verified([](Graph& g) { node_of(g, 1).inputs[0] = {13}; }) ==
        "broken graph 'step': batch_norm 'net/norm' reads %13, which is made later");
  CHECK(verified([](Graph& g) { node_of(g, 1).inputs[0] = {99}; }) ==
        "broken graph 'step': batch_norm 'net/norm' reads %99, which is not there");
  CHECK(verified([](Graph& g) { node_of(g, 1).inputs[0] = {}; }) ==
        "broken graph 'step': batch_norm 'net/norm' lacks its input 'x'");
  CHECK(verified([](Graph& g) { node_of(g, 1).inputs.pop_back(); }) ==
        "broken graph 'step': batch_norm 'net/norm' has 4 inputs, its operator takes 5");
  CHECK(verified([](Graph& g) { node_of(g, 1).inputs[1] = {0}; }) ==
        "broken graph 'step': batch_norm 'net/norm': scale is f32[8,3,8,8], expected f32[4] (one a "
        "channel of x)");
  CHECK(verified([](Graph& g) { node_of(g, 0).attributes.set("channels", int64_t{5}); }) ==
        "broken graph 'step': conv2d 'net/conv': w is f32[4,3,3,3], expected f32[5,3,3,3] "
        "(channels, those of x, kernel)");
  CHECK(verified([](Graph& g) { node_of(g, 0).attributes.set("chanels", int64_t{4}); }) ==
        "broken graph 'step': conv2d 'net/conv': conv2d has no attribute 'chanels'");
  CHECK(verified([](Graph& g) { node_of(g, 0).attributes.erase("stride"); }) ==
        "broken graph 'step': conv2d 'net/conv' has incomplete attributes");
  CHECK(verified([](Graph& g) { const_cast<Value&>(g.values()[3]).type.dtype = DType::f16; }) ==
        "broken graph 'step': output 0 of conv2d 'net/conv' is f16[8,4,8,8], its operator gives "
        "f32[8,4,8,8]");
  CHECK(verified([](Graph& g) { node_of(g, 1).outputs.pop_back(); }) ==
        "broken graph 'step': batch_norm 'net/norm' has 4 outputs, its operator gives 5");
  CHECK(verified([](Graph& g) { std::swap(node_of(g, 1).outputs[1], node_of(g, 1).outputs[2]); }) ==
        "broken graph 'step': output 1 of batch_norm 'net/norm' is not its own");
  CHECK(verified([](Graph& g) { node_of(g, 1).op = nullptr; }) ==
        "broken graph 'step': node 'net/norm' has no operator");
  CHECK(verified([](Graph& g) { node_of(g, 0).body = node_of(g, 2).body; }) ==
        "broken graph 'step': conv2d 'net/conv' has a body, its operator takes none");
  CHECK(verified([](Graph& g) { const_cast<Leaf&>(g.leaves()[1]).name = "images"; }) ==
        "broken graph 'step': two leaves are named 'images'");
  CHECK(verified([](Graph& g) { const_cast<Leaf&>(g.leaves()[1]).value = {0}; }) ==
        "broken graph 'step': leaf 'label' has no value of its own");
  CHECK(verified([](Graph& g) { const_cast<Leaf&>(g.leaves()[0]).trainable = true; }) ==
        "broken graph 'step': leaf 'images' is trainable and no state");
  CHECK(verified([](Graph& g) { const_cast<Leaf&>(g.leaves()[7]).choice.bounds.pop_back(); }) ==
        "broken graph 'step': choice 'crop/choice' is i32[8,2] with 1 bounds");
  CHECK(verified([](Graph& g) { const_cast<Result&>(g.results()[0]).value = {}; }) ==
        "broken graph 'step': result 'the pool's output' has no value");
  CHECK(verified([](Graph& g) { g.add_result("the pool's output", {0}); }) ==
        "broken graph 'step': two results are named 'the pool's output'");
  CHECK(verified([](Graph& g) { g.add_update({6}, {7}); }) ==
        "broken graph 'step': state 'net/norm/running_mean' is updated twice");
  CHECK(verified([](Graph& g) { const_cast<StateUpdate&>(g.updates()[0]).state = {0}; }) ==
        "broken graph 'step': update of %0, which is no state");
  CHECK(verified([](Graph& g) { const_cast<StateUpdate&>(g.updates()[0]).value = {3}; }) ==
        "broken graph 'step': state 'net/norm/running_mean' is f32[4], its update f32[8,4,8,8]");
  CHECK(verified([](Graph& g) {
          auto body = std::make_shared<Graph>(*node_of(g, 2).body);
          node_of(*body, 0).inputs[0] = {7};
          node_of(g, 2).body = body;
        }) == "broken graph 'relu_pool': relu 'net/relu' reads %7, which is not there");
}

TEST_CASE("a graph refuses what it cannot hold") {
  Graph graph;
  const ValueId x = graph.add_input("x", {DType::f32, {2}});
  CHECK_THROWS_AS(graph.add_input("x", {DType::f32, {2}}), std::logic_error);
  CHECK_THROWS_AS(graph.add_update(x, x), std::logic_error);
  CHECK_THROWS_AS(graph.add_result("y", {}), std::logic_error);
  CHECK_THROWS_AS(graph.add("no_such", {x}, {}, ""), std::logic_error);
  CHECK_THROWS_AS(graph.leaf(graph.add("relu", {x}, {}, "")), std::logic_error);
  const auto source = std::make_shared<const SourceText>(SourceText{"f.yaml", "relu"});
  try {
    graph.add_node(op("relu"), {}, {x, x}, "p", {source, 1, 1, 4});
    FAIL("no error");
  } catch (const Error& error) {
    CHECK(error.where().str() == "f.yaml:1:1");
  }
}

TEST_CASE("consumers lists every reader in order, one that reads twice twice") {
  Graph graph;
  const ValueId x = graph.add_input("x", {DType::f32, {2}});
  const ValueId twice = graph.add("add", {x, x}, {}, "twice");
  graph.add("relu", {x}, {}, "relu");
  const auto consumers = graph.consumers();
  CHECK(consumers[0] == std::vector<NodeId>{{0}, {0}, {1}});
  CHECK(consumers[static_cast<size_t>(twice.index)].empty());
}

TEST_CASE("types and attribute values have exact text") {
  CHECK(TensorType{DType::bf16, {5, 1}}.str() == "bf16[5,1]");
  CHECK(TensorType{}.str() == "f32[]");
  CHECK(parse_tensor_type("u8[2,3]") == TensorType{DType::u8, {2, 3}});
  CHECK(parse_tensor_type("f64[]") == TensorType{DType::f64, {}});
  for (const std::string_view bad : {"", "f32", "f32[", "f32]", "f32[2,]", "f32[a]", "f32[2 3]",
                                     "f31[2]", "f32[-1]", "f32[99999999999999999999]"}) {
    CAPTURE(bad);
    CHECK_FALSE(parse_tensor_type(bad).has_value());
  }
  CHECK(TensorType{DType::f32, {2, 3}}.bytes() == 24);
  CHECK(TensorType{DType::f64, {int64_t{1} << 40, int64_t{1} << 40}}.bytes() == INT64_MAX);
  CHECK(to_text(AttributeValue(1.0)) == "1.0");
  CHECK(to_text(AttributeValue(5e-4)) == "0.0005");
  CHECK(to_text(AttributeValue(1e300)) == "1e+300");
  CHECK(to_text(AttributeValue(std::vector<double>{0, 0.44})) == "[0.0, 0.44]");
  CHECK(to_text(AttributeValue(std::string("a\"b"))) == "\"a\\\"b\"");
  CHECK(to_text(AttributeValue(true)) == "true");
  CHECK_THROWS_AS(Attributes().integer("k"), std::logic_error);
}

TEST_CASE("attributes are completed, converted and checked") {
  Attributes given;
  given.set("channels", int64_t{8});
  given.set("kernel", int64_t{3});
  const Attributes complete = complete_attributes(op("conv2d"), given);
  CHECK(complete.integers("kernel") == std::vector<int64_t>{3});
  CHECK(complete.integers("stride") == std::vector<int64_t>{1});
  CHECK_FALSE(complete.flag("bias"));
  CHECK(complete_attributes(op("conv2d"), complete) == complete);

  Attributes knots;
  knots.set("epochs", std::vector<int64_t>{0, 5});
  knots.set("values", 0.5);
  CHECK(complete_attributes(op("piecewise_linear"), knots).reals("epochs") ==
        std::vector<double>{0, 5});

  struct Case {
    std::string_view op, attribute;
    AttributeValue value;
    std::string_view error;
  };
  const double infinity = std::numeric_limits<double>::infinity();
  const Case cases[] = {
      {"conv2d", "chanels", int64_t{8},
       "error: conv2d has no attribute 'chanels'\nnote: did you mean 'channels'?\n"},
      {"max_pool", "ceil_mode", true,
       "error: max_pool has no attribute 'ceil_mode'\n"
       "note: its attributes are size, stride, padding\n"},
      {"relu", "slope", 0.1, "error: relu has no attribute 'slope'\n"},
      {"conv2d", "channels", 8.5, "error: channels of conv2d is 8.5, expected an integer\n"},
      {"conv2d", "channels", std::string("many"),
       "error: channels of conv2d is \"many\", expected an integer\n"},
      {"conv2d", "kernel", std::vector<double>{1, 2.5},
       "error: kernel of conv2d is [1.0, 2.5], expected a list of integers\n"},
      {"conv2d", "bias", int64_t{1}, "error: bias of conv2d is 1, expected true or false\n"},
      {"scale", "factor", std::string("x"), "error: factor of scale is \"x\", expected a number\n"},
      {"scale", "factor", infinity, "error: factor of scale is inf, expected a finite number\n"},
      {"normalise", "mean", std::vector<double>{0, infinity},
       "error: mean of normalise is [0.0, inf], expected a finite number\n"},
      {"normalise", "mean", true, "error: mean of normalise is true, expected a list of numbers\n"},
      {"cross_entropy", "reduction", int64_t{3},
       "error: reduction of cross_entropy is 3, expected a text\n"},
      {"cross_entropy", "reduction", std::string("meen"),
       "error: reduction of cross_entropy is \"meen\", expected mean or sum\n"
       "note: did you mean 'mean'?\n"},
      {"conv2d", "kernel", int64_t{3},
       "error: conv2d needs attribute 'channels': filters, channels of y\n"},
  };
  for (const Case& one : cases) {
    Attributes attributes;
    attributes.set(std::string(one.attribute), one.value);
    std::string error = "no error";
    try {
      complete_attributes(op(one.op), attributes);
    } catch (const Error& thrown) {
      error = thrown.render();
    }
    CHECK(error == one.error);
  }
}

TEST_CASE("an attribute's error is at its own place") {
  const auto source = std::make_shared<const SourceText>(SourceText{"f.yaml", "factor: x"});
  Attributes attributes;
  attributes.set("factor", std::string("x"));
  try {
    complete_attributes(op("scale"), attributes, [&](std::string_view name) {
      return Location{source, 1, 9, name == "factor" ? 1 : 0};
    });
    FAIL("no error");
  } catch (const Error& error) {
    CHECK(error.where().str() == "f.yaml:1:9");
  }
}
