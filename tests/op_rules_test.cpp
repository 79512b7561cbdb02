// op_rules_test: output types, states, choices, gradients and costs of right nodes.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <cmath>
#include <memory>
#include <set>

#include "core/ops/common.h"
#include "tests/support/op_graphs.h"

using namespace expgraph;

namespace {

std::string types_of(std::string_view types, std::string_view node, size_t outputs = 1) {
  const Graph graph = graph_of(types, node, outputs);
  verify(graph);
  CHECK(to_text(parse_graph(to_text(graph))) == to_text(graph));
  std::string text;
  for (const ValueId id : graph.nodes()[0].outputs) {
    text += (text.empty() ? "" : " ") + graph.type(id).str();
  }
  return text;
}

/// Context over types, for the rules that run before a node is made.
struct Unwired {
  const OpSchema& schema;
  Attributes attributes;
  std::vector<TensorType> types;
  std::vector<const TensorType*> inputs;

  Unwired(std::string_view name, std::string_view x, Attributes given)
      : schema(op(name)), attributes(complete_attributes(schema, std::move(given))) {
    types.push_back(*parse_tensor_type(x));
    inputs.assign(schema.inputs.size(), nullptr);
    inputs[0] = &types[0];
  }
  InferContext context() const { return {schema, inputs, attributes}; }
  std::optional<StateRule> state(std::string_view input) const {
    return schema.state(context(), static_cast<size_t>(schema.input_index(input)));
  }
  std::vector<int64_t> bounds() const { return schema.choice(context(), 1).bounds; }
};

Attributes with(std::initializer_list<std::pair<std::string, AttributeValue>> values) {
  Attributes attributes;
  for (const auto& [name, value] : values) attributes.set(name, value);
  return attributes;
}

}  // namespace

