// ops_infer_test: every check that an operator makes, with its message; types, states, choices,
// gradients and costs of those that are right.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <set>

#include "core/ir/op_schema.h"
#include "core/ops/common.h"

using namespace expgraph;

namespace {

/// Inputs as types, then the node's text over %0, %1, ...: "f32[2,3] u8[1]", "relu(%0)".
Graph graph_of(std::string_view types, std::string_view node, size_t outputs = 1) {
  std::string text = "graph g {\n";
  size_t k = 0;
  for (std::string_view rest = types; !rest.empty(); ++k) {
    const size_t length = std::min(rest.find(' '), rest.size());
    text += fmt::format("%{} = input i{} : {}\n", k, k, rest.substr(0, length));
    rest.remove_prefix(std::min(length + 1, rest.size()));
  }
  std::string made;
  for (size_t j = 0; j < outputs; ++j) made += fmt::format("{}%{}", j == 0 ? "" : ", ", k + j);
  return parse_graph(fmt::format("{}{}{}{}\n}}\n", text, made, outputs == 0 ? "" : " = ", node));
}

std::string error_of(std::string_view types, std::string_view node) {
  try {
    graph_of(types, node);
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

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

template <typename Call>
std::string message_of(Call call) {
  try {
    call();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

struct Mistake {
  std::string_view types, node, error;
};

void check_all(std::span<const Mistake> mistakes) {
  for (const Mistake& one : mistakes) {
    CAPTURE(one.types);
    CAPTURE(one.node);
    CHECK(error_of(one.types, one.node) == one.error);
  }
}

}  // namespace

TEST_CASE("mistakes in elementwise operators") {
  check_all(std::vector<Mistake>{
      {"u8[2]", "relu(%0)", "x is u8[2], relu expects floating point numbers"},
      {"i32[2]", "scale(%0) {factor=2}", "x is i32[2], scale expects floating point numbers"},
      {"f32[2]", "add(%0)", "add takes two or more inputs, got 1"},
      {"", "add()", "add needs its input 'x'"},
      {"u8[2]", "add(%0, %0)", "x is u8[2], add expects floating point numbers"},
      {"f32[2] f32[3]", "add(%0, %0, %1)",
       "add needs inputs of one type, input 1 is f32[2] and input 3 is f32[3]"},
      {"f32[2] f16[2]", "add(%0, %1)",
       "add needs inputs of one type, input 1 is f32[2] and input 2 is f16[2]"},
      {"f32[2] u8[2]", "relu_backward(%0, %1)",
       "y is u8[2], relu_backward expects floating point numbers"},
      {"f32[2] f32[3]", "relu_backward(%0, %1)", "dy is f32[2], expected f32[3] (the type of y)"},
      {"", "constant() {value=1, shape=[0]}",
       "output 'y' of constant would be f32[0], every dimension must be at least 1"},
      {"", "constant() {value=1, shape=[1000000, 1000000]}",
       "output 'y' of constant would be f32[1000000,1000000], a tensor may have at most "
       "68719476736 elements"},
  });
}

TEST_CASE("mistakes in shape operators") {
  check_all(std::vector<Mistake>{
      {"f32[]", "flatten(%0)", "x is f32[], flatten expects [N, ...]"},
      {"f32[2,3]", "reshape(%0) {shape=[4]}", "x is f32[2,3] with 6 elements, shape [4] has 4"},
      {"f32[2,3]", "reshape(%0) {shape=[-2, -3]}",
       "output 'y' of reshape would be f32[-2,-3], every dimension must be at least 1"},
      {"f32[2,3]", "concat(%0) {axis=2}", "axis is 2, expected 0 to 1 (x is f32[2,3])"},
      {"f32[2,3]", "concat(%0) {axis=-1}", "axis is -1, expected 0 to 1 (x is f32[2,3])"},
      {"f32[2,3] f32[3,3]", "concat(%0, %1)",
       "concat needs inputs that differ along axis 1 alone, input 1 is f32[2,3] and input 2 is "
       "f32[3,3]"},
      {"f32[2,3] f32[2,3,1]", "concat(%0, %1)",
       "concat needs inputs that differ along axis 1 alone, input 1 is f32[2,3] and input 2 is "
       "f32[2,3,1]"},
      {"f32[2,3]", "slice(%0) {axis=5, start=0, length=1}",
       "axis is 5, expected 0 to 1 (x is f32[2,3])"},
      {"f32[2,3]", "slice(%0) {axis=1, start=-1, length=1}", "start is -1, expected at least 0"},
      {"f32[2,3]", "slice(%0) {axis=1, start=0, length=0}", "length is 0, expected at least 1"},
      {"f32[2,3]", "slice(%0) {axis=1, start=2, length=2}",
       "slice of 2 from 2 goes beyond axis 1 of f32[2,3]"},
      {"f32[2,3]", "slice(%0) {axis=1, start=1, length=9223372036854775807}",
       "slice of 9223372036854775807 from 1 goes beyond axis 1 of f32[2,3]"},
  });
}

TEST_CASE("mistakes in matrix products and sums") {
  check_all(std::vector<Mistake>{
      {"f32[8]", "channel_sum(%0)", "x is f32[8], channel_sum expects [N, C] or [N, C, H, W]"},
      {"u8[8,2]", "channel_sum(%0)", "x is u8[8,2], channel_sum expects floating point numbers"},
      {"f32[8,4,1,1] f32[2,4]", "linear(%0, %1) {features=2, bias=false}",
       "x is f32[8,4,1,1], linear expects [N, K]; flatten comes first"},
      {"i32[8,4] f32[2,4]", "linear(%0, %1) {features=2, bias=false}",
       "x is i32[8,4], linear expects floating point numbers"},
      {"f32[8,4] f32[2,4]", "linear(%0, %1) {features=0, bias=false}",
       "features is 0, expected at least 1"},
      {"f32[8,4] f32[2]", "linear(%0, %1) {features=2, bias=false}",
       "w is f32[2], linear expects [M, K]"},
      {"f32[8,4] f32[2,5]", "linear(%0, %1) {features=2, bias=false}",
       "x has 4 features, w expects 5"},
      {"f32[8,4] f32[3,4]", "linear(%0, %1) {features=2, bias=false}",
       "w is f32[3,4], expected f32[2,4] (features and those of x)"},
      {"f32[8,4] f64[2,4]", "linear(%0, %1) {features=2, bias=false}",
       "w is f64[2,4], expected f32[2,4] (features and those of x)"},
      {"f32[8,4] f32[2,4]", "linear(%0, %1) {features=2}", "bias is true and b is absent"},
      {"f32[8,4] f32[2,4] f32[2]", "linear(%0, %1, %2) {features=2, bias=false}",
       "b is given and bias is false"},
      {"f32[8,4] f32[2,4] f32[4]", "linear(%0, %1, %2) {features=2}",
       "b is f32[4], expected f32[2] (one a feature)"},
      {"u8[8,4] f32[4,3]", "linear_backward_data(%0, %1)",
       "dy is u8[8,4], linear_backward_data expects floating point numbers"},
      {"f32[8] f32[4,3]", "linear_backward_data(%0, %1)",
       "dy is f32[8], linear_backward_data expects [N, M]"},
      {"f32[8,4] f32[4]", "linear_backward_data(%0, %1)",
       "w is f32[4], linear_backward_data expects [M, K]"},
      {"f32[8,4] f32[5,3]", "linear_backward_data(%0, %1)",
       "w is f32[5,3], expected f32[4,3] (a row a column of dy)"},
      {"u8[8,4] f32[8,3]", "linear_backward_weights(%0, %1)",
       "dy is u8[8,4], linear_backward_weights expects floating point numbers"},
      {"f32[8] f32[8,3]", "linear_backward_weights(%0, %1)",
       "dy is f32[8], linear_backward_weights expects [N, M]"},
      {"f32[8,4] f32[8]", "linear_backward_weights(%0, %1)",
       "x is f32[8], linear_backward_weights expects [N, K]"},
      {"f32[8,4] f32[9,3]", "linear_backward_weights(%0, %1)",
       "x is f32[9,3], expected f32[8,3] (a row a row of dy)"},
  });
}

TEST_CASE("mistakes in convolutions") {
  const std::string data = "conv2d_backward_data(%0, %1) ";
  const std::string weights = "conv2d_backward_weights(%0, %1) ";
  const std::string unpadded = data + "{height=3, width=3, stride=0}";
  const std::string rowless = data + "{height=0, width=3}";
  const std::string columnless = data + "{height=3, width=0}";
  const std::string wide = data + "{height=9, width=3}";
  const std::string small = data + "{height=2, width=2}";
  const std::string kernel3 = weights + "{kernel=3}";
  const std::string kernel9 = weights + "{kernel=9}";
  const std::string kernel0 = weights + "{kernel=0}";
  check_all(std::vector<Mistake>{
      {"u8[8,3,4,4] f32[2,3,3,3]", "conv2d(%0, %1) {channels=2, kernel=3}",
       "x is u8[8,3,4,4], conv2d expects floating point numbers"},
      {"f32[8,3] f32[2,3,3,3]", "conv2d(%0, %1) {channels=2, kernel=3}",
       "x is f32[8,3], conv2d expects [N, C, H, W]"},
      {"f32[8,3,4,4] f32[2,3,3,3]", "conv2d(%0, %1) {channels=0, kernel=3}",
       "channels is 0, expected at least 1"},
      {"f32[8,3,4,4] f32[2,3,3,3]", "conv2d(%0, %1) {channels=2, kernel=0}",
       "kernel is 0, expected at least 1"},
      {"f32[8,3,4,4] f32[2,3,3,3]", "conv2d(%0, %1) {channels=2, kernel=[1, 2, 3]}",
       "kernel has 3 numbers, expected one or two"},
      {"f32[8,3,4,4] f32[2,3,3,3]", "conv2d(%0, %1) {channels=2, kernel=[]}",
       "kernel has 0 numbers, expected one or two"},
      {"f32[8,3,4,4] f32[2,3,3,3]", "conv2d(%0, %1) {channels=2, kernel=1000001}",
       "kernel is 1000001, expected at most 1000000"},
      {"f32[8,3,4,4] f32[2,3,3,3]", "conv2d(%0, %1) {channels=2, kernel=3, stride=[1, 0]}",
       "stride is 0, expected at least 1"},
      {"f32[8,3,4,4] f32[2,3,3,3]", "conv2d(%0, %1) {channels=2, kernel=3, padding=-1}",
       "padding is -1, expected at least 0"},
      {"f32[8,3,4,4] f32[2,3,3,3]",
       "conv2d(%0, %1) {channels=2, kernel=3, padding=9223372036854775807}",
       "padding is 9223372036854775807, expected at most 1000000"},
      {"f32[8,3,4,4] f32[2,3,7,7]", "conv2d(%0, %1) {channels=2, kernel=7, padding=[0, 1]}",
       "conv2d kernel 7x7 is larger than the map 4x4 (padding [0, 1])"},
      {"f32[8,3,4,4] f32[2,3]", "conv2d(%0, %1) {channels=2, kernel=3}",
       "w is f32[2,3], conv2d expects [M, C, kh, kw]"},
      {"f32[8,128,4,4] f32[2,64,3,3]", "conv2d(%0, %1) {channels=2, kernel=3}",
       "x has 128 channels, w expects 64"},
      {"f32[8,3,4,4] f32[4,3,3,3]", "conv2d(%0, %1) {channels=2, kernel=3}",
       "w is f32[4,3,3,3], expected f32[2,3,3,3] (channels, those of x, kernel)"},
      {"f32[8,3,4,4] f32[2,3,3,3]", "conv2d(%0, %1) {channels=2, kernel=3, bias=true}",
       "bias is true and b is absent"},
      {"f32[8,3,4,4] f32[2,3,3,3] f32[2]", "conv2d(%0, %1, %2) {channels=2, kernel=3}",
       "b is given and bias is false"},
      {"f32[8,3,4,4] f32[2,3,3,3] f32[3]", "conv2d(%0, %1, %2) {channels=2, kernel=3, bias=true}",
       "b is f32[3], expected f32[2] (one a channel)"},
      {"u8[8,2,3,3] f32[2,3,3,3]", unpadded,
       "dy is u8[8,2,3,3], conv2d_backward_data expects floating point numbers"},
      {"f32[8,2] f32[2,3,3,3]", unpadded,
       "dy is f32[8,2], conv2d_backward_data expects [N, M, OH, OW]"},
      {"f32[8,2,3,3] f32[2,3]", unpadded,
       "w is f32[2,3], conv2d_backward_data expects [M, C, kh, kw]"},
      {"f32[8,2,3,3] f64[2,3,3,3]", unpadded,
       "w is f64[2,3,3,3], conv2d_backward_data expects f32 elements"},
      {"f32[8,2,3,3] f32[2,3,3,3]", unpadded, "stride is 0, expected at least 1"},
      {"f32[8,2,3,3] f32[2,3,3,3]", rowless, "height is 0, expected at least 1"},
      {"f32[8,2,3,3] f32[2,3,3,3]", columnless, "width is 0, expected at least 1"},
      {"f32[8,2,3,3] f32[2,3,3,3]", small,
       "conv2d_backward_data kernel 3x3 is larger than the map 2x2 (padding [0])"},
      {"f32[8,2,3,3] f32[2,3,3,3]", wide,
       "dy is f32[8,2,3,3], expected f32[8,2,7,1] (the type of y)"},
      {"u8[8,2,3,3] f32[8,3,5,5]", kernel3,
       "dy is u8[8,2,3,3], conv2d_backward_weights expects floating point numbers"},
      {"f32[8,2,3] f32[8,3,5,5]", kernel3,
       "dy is f32[8,2,3], conv2d_backward_weights expects [N, M, OH, OW]"},
      {"f32[8,2,3,3] f32[8,3,5]", kernel3,
       "x is f32[8,3,5], conv2d_backward_weights expects [N, C, H, W]"},
      {"f32[8,2,3,3] f64[8,3,5,5]", kernel3,
       "x is f64[8,3,5,5], conv2d_backward_weights expects f32 elements"},
      {"f32[8,2,3,3] f32[8,3,5,5]", kernel0, "kernel is 0, expected at least 1"},
      {"f32[8,2,3,3] f32[8,3,5,5]", kernel9,
       "conv2d_backward_weights kernel 9x9 is larger than the map 5x5 (padding [0])"},
      {"f32[8,2,3,3] f32[8,3,6,5]", kernel3,
       "dy is f32[8,2,3,3], expected f32[8,2,4,3] (the type of y)"},
  });
}

TEST_CASE("mistakes in pooling") {
  const std::string resolved = "{size=2, stride=2, padding=0, height=4, width=4}";
  const std::string maximum = "max_pool_backward(%0, %1) " + resolved;
  const std::string mean = "average_pool_backward(%0) " + resolved;
  const std::string rowless =
      "average_pool_backward(%0) {size=2, stride=2, padding=0, height=0, width=4}";
  const std::string columnless =
      "average_pool_backward(%0) {size=2, stride=2, padding=0, height=4, width=0}";
  check_all(std::vector<Mistake>{
      {"u8[8,3,4,4]", "max_pool(%0) {size=2}",
       "x is u8[8,3,4,4], max_pool expects floating point numbers"},
      {"f32[8,3]", "average_pool(%0) {size=2}", "x is f32[8,3], average_pool expects [N, C, H, W]"},
      {"f32[8,3,4,4]", "max_pool(%0)",
       "max_pool needs attribute 'size': window: one number, or rows and columns; 0 = the whole "
       "map"},
      {"f32[8,3,4,4]", "max_pool(%0) {size=-1}", "size is -1, expected at least 0"},
      {"f32[8,3,4,4]", "max_pool(%0) {size=[2, 0]}",
       "size is [2, 0], expected both numbers 0 (the whole map) or none"},
      {"f32[8,3,4,4]", "max_pool(%0) {size=2, stride=0}", "stride is 0, expected at least 1"},
      {"f32[8,3,4,4]", "max_pool(%0) {size=2, padding=-1}", "padding is -1, expected at least 0"},
      {"f32[8,3,4,4]", "max_pool(%0) {size=0, stride=1}",
       "size 0 pools the whole map: stride and padding do not apply"},
      {"f32[8,3,4,4]", "max_pool(%0) {size=0, padding=[0, 1]}",
       "size 0 pools the whole map: stride and padding do not apply"},
      {"f32[8,3,4,4]", "max_pool(%0) {size=2, padding=2}",
       "padding [2] is not smaller than the window 2x2"},
      {"f32[8,3,3,3]", "max_pool(%0) {size=4}",
       "max_pool window 4x4 is larger than the map 3x3 (padding [0])"},
      {"u8[8,3,2,2] u8[8,3,2,2]", maximum,
       "dy is u8[8,3,2,2], max_pool_backward expects floating point numbers"},
      {"f32[8,3,2] u8[8,3,2,2]", maximum,
       "dy is f32[8,3,2], max_pool_backward expects [N, C, OH, OW]"},
      {"f32[8,3,2,3] u8[8,3,2,2]", maximum,
       "dy is f32[8,3,2,3], expected f32[8,3,2,2] (the type of y)"},
      {"f32[8,3,2,2] i32[8,3,2,2]", maximum,
       "index is i32[8,3,2,2], expected u8[8,3,2,2] (an index for each element of dy)"},
      {"f32[8,3,3,3]", mean, "dy is f32[8,3,3,3], expected f32[8,3,2,2] (the type of y)"},
      {"f32[8,3,3,3]", rowless, "height is 0, expected at least 1"},
      {"f32[8,3,3,3]", columnless, "width is 0, expected at least 1"},
  });
}

TEST_CASE("mistakes in normalisation") {
  check_all(std::vector<Mistake>{
      {"f32[8,3,4] f32[3]", "batch_norm(%0, %1, %1, %1, %1)",
       "x is f32[8,3,4], batch_norm expects [N, C] or [N, C, H, W]"},
      {"u8[8,3] f32[3]", "batch_norm(%0, %1, %1, %1, %1)",
       "x is u8[8,3], batch_norm expects floating point numbers"},
      {"f32[8,3] f32[3]", "batch_norm(%0, %1, %1, %1, %1) {epsilon=0}",
       "epsilon is 0, expected more than 0"},
      {"f32[8,3] f32[3]", "batch_norm(%0, %1, %1, %1, %1) {momentum=1.5}",
       "momentum is 1.5, expected at least 0 and at most 1"},
      {"f32[8,3] f32[3]", "batch_norm(%0, %1, %1, %1, %1) {momentum=-0.1}",
       "momentum is -0.1, expected at least 0 and at most 1"},
      {"f32[8,3] f32[3]", "batch_norm(%0, %1, %1, %1, %1) {scale_init=\"ones\"}",
       "scale_init of batch_norm is \"ones\", expected one or uniform"},
      {"f32[1,3,1,1] f32[3]", "batch_norm(%0, %1, %1, %1, %1)",
       "x is f32[1,3,1,1], batch_norm needs more than one value a channel"},
      {"f32[8,3] f32[4]", "batch_norm(%0, %1, %1, %1, %1)", "x has 3 channels, scale expects 4"},
      {"f32[8,3] f32[3] f32[4]", "batch_norm(%0, %1, %1, %1, %2)",
       "x has 3 channels, running_var expects 4"},
      {"f32[8,3] f32[3] f32[1,3]", "batch_norm(%0, %1, %2, %1, %1)",
       "bias is f32[1,3], expected f32[3] (one a channel of x)"},
      {"bf16[8,3] bf16[3]", "batch_norm(%0, %1, %1, %1, %1)",
       "scale is bf16[3], expected f32[3] (one a channel of x)"},
      {"f32[8] f32[3]", "batch_norm_inference(%0, %1, %1, %1, %1)",
       "x is f32[8], batch_norm_inference expects [N, C] or [N, C, H, W]"},
      {"f32[8,3] f32[3]", "batch_norm_inference(%0, %1, %1, %1, %1) {epsilon=-1}",
       "epsilon is -1, expected more than 0"},
      {"f32[8,3] f32[4]", "batch_norm_inference(%0, %1, %1, %1, %1)",
       "x has 3 channels, scale expects 4"},
      {"f32[8] f32[3]", "batch_norm_apply(%0, %1, %1, %1, %1)",
       "x is f32[8], batch_norm_apply expects [N, C] or [N, C, H, W]"},
      {"f32[8,3] f32[3] f32[4]", "batch_norm_apply(%0, %1, %1, %2, %1)",
       "x has 3 channels, mean expects 4"},
      {"f32[8] f32[8] f32[3]", "batch_norm_backward(%0, %1, %2, %2, %2)",
       "x is f32[8], batch_norm_backward expects [N, C] or [N, C, H, W]"},
      {"f32[8,4] f32[8,3] f32[3]", "batch_norm_backward(%0, %1, %2, %2, %2)",
       "dy is f32[8,4], expected f32[8,3] (the type of y)"},
      {"f32[8,3] f32[8,3] f32[4]", "batch_norm_backward(%0, %1, %2, %2, %2)",
       "x has 3 channels, scale expects 4"},
  });
}

TEST_CASE("mistakes in losses") {
  check_all(std::vector<Mistake>{
      {"i32[8,10] i32[8]", "cross_entropy(%0, %1)",
       "logits is i32[8,10], cross_entropy expects floating point numbers"},
      {"f32[8,10,1,1] i32[8]", "cross_entropy(%0, %1)",
       "logits is f32[8,10,1,1], cross_entropy expects [N, K]"},
      {"f32[8,10] f32[8]", "cross_entropy(%0, %1)",
       "label is f32[8], cross_entropy expects i32 elements"},
      {"f32[8,10] i32[8,1]", "cross_entropy(%0, %1)",
       "label is i32[8,1], cross_entropy expects [N]"},
      {"f32[8,10] i32[9]", "cross_entropy(%0, %1)", "logits has 8 samples, label has 9"},
      {"f32[8,10] i32[8]", "cross_entropy(%0, %1) {label_smoothing=1}",
       "label_smoothing is 1, expected at least 0 and less than 1"},
      {"f32[8,10] i32[8]", "cross_entropy(%0, %1) {label_smoothing=-0.1}",
       "label_smoothing is -0.1, expected at least 0 and less than 1"},
      {"f32[] f32[8,10] i32[9]", "cross_entropy_backward(%0, %1, %2)",
       "logits has 8 samples, label has 9"},
      {"f32[] f32[8,10] i32[8]", "cross_entropy_backward(%0, %1, %2) {label_smoothing=2}",
       "label_smoothing is 2, expected at least 0 and less than 1"},
      {"f32[1] f32[8,10] i32[8]", "cross_entropy_backward(%0, %1, %2)",
       "dloss is f32[1], expected f32[] (the type of loss)"},
      {"f32[8,10] i32[9]", "correct(%0, %1)", "logits has 8 samples, label has 9"},
      {"f32[8,10] i32[8]", "correct(%0, %1) {k=0}",
       "k is 0, expected 1 to 10 (the classes of logits)"},
      {"f32[8,10] i32[8]", "correct(%0, %1) {k=11}",
       "k is 11, expected 1 to 10 (the classes of logits)"},
  });
}

TEST_CASE("mistakes in updates and schedules") {
  check_all(std::vector<Mistake>{
      {"f32[] f32[]", "sgd(%0, %1) {momentum=1}",
       "momentum is 1, expected at least 0 and less than 1"},
      {"f32[] f32[]", "sgd(%0, %1) {weight_decay=-1}", "weight_decay is -1, expected at least 0"},
      {"f32[] f32[]", "sgd(%0, %1) {nesterov=true}", "nesterov needs a momentum above 0"},
      {"f32[2] f32[]", "sgd(%0, %1)", "loss is f32[2], sgd expects a scalar"},
      {"f32[] f32[2]", "sgd(%0, %1)", "lr is f32[2], sgd expects a scalar"},
      {"i32[] f32[]", "sgd(%0, %1)", "loss is i32[], sgd expects floating point numbers"},
      {"f32[2] f32[]", "sgd_update(%0, %0, %1) {momentum=-0.5}",
       "momentum is -0.5, expected at least 0 and less than 1"},
      {"i32[2] f32[]", "sgd_update(%0, %0, %1)",
       "parameter is i32[2], sgd_update expects floating point numbers"},
      {"f32[2] f32[3] f32[]", "sgd_update(%0, %1, %2)",
       "gradient is f32[3], expected f32[2] (the type of parameter)"},
      {"f32[2] f32[1]", "sgd_update(%0, %0, %1)", "lr is f32[1], expected f32[] (a scalar)"},
      {"f32[2] f32[]", "sgd_update(%0, %0, %1, %0)",
       "the state of momentum is given and momentum is 0"},
      {"f32[2] f32[]", "sgd_update(%0, %0, %1) {momentum=0.9}",
       "the state of momentum is absent and momentum is above 0"},
      {"f32[2] f32[] f32[3]", "sgd_update(%0, %0, %1, %2) {momentum=0.9}",
       "momentum is f32[3], expected f32[2] (the type of parameter)"},
      {"", "piecewise_linear() {epochs=[], values=[]}",
       "epochs is empty, expected at least one knot"},
      {"", "piecewise_linear() {epochs=[0, 1], values=[1]}", "epochs has 2 knots, values has 1"},
      {"", "piecewise_linear() {epochs=[-1], values=[1]}",
       "epochs starts at -1, expected at least 0"},
      {"", "piecewise_linear() {epochs=[0, 5, 5], values=[0, 1, 0]}",
       "epochs must increase, 5 follows 5"},
  });
}

TEST_CASE("mistakes in data operators") {
  check_all(std::vector<Mistake>{
      {"", "dataset() {name=\"shapes10\", split=\"train\", count=-1}",
       "count is -1, expected at least 0"},
      {"", "dataset() {name=\"shapes10\", split=\"train\", seed=-1}",
       "seed is -1, expected at least 0"},
      {"u8[8,3]", "normalise(%0) {mean=1, std=1}", "x is u8[8,3], normalise expects [N, H, W, C]"},
      {"i32[8,2,2,3]", "normalise(%0) {mean=1, std=1}",
       "x is i32[8,2,2,3], normalise expects u8 or f32 elements"},
      {"u8[8,2,2,3]", "normalise(%0) {mean=1, std=[1, 1, 1]}",
       "x has 3 channels, mean has 1 numbers"},
      {"u8[8,2,2,3]", "normalise(%0) {mean=[1, 1, 1], std=[1, 1]}",
       "x has 3 channels, std has 2 numbers"},
      {"u8[8,2,2,1]", "normalise(%0) {mean=1, std=0}", "std is 0, expected more than 0"},
      {"u8[8]", "pad(%0) {size=1}", "x is u8[8], pad expects [N, H, W, C]"},
      {"u8[8,2,2,3]", "pad(%0) {size=-1}", "size is -1, expected at least 0"},
      {"u8[8,2,2,3]", "pad(%0) {size=2}",
       "pad by reflection needs a size smaller than the image 2x2, got [2]"},
      {"u8[8] i32[8,2]", "random_crop(%0, %1) {size=1}",
       "x is u8[8], random_crop expects [N, H, W, C]"},
      {"u8[8,2,2,3] i32[8,2]", "random_crop(%0, %1) {size=0}", "size is 0, expected at least 1"},
      {"u8[8,2,2,3] i32[8,2]", "random_crop(%0, %1) {size=[2, 3]}",
       "random_crop of 2x3 is larger than the image 2x2"},
      {"u8[8,2,2,3] i32[7,2]", "random_crop(%0, %1) {size=1}",
       "choice is i32[7,2], expected i32[8,2] (a row a sample)"},
      {"u8[8,2,2] i32[8,1]", "random_flip(%0, %1)",
       "x is u8[8,2,2], random_flip expects [N, H, W, C]"},
      {"u8[8,2,2,3] i32[8,2]", "random_flip(%0, %1)",
       "choice is i32[8,2], expected i32[8,1] (a row a sample)"},
      {"u8[8,2,2,3] i32[8,2]", "cutout(%0, %1) {size=3}",
       "cutout of 3x3 is larger than the image 2x2"},
      {"u8[8,2,2,3] i32[8,2]", "cutout(%0, %1) {size=-3}", "size is -3, expected at least 0"},
      {"u8[8,2,2,3] u8[8,2]", "cutout(%0, %1) {size=1}",
       "choice is u8[8,2], expected i32[8,2] (a row a sample)"},
      {"u8[8,2]", "batch(%0) {size=4}", "x is u8[8,2], batch expects [N, H, W, C]"},
      {"u8[8,2,2,3]", "batch(%0) {size=0}", "size is 0, expected at least 1"},
      {"f32[] i32[4]", "gather(%0, %1)", "x is f32[], gather expects [M, ...]"},
      {"f32[8] u8[4]", "gather(%0, %1)", "index is u8[4], gather expects i32 elements"},
      {"f32[8] i32[4,1]", "gather(%0, %1)", "index is i32[4,1], gather expects [B]"},
      {"u8[8,2]", "to_images(%0)", "x is u8[8,2], to_images expects [N, H, W, C]"},
      {"f64[8,2,2,3]", "to_images(%0)", "x is f64[8,2,2,3], to_images expects u8 or f32 elements"},
  });
}

TEST_CASE("mistakes in fusions") {
  check_all(std::vector<Mistake>{
      {"f32[2]", "fusion(%0) {kind=\"k\"}", "fusion needs a body"},
      {"f32[2]", "fusion(%0, %0) {kind=\"k\"} body b { %0 = input x : f32[2] result y = %0 }",
       "fusion has 2 inputs, its body 1"},
      {"f32[2]", "fusion(%0) {kind=\"k\"} body b { %0 = input x : f32[3] result y = %0 }",
       "input 1 of fusion is f32[2], its body expects f32[3]"},
      {"f32[2]", "fusion(%0) {kind=\"k\"} body b { %0 = input x : f32[2] }",
       "the body of fusion has no result"},
      {"f32[2]", "relu(%0) body b { %0 = input x : f32[2] result y = %0 }", "relu takes no body"},
  });
}

TEST_CASE("types of right nodes") {
  CHECK(types_of("f64[]", "relu(%0)") == "f64[]");
  CHECK(types_of("f32[2] f32[2] f32[2]", "add(%0, %1, %2)") == "f32[2]");
  CHECK(types_of("", "constant() {value=1, dtype=\"f64\"}") == "f64[]");
  CHECK(types_of("u8[2,3,4]", "flatten(%0)") == "u8[2,12]");
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
       "conv2d_backward_data(dy, x1) conv2d_backward_weights(dy, x0) channel_sum(dy)"},
      {"f32[8,3,4,4]", "max_pool(%0) {size=2}", {true}, "max_pool_backward(dy, y1)", 2},
      {"f32[8,3,4,4]", "average_pool(%0) {size=0}", {true}, "average_pool_backward(dy)"},
      {"f32[8,3] f32[3]",
       "batch_norm(%0, %1, %1, %1, %1)",
       {true, true, true, false, false},
       "batch_norm_backward(dy, x0, x1, y1, y2)",
       5},
      {"f32[8,10] i32[8]",
       "cross_entropy(%0, %1)",
       {true, false},
       "cross_entropy_backward(dy, x0, x1)"},
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
