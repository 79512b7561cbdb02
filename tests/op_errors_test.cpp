// op_errors_test: every check that an operator makes, with its message.
#include <doctest/doctest.h>

#include <span>
#include <vector>

#include "tests/support/op_graphs.h"

using namespace expgraph;

namespace {

struct Mistake {
  std::string_view types, node, error;
};

void check_all(std::span<const Mistake> mistakes) {
  for (const Mistake& one : mistakes) {
    CAPTURE(one.types);
    CAPTURE(one.node);
    CHECK(message_of([&] { graph_of(one.types, one.node); }) == one.error);
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

TEST_CASE("mistakes in activations and start values") {
  check_all(std::vector<Mistake>{
      {"u8[2]", "gelu(%0)", "x is u8[2], gelu expects floating point numbers"},
      {"f32[2]", "celu(%0) {alpha=0}", "alpha is 0, expected more than 0"},
      {"f32[2]", "celu_backward(%0, %0) {alpha=-1}", "alpha is -1, expected more than 0"},
      {"f32[2] f32[3]", "gelu_backward(%0, %1)", "dy is f32[2], expected f32[3] (the type of y)"},
      {"f32[8,4] f32[2,4]", "linear(%0, %1) {features=2, bias=false, init_std=-1}",
       "init_std is -1, expected at least 0"},
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
      {"f32[8,3] f32[3]", "batch_norm(%0, %1, %1, %1, %1) {splits=0}",
       "splits is 0, expected at least 1"},
      {"f32[8,3] f32[3]", "batch_norm(%0, %1, %1, %1, %1) {splits=3}",
       "8 samples do not split into 3 equal parts"},
      {"f32[8,3] f32[3]", "batch_norm(%0, %1, %1, %1, %1) {splits=8}",
       "x is f32[8,3], batch_norm needs more than one value a channel in each part"},
      {"f32[8,3] f32[3]", "batch_norm(%0, %1, %1, %1, %1) {affine=\"bias\"}",
       "affine is bias and scale is given"},
      {"f32[8,3] f32[3]", "batch_norm(%0, %1, _, %1, %1)", "affine is both and bias is absent"},
      {"f32[8,3] f32[3]", "batch_norm(%0, _, %1, %1, %1) {affine=\"bias\", scale_init=\"uniform\"}",
       "scale_init applies where affine is both: there is no scale"},
      {"f32[8,3] f32[3] f32[9]", "batch_norm_apply(%0, %1, %1, %2, %2)",
       "mean is of 3 parts, x has 8 samples"},
      {"f32[8,3] f32[3] f32[6]", "batch_norm_apply(%0, %1, %1, %2, %1)",
       "inverse_std is f32[3], expected f32[6] (one a channel of x and part)"},
  });
}

TEST_CASE("mistakes in loss scaling") {
  check_all(std::vector<Mistake>{
      {"", "loss_scale() {every=0}", "every is 0, expected at least 1"},
      {"", "loss_scale() {largest=0.5}",
       "largest is 0.5, expected at least 1 and at most 3.4028234663852886e+38"},
      {"", "loss_scale() {largest=1e39}",
       "largest is 1e+39, expected at least 1 and at most 3.4028234663852886e+38"},
      {"", "loss_scale() {start=0.5}", "start is 0.5, expected at least 1 and at most 16777216"},
      {"", "loss_scale() {start=16, largest=8}", "start is 16, expected at least 1 and at most 8"},
      {"i32[2] f32[]", "unscale(%0, %1)", "x is i32[2], unscale expects floating point numbers"},
      {"f32[2] f32[2]", "unscale(%0, %1)", "scale is f32[2], expected f32[] (a scalar)"},
      {"f32[2] i32[2]", "all_finite(%0, %1)",
       "x is i32[2], all_finite expects floating point numbers"},
      {"f32[2] f32[]", "loss_scale_update(%0, %1, %1)",
       "scale is f32[2], loss_scale_update expects a scalar"},
      {"f32[] f32[2]", "loss_scale_update(%0, %1, %0)",
       "steps is f32[2], expected f32[] (a scalar)"},
      {"f32[] f32[2]", "loss_scale_update(%0, %0, %1)",
       "finite is f32[2], expected f32[] (a scalar)"},
  });
}

TEST_CASE("mistakes in what is done to the images of a batch") {
  check_all(std::vector<Mistake>{
      {"u8[8,3,5,6]", "views(%0)", "x is u8[8,3,5,6], views expects f32 elements"},
      {"f32[8,3]", "views(%0)", "x is f32[8,3], views expects [N, C, H, W]"},
      {"f32[8,3,5,6]", "views(%0) {mirrored=[0, 2]}", "mirrored has 2, expected 0 or 1"},
      {"f32[8,3,5,6]", "views(%0) {rows=[1]}", "mirrored has 2 views, rows has 1"},
      {"f32[8,3,5,6]", "views(%0) {rows=[0, 5]}",
       "a shift of 5 rows is not smaller than the image, which has 5"},
      {"f32[8,3,5,6]", "views(%0) {columns=[-6, 0]}",
       "a shift of -6 columns is not smaller than the image, which has 6"},
      {"f32[8,3,1,1]", "average_views(%0)", "x is f32[8,3,1,1], average_views expects [V N, K]"},
      {"f32[8,3]", "average_views(%0) {weights=[1, 1, 1]}", "8 rows are not those of 3 views"},
      {"f32[8,3,5,6] i32[8] i32[8,1]", "mixup(%0, %1, %2) {alpha=0}",
       "alpha is 0, expected more than 0"},
      {"f32[8,3,5,6] i32[7] i32[8,1]", "mixup(%0, %1, %2)",
       "label is i32[7], expected i32[8] (one a sample)"},
      {"f32[8,3,5,6] i32[8] i32[8,2]", "mixup(%0, %1, %2)",
       "choice is i32[8,2], expected i32[8,1] (a row a sample)"},
  });
}

TEST_CASE("mistakes in start values") {
  const auto check = [](std::string_view x, std::string_view filters, Attributes given) {
    given.set("parameter", std::string("conv/w"));
    const Attributes attributes = complete_attributes(op("whiten"), std::move(given));
    const TensorType types[] = {*parse_tensor_type(x), *parse_tensor_type(filters)};
    const TensorType* inputs[] = {&types[0], &types[1]};
    return message_of([&] { op("whiten").infer({op("whiten"), inputs, attributes}); });
  };
  const auto images = [](int64_t count) {
    Attributes attributes;
    attributes.set("images", count);
    return attributes;
  };
  Attributes sharp = images(5);
  sharp.set("epsilon", 0.0);
  CHECK(check("u8[9,8,8,3]", "f32[12,3,2,2]", images(5)) ==
        "x is u8[9,8,8,3], whiten expects f32 elements");
  CHECK(check("f32[9,8,8]", "f32[12,3,2,2]", images(5)) ==
        "x is f32[9,8,8], whiten expects [N, H, W, C]");
  CHECK(check("f32[9,8,8,3]", "f32[12,3,2,2]", images(0)) == "images is 0, expected at least 1");
  CHECK(check("f32[9,8,8,3]", "f32[12,3,2,2]", sharp) == "epsilon is 0, expected more than 0");
  CHECK(check("f32[9,8,8,3]", "f32[12]", images(5)) == "f32[12] is no filters f32[M, C, kh, kw]");
  CHECK(check("f32[9,8,8,3]", "f32[12,4,2,2]", images(5)) ==
        "filters f32[12,4,2,2] do not fit images of 8x8 and 3 channels");
  CHECK(check("f32[9,8,8,3]", "f32[16,3,2,2]", images(5)) ==
        "patches of 12 values give 12 filters, or 24 with their negatives, not 16");
}

TEST_CASE("mistakes in losses") {
  check_all(std::vector<Mistake>{
      {"f32[8,10] i32[8]", "cross_entropy(%0, %1, %1)", "other is given and weight is absent"},
      {"f32[8,10] i32[8]", "cross_entropy(%0, %1, _, %1)", "weight is given and other is absent"},
      {"f32[8,10] i32[8] f32[8]", "cross_entropy(%0, %1, %1, %2)",
       "weight is f32[8], expected i32[8] (one a sample)"},
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
      {"f32[] f32[]", "sgd(%0, %1, %1) {momentum=0.9}",
       "momentum is 0.9 and a schedule as well, expected one of them"},
      {"f32[] f32[2]", "sgd(%0, %0, _, %1)",
       "weight_decay_schedule is f32[2], sgd expects a scalar"},
      {"f32[] f32[]", "adam(%0, %1) {beta2=1}", "beta2 is 1, expected at least 0 and less than 1"},
      {"f32[] f32[]", "adam(%0, %1) {epsilon=0}", "epsilon is 0, expected above 0"},
      {"f32[] f32[]", "lars(%0, %1) {trust=0}", "trust is 0, expected above 0"},
      {"f32[] f32[]", "lars(%0, %1) {weight_decay=-1}", "weight_decay is -1, expected at least 0"},
      {"f32[] f32[]", "muon(%0, %1) {iterations=0}", "iterations is 0, expected at least 1"},
      {"f32[64] f32[]", "muon_update(%0, %0, %1, %0)",
       "parameter is f32[64], muon takes filters and matrices: say which with 'parameters'"},
      {"f32[2] f32[] f32[2,1]", "adam_update(%0, %0, %1, %1, %1, %0, %2)",
       "square is f32[2,1], expected f32[2] (the type of parameter)"},
      {"", "piecewise_linear() {epochs=[], values=[]}",
       "there are no knots: give epochs, steps or fractions"},
      {"", "piecewise_linear() {epochs=[0], steps=[0], values=[]}",
       "knots are given as epochs and as steps, expected one of them"},
      {"", "piecewise_linear() {fractions=[0, 1.5], values=[1, 0]}",
       "fractions ends at 1.5, expected at most 1"},
      {"", "piecewise_cosine() {steps=[0, 9], values=[1, 0], ahead=-1}",
       "ahead is -1, expected at least 0"},
      {"", "piecewise_polynomial() {epochs=[0, 1, 2], values=[1, 0, 1], power=[1, 2, 3]}",
       "power has 3 values, expected 1 or 2, one a piece"},
      {"", "piecewise_polynomial() {epochs=[0, 1], values=[1, 0], power=0}",
       "power is 0, expected above 0"},
      {"", "every() {steps=0}", "steps is 0, expected at least 1"},
      {"", "every() {steps=5, first=-1}", "first is -1, expected at least 0"},
      {"", "ema() {decay=1}", "decay is 1, expected at least 0 and less than 1"},
      {"", "ema() {decay=0.9, every=0}", "every is 0, expected at least 1"},
      {"", "parameter_group() {parameters=\"**\", lr=-1}", "lr is -1, expected at least 0"},
      {"f32[2]", "parameter_group(%0) {parameters=\"**\"}",
       "schedule is f32[2], parameter_group expects a scalar"},
      {"f32[2]", "lookahead(%0)", "decay is f32[2], lookahead expects a scalar"},
      {"f32[2] f32[3] f32[]", "average_update(%0, %1, %2, %2)",
       "x is f32[3], expected f32[2] (the type of average)"},
      {"f32[2] i32[]", "choose(%0, %0, %1)", "when is i32[], expected f32[] (a scalar)"},
      {"f32[2] f32[1]", "scale_by(%0, %1)", "factor is f32[1], expected f32[] (a scalar)"},
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
       "mean has length 1, x has 3 channels"},
      {"u8[8,2,2,3]", "normalise(%0) {mean=[1, 1, 1], std=[1, 1]}",
       "std has length 2, x has 3 channels"},
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