TEST_CASE("types of right nodes") {
  CHECK(types_of("f64[]", "relu(%0)") == "f64[]");
  CHECK(types_of("f32[2] f32[2] f32[2]", "add(%0, %1, %2)") == "f32[2]");
  CHECK(types_of("", "constant() {value=1, dtype=\"f64\"}") == "f64[]");
  CHECK(types_of("u8[2,3,4]", "flatten(%0)") == "u8[2,12]");
  CHECK(types_of("f32[6,3,2,2] f32[3]", "batch_norm(%0, %1, %1, %1, %1) {splits=3}", 5) ==
        "f32[6,3,2,2] f32[9] f32[9] f32[3] f32[3]");
  CHECK(types_of("f32[8,3,5,6]", "views(%0) {mirrored=[0, 1, 0]}") == "f32[24,3,5,6]");
  CHECK(types_of("f32[8,3]", "average_views(%0)") == "f32[4,3]");
  CHECK(types_of("f32[8,3,5,6] i32[8] i32[8,1]", "mixup(%0, %1, %2)", 3) ==
        "f32[8,3,5,6] i32[8] i32[8]");
  CHECK(types_of("f32[2]", "flatten(%0)") == "f32[2,1]");
  CHECK(types_of("f32[2,6]", "reshape(%0) {shape=[3, 4]}") == "f32[3,4]");
  CHECK(types_of("f32[2,3] f32[2,4]", "concat(%0, %1, %0)") == "f32[2,10]");
  CHECK(types_of("f32[2,10]", "slice(%0) {axis=1, start=3, length=7}") == "f32[2,7]");
  CHECK(types_of("f32[2,5,3,3]", "channel_sum(%0)") == "f32[5]");
  CHECK(types_of("f32[8,4] f32[2,4] f32[2]", "linear(%0, %1, %2) {features=2}") == "f32[8,2]");
  CHECK(types_of("f32[8,2] f32[2,4]", "linear_backward_data(%0, %1)") == "f32[8,4]");
  CHECK(types_of("f32[8,2] f32[8,4]", "linear_backward_weights(%0, %1)") == "f32[2,4]");
  CHECK(types_of("f32[8,3,7,6] f32[5,3,3,2]",
                 "conv2d(%0, %1) {channels=5, kernel=[3, 2], stride=[2, 1], padding=[1, 0]}") ==
        "f32[8,5,4,5]");
  CHECK(
      types_of("f32[8,5,4,5] f32[5,3,3,2]",
               "conv2d_backward_data(%0, %1) {height=7, width=6, stride=[2, 1], padding=[1, 0]}") ==
      "f32[8,3,7,6]");
  CHECK(
      types_of("f32[8,5,4,5] f32[8,3,7,6]",
               "conv2d_backward_weights(%0, %1) {kernel=[3, 2], stride=[2, 1], padding=[1, 0]}") ==
      "f32[5,3,3,2]");
  CHECK(types_of("f32[8,3,7,7]", "max_pool(%0) {size=2}", 2) == "f32[8,3,3,3] u8[8,3,3,3]");
  CHECK(types_of("f32[8,3,7,7]", "max_pool(%0) {size=3, stride=2, padding=1}", 2) ==
        "f32[8,3,4,4] u8[8,3,4,4]");
  CHECK(types_of("f32[8,3,16,16]", "max_pool(%0) {size=0}", 2) == "f32[8,3,1,1] u8[8,3,1,1]");
  CHECK(types_of("f32[8,3,16,17]", "max_pool(%0) {size=0}", 2) == "f32[8,3,1,1] i32[8,3,1,1]");
  CHECK(types_of("f32[8,3,7,7]", "average_pool(%0) {size=0}") == "f32[8,3,1,1]");
  CHECK(types_of("bf16[8,3] f32[3]", "batch_norm(%0, %1, %1, %1, %1)", 5) ==
        "bf16[8,3] f32[3] f32[3] f32[3] f32[3]");
  CHECK(types_of("f64[8,3] f64[3]", "batch_norm_apply(%0, %1, %1, %1, %1)") == "f64[8,3]");
  CHECK(types_of("f32[8,3] f32[8,3] f32[3]", "batch_norm_backward(%0, %1, %2, %2, %2)", 3) ==
        "f32[8,3] f32[3] f32[3]");
  CHECK(types_of("bf16[8,10] i32[8]", "cross_entropy(%0, %1)") == "f32[]");
  CHECK(types_of("f64[8,10] i32[8]", "correct(%0, %1) {k=10}") == "f64[]");
  CHECK(types_of("f32[] f32[8,10] i32[8]", "cross_entropy_backward(%0, %1, %2)") == "f32[8,10]");
  CHECK(types_of("f32[] f32[]", "sgd(%0, %1)", 0).empty());
  CHECK(types_of("f32[2] f32[]", "sgd_update(%0, %0, %1, _)") == "f32[2]");
  CHECK(types_of("f32[2] f32[]", "sgd_update(%0, %0, %1, %0) {momentum=0.9}", 2) ==
        "f32[2] f32[2]");
  CHECK(types_of("", "piecewise_linear() {epochs=3, values=1}") == "f32[]");
  CHECK(types_of("", "dataset() {name=\"shapes10\", split=\"test\"}", 0).empty());
  CHECK(types_of("u8[8,5,6,3]", "normalise(%0) {mean=[1, 2, 3], std=[1, 2, 3]}") == "f32[8,5,6,3]");
  CHECK(types_of("u8[8,5,6,3]", "pad(%0) {size=[4, 0]}") == "u8[8,13,6,3]");
  CHECK(types_of("u8[8,5,6,3]", "pad(%0) {size=9, mode=\"zero\"}") == "u8[8,23,24,3]");
  CHECK(types_of("f32[8,5,6,3] i32[8,2]", "random_crop(%0, %1) {size=[5, 2]}") == "f32[8,5,2,3]");
  CHECK(types_of("u8[8,5,6,3] i32[8,1]", "random_flip(%0, %1)") == "u8[8,5,6,3]");
  CHECK(types_of("u8[8,5,6,3] i32[8,2]", "cutout(%0, %1) {size=0}") == "u8[8,5,6,3]");
  CHECK(types_of("u8[8,5,6,3]", "cache(%0)") == "u8[8,5,6,3]");
  CHECK(types_of("u8[8,5,6,3]", "batch(%0) {size=4}", 2) == "u8[4,5,6,3] i32[4]");
  CHECK(types_of("u8[8,5,6,3] i32[2]", "gather(%0, %1)") == "u8[2,5,6,3]");
  CHECK(types_of("u8[8,5,6,3]", "to_images(%0)") == "f32[8,3,5,6]");
}

