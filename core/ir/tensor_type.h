// tensor_type: element type and shape of a value; sizes in elements and bytes.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace expgraph {

enum class DType { f32, f64, bf16, f16, i32, u8 };

std::string_view to_string(DType dtype);
std::optional<DType> parse_dtype(std::string_view text);
int64_t size_of(DType dtype);  ///< bytes of one element
inline bool is_real(DType dtype) { return dtype != DType::i32 && dtype != DType::u8; }

/// Dimensions, outermost first. Images in a network are [N, C, H, W] (logical order; a backend
/// may lay them out otherwise inside a program); samples of a data set are [N, H, W, C].
using Shape = std::vector<int64_t>;

struct TensorType {
  DType dtype = DType::f32;
  Shape shape;

  int64_t elements() const;
  int64_t bytes() const;
  int64_t rank() const { return static_cast<int64_t>(shape.size()); }
  std::string str() const;  ///< "f32[512,64,32,32]"; a scalar is "f32[]"
  bool operator==(const TensorType&) const = default;
};

std::optional<TensorType> parse_tensor_type(std::string_view text);

}  // namespace expgraph
