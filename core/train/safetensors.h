// safetensors: named tensors <-> bytes of the safetensors format (8-byte little-endian header
// length, JSON header with dtype, shape and data_offsets, then the data without gaps).
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/backend.h"

namespace expgraph {

struct NamedTensor {
  std::string name;
  TensorView tensor;
};

/// The header for tensors of these types, their data following in this order. Its size is a
/// multiple of 64, so that the data is aligned as the header is.
std::string safetensors_header(std::span<const NamedTensor> tensors);

/// Views into `bytes`, in the order of their data. The bytes are not trusted: every size and
/// offset is checked. Throws Error naming `source`.
std::vector<NamedTensor> parse_safetensors(std::span<std::byte> bytes, std::string_view source);

}  // namespace expgraph