TEST_CASE("unwired parameters and statistics become states") {
  using Kind = Initialiser::Kind;
  const Unwired conv("conv2d", "f32[8,4,5,5]",
                     with({{"channels", int64_t{6}}, {"kernel", int64_t{2}}}));
  CHECK(conv.state("w")->type.str() == "f32[6,4,2,2]");
  CHECK(conv.state("w")->initialiser == Initialiser{Kind::uniform, -0.25, 0.25});
  CHECK_FALSE(conv.state("b").has_value());
  const Unwired biased("conv2d", "f32[8,4,5,5]",
                       with({{"channels", int64_t{6}}, {"kernel", int64_t{2}}, {"bias", true}}));
  CHECK(biased.state("b")->type.str() == "f32[6]");
  CHECK(biased.state("b")->initialiser == Initialiser{Kind::uniform, -0.25, 0.25});
  const Unwired linear("linear", "f64[8,16]", with({{"features", int64_t{3}}}));
  CHECK(linear.state("w")->type.str() == "f64[3,16]");
  CHECK(linear.state("w")->initialiser == Initialiser{Kind::uniform, -0.25, 0.25});
  CHECK(linear.state("b")->type.str() == "f64[3]");
  const Unwired unbiased("linear", "f32[8,16]", with({{"features", int64_t{3}}, {"bias", false}}));
  CHECK_FALSE(unbiased.state("b").has_value());
  const Unwired dirac(
      "conv2d", "f32[8,4,5,5]",
      with({{"channels", int64_t{6}}, {"kernel", int64_t{2}}, {"init", std::string("dirac")}}));
  CHECK(dirac.state("w")->initialiser == Initialiser{Kind::dirac, -0.25, 0.25});
  const Unwired head("linear", "f32[8,16]", with({{"features", int64_t{3}}, {"init_std", 2.0}}));
  CHECK(head.state("w")->initialiser.b == doctest::Approx(2 * std::sqrt(3)));
  CHECK(head.state("b")->initialiser == Initialiser{Kind::uniform, -0.25, 0.25});
  const Unwired shifted("batch_norm", "f32[8,5]", with({{"affine", std::string("bias")}}));
  CHECK_FALSE(shifted.state("scale").has_value());
  CHECK(shifted.state("bias").has_value());
  const Unwired bare("batch_norm", "f32[8,5]", with({{"affine", std::string("none")}}));
  CHECK_FALSE(bare.state("bias").has_value());
  CHECK(bare.state("running_var").has_value());
  const Unwired norm("batch_norm", "bf16[1,5,1,1]", {});
  CHECK(norm.state("scale")->type.str() == "f32[5]");
  CHECK(norm.state("scale")->initialiser == Initialiser{Kind::constant, 1, 0});
  CHECK(norm.state("bias")->initialiser == Initialiser{Kind::constant, 0, 0});
  CHECK(norm.state("running_mean")->initialiser == Initialiser{Kind::constant, 0, 0});
  CHECK(norm.state("running_var")->initialiser == Initialiser{Kind::constant, 1, 0});
  const Unwired spread("batch_norm", "f32[8,5]", with({{"scale_init", std::string("uniform")}}));
  CHECK(spread.state("scale")->initialiser == Initialiser{Kind::uniform, 0, 1});
  CHECK(spread.state("running_var")->initialiser == Initialiser{Kind::constant, 1, 0});
}

TEST_CASE("rules of states check what they are given") {
  const auto wide = with({{"features", int64_t{3}}});
  CHECK(message_of([&] { Unwired("linear", "f32[8,4,2,2]", wide).state("w"); }) ==
        "x is f32[8,4,2,2], linear expects [N, K]; flatten comes first");
  const auto large = with({{"channels", int64_t{2}}, {"kernel", int64_t{9}}});
  CHECK(message_of([&] { Unwired("conv2d", "f32[8,4,5,5]", large).state("w"); }) ==
        "conv2d kernel 9x9 is larger than the map 5x5 (padding [0])");
  CHECK(message_of([&] { Unwired("batch_norm", "f32[8]", {}).state("scale"); }) ==
        "x is f32[8], batch_norm expects [N, C] or [N, C, H, W]");
  const auto huge = with({{"channels", int64_t{1'000'000'000'000}}, {"kernel", int64_t{3}}});
  const StateRule rule = *Unwired("conv2d", "f32[8,4,5,5]", huge).state("w");
  Graph graph;
  CHECK(message_of([&] { graph.add_state("conv/w", rule.type, rule.initialiser, true); }) ==
        "conv/w would be f32[1000000000000,4,3,3], a tensor may have at most 68719476736 elements");
}

TEST_CASE("unwired choices get their bounds from the image") {
  using Bounds = std::vector<int64_t>;
  CHECK(Unwired("random_crop", "u8[8,40,38,3]", with({{"size", int64_t{32}}})).bounds() ==
        Bounds{9, 7});
  CHECK(Unwired("random_flip", "u8[8,40,38,3]", {}).bounds() == Bounds{2});
  CHECK(Unwired("cutout", "u8[8,32,32,3]", with({{"size", std::vector<int64_t>{8, 4}}})).bounds() ==
        Bounds{25, 29});
  const Unwired mix("mixup", "f32[8,3,5,5]", with({{"alpha", 0.25}}));
  CHECK(mix.schema.choice(mix.context(), 2) ==
        ChoiceRule{Bounds{65537}, ChoiceRule::Kind::beta, 0.25});
  const Unwired turns("random_flip", "u8[8,4,4,3]", with({{"mode", std::string("alternating")}}));
  CHECK(turns.schema.choice(turns.context(), 1) ==
        ChoiceRule{Bounds{2}, ChoiceRule::Kind::alternating});
  CHECK(message_of([] { Unwired("random_flip", "u8[8]", {}).bounds(); }) ==
        "x is u8[8], random_flip expects [N, H, W, C]");
  const auto large = with({{"size", int64_t{33}}});
  CHECK(message_of([&] { Unwired("random_crop", "u8[8,32,32,3]", large).bounds(); }) ==
        "random_crop of 33x33 is larger than the image 32x32");
  CHECK(message_of([&] { Unwired("cutout", "u8[8,32,32,3]", large).bounds(); }) ==
        "cutout of 33x33 is larger than the image 32x32");
}

TEST_CASE("costs count multiply-accumulates, operations and bytes") {
  const auto cost = [](std::string_view types, std::string_view node, size_t outputs = 1) {
    const Graph graph = graph_of(types, node, outputs);
    const Cost found = cost_of(graph, graph.nodes()[0]);
    return fmt::format("{} {} {}", found.macs, found.flops, found.bytes);
  };
  CHECK(cost("f32[2,3]", "relu(%0)") == "0 6 48");
  CHECK(cost("f32[2,3]", "add(%0, %0, %0)") == "0 12 96");
  CHECK(cost("f32[2,3]", "flatten(%0)") == "0 0 48");
  CHECK(cost("f32[2,3]", "channel_sum(%0)") == "0 6 36");
  CHECK(cost("f32[8,4] f32[2,4]", "linear(%0, %1) {features=2, bias=false}") == "64 128 224");
  CHECK(cost("f32[8,2] f32[2,4]", "linear_backward_data(%0, %1)") == "64 128 224");
  CHECK(cost("f32[8,2] f32[8,4]", "linear_backward_weights(%0, %1)") == "64 128 224");
  // 8 * 5 * 3 * 3 outputs of 3 * 2 * 2 products.
  const std::string bytes = fmt::format("{}", 4 * (8 * 3 * 16 + 5 * 3 * 4 + 8 * 5 * 9));
  CHECK(cost("f32[8,3,4,4] f32[5,3,2,2]", "conv2d(%0, %1) {channels=5, kernel=2}") ==
        "4320 8640 " + bytes);
  CHECK(cost("f32[8,5,3,3] f32[5,3,2,2]", "conv2d_backward_data(%0, %1) {height=4, width=4}") ==
        "4320 8640 " + bytes);
  CHECK(cost("f32[8,5,3,3] f32[8,3,4,4]", "conv2d_backward_weights(%0, %1) {kernel=2}") ==
        "4320 8640 " + bytes);
  CHECK(cost("f32[1,1,4,4]", "max_pool(%0) {size=2}", 2) == "0 16 84");
  CHECK(cost("f32[1,1,4,4]", "average_pool(%0) {size=0}") == "0 16 68");
  CHECK(cost("f32[1,1,2,2] u8[1,1,2,2]",
             "max_pool_backward(%0, %1) {size=2, stride=2, padding=0, height=4, width=4}") ==
        "0 4 84");
  CHECK(cost("f32[1,1,2,2]",
             "average_pool_backward(%0) {size=2, stride=2, padding=0, height=4, width=4}") ==
        "0 16 80");
  CHECK(cost("f32[8,3] f32[3]", "batch_norm_apply(%0, %1, %1, %1, %1)") == "0 48 240");
  CHECK(cost("f32[8,10] i32[8]", "cross_entropy(%0, %1)") == "0 400 356");
  CHECK(cost("f32[] f32[8,10] i32[8]", "cross_entropy_backward(%0, %1, %2)") == "0 400 676");
  CHECK(cost("f32[2] f32[]", "sgd_update(%0, %0, %1)") == "0 4 28");
  CHECK(cost("f32[2] f32[]",
             "sgd_update(%0, %0, %1, %0) {momentum=0.9, nesterov=true, weight_decay=0.1}",
             2) == "0 16 44");
  CHECK(cost("f32[2,6] f32[]", "muon_update(%0, %0, %1, %0) {iterations=3}", 2) == "168 336 244");
  CHECK(cost("u8[100,4,4,3] i32[2]", "gather(%0, %1)") == "0 0 200");
  CHECK(cost("f32[2,3]",
             "fusion(%0) {kind=\"k\"} body b { %0 = input x : f32[2,3] %1 = relu(%0) "
             "%2 = relu(%1) result y = %2 }") == "0 12 48");
  // Costs of what cannot run stop at a bound instead of overflowing.
  const Graph large = graph_of("f32[1,1,262144,262144] f32[1,1,131072,131072]",
                               "conv2d(%0, %1) {channels=1, kernel=131072}");
  CHECK(cost_of(large, large.nodes()[0]).flops == int64_t{1} << 56);
}

TEST_CASE("a gradient rule adds only what is wanted") {
  struct Case {
    std::string_view types, node;
    std::vector<bool> wanted;
    std::string_view added;
    size_t outputs = 1;
  };
  const Case cases[] = {
      {"f32[2]", "relu(%0)", {true}, "relu_backward(dy, y)"},
      {"f32[2]", "add(%0, %0)", {true, true}, ""},
      {"f32[2]", "scale(%0) {factor=3}", {true}, "scale(dy)"},
      {"f32[2,3]", "flatten(%0)", {true}, "reshape(dy)"},
      {"f32[2,3]", "concat(%0, %0)", {false, true}, "slice(dy)"},
      {"f32[2,3]", "concat(%0, %0)", {true, true}, "slice(dy) slice(dy)"},
      {"f32[8,4] f32[2,4] f32[2]",
       "linear(%0, %1, %2) {features=2}",
       {false, true, true},
       "linear_backward_weights(dy, x0) channel_sum(dy)"},
      {"f32[8,4] f32[2,4]",
       "linear(%0, %1) {features=2, bias=false}",
       {true, false, false},
       "linear_backward_data(dy, x1)"},
      {"f32[8,3,4,4] f32[2,3,3,3]",
       "conv2d(%0, %1) {channels=2, kernel=3}",
       {false, true, false},
       "conv2d_backward_weights(dy, x0)"},
      {"f32[8,3,4,4] f32[2,3,3,3] f32[2]",
       "conv2d(%0, %1, %2) {channels=2, kernel=3, bias=true}",
       {true, true, true},
       "conv2d_backward_weights(dy, x0) conv2d_backward_data(dy, x1) channel_sum(dy)"},
      {"f32[8,3,4,4]", "max_pool(%0) {size=2}", {true}, "max_pool_backward(dy, y1)", 2},
      {"f32[8,3,4,4]", "average_pool(%0) {size=0}", {true}, "average_pool_backward(dy)"},
      {"f32[8,3] f32[3]",
       "batch_norm(%0, %1, %1, %1, %1)",
       {true, true, true, false, false},
       "batch_norm_backward(dy, x0, x1, y1, y2)",
       5},
      {"f32[8,10] i32[8]",
       "cross_entropy(%0, %1)",
       {true, false, false, false},
       "cross_entropy_backward(dy, x0, x1, _, _)"},
      {"f32[2]", "cast(%0) {dtype=\"bf16\"}", {true}, "cast(dy)"},
      {"f32[2]", "celu(%0)", {true}, "celu_backward(dy, y)"},
      {"f32[2]", "gelu(%0)", {true}, "gelu_backward(dy, x0)"},
  };
  std::set<std::string_view> tried;
  for (const Case& one : cases) {
    CAPTURE(one.node);
    Graph graph = graph_of(one.types, one.node, one.outputs);
    const Node node = graph.nodes()[0];
    tried.insert(node.op->name);
    std::vector<ValueId> grads(node.outputs.size());
    grads[0] = graph.add_input("dy", graph.type(node.outputs[0]));
    const auto wanted = std::make_unique<bool[]>(one.wanted.size());
    std::copy(one.wanted.begin(), one.wanted.end(), wanted.get());
    const std::vector<ValueId> found =
        node.op->gradient({graph, node, grads, {wanted.get(), one.wanted.size()}});
    verify(graph);
    REQUIRE(found.size() == node.inputs.size());
    for (size_t k = 0; k < found.size(); ++k) {
      if (!one.wanted[k]) continue;
      REQUIRE(found[k].valid());
      CHECK(graph.type(found[k]) == graph.type(node.inputs[k]));
    }
    std::string added;
    for (size_t k = 1; k < graph.nodes().size(); ++k) {
      const Node& made = graph.nodes()[k];
      CHECK(made.path == node.path + "/backward");
      std::string read;
      for (const ValueId id : made.inputs) {
        if (!id.valid()) {
          read += ", _";
          continue;
        }
        const bool leaf = graph.is_leaf(id);
        const std::string output = fmt::format("y{}", graph.value(id).output);
        const std::string name = leaf ? graph.leaf(id).name : output == "y0" ? "y" : output;
        read += (read.empty() ? "" : ", ") + (name[0] == 'i' ? "x" + name.substr(1) : name);
      }
      added += fmt::format("{}{}({})", added.empty() ? "" : " ", made.op->name, read);
    }
    CHECK(added == one.added);
  }
  for (const OpSchema* op : all_ops()) {
    if (op->gradient == nullptr || op->name == "reshape") continue;
    CHECK_MESSAGE(tried.contains(op->name), op->name, " has a gradient that is not tried here");
  }
}

TEST_CASE("a loss over a batch's statistics has no gradient") {
  Graph graph = graph_of("f32[8,3] f32[3]", "batch_norm(%0, %1, %1, %1, %1)", 5);
  const Node node = graph.nodes()[0];
  std::vector<ValueId> grads(5);
  grads[1] = graph.add_input("dmean", {DType::f32, {3}});
  const bool wanted[5] = {true, true, true, false, false};
  CHECK(message_of([&] {
          node.op->gradient({graph, node, grads, wanted});
        }) ==
        "batch_norm has a gradient through its output 'y' alone, the loss reads its output 'mean'");
}

TEST_CASE("windows are resolved in one place") {
  const Attributes pool = complete_attributes(op("max_pool"), with({{"size", int64_t{3}}}));
  const Window same = pool_window(pool, 9, 9);
  CHECK(same.sh == 3);
  CHECK(same.out_height(9) == 3);
  CHECK(same.out_width(11) == 3);
  const Attributes whole = complete_attributes(op("max_pool"), with({{"size", int64_t{0}}}));
  const Window map = pool_window(whole, 5, 7);
  CHECK(map.places() == 35);
  CHECK(map.out_height(5) == 1);
  CHECK(index_dtype({16, 16}) == DType::u8);
  CHECK(index_dtype({1, 257}) == DType::i32);
}
