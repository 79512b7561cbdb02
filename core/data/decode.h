// decode: the bytes of a JPEG or PNG file -> RGB of a known size. The bytes are not trusted.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace expgraph {

enum class ImageFormat { none, jpeg, png };

/// By the first bytes of the file, whatever it is called.
ImageFormat image_format(std::string_view bytes);

/// Decodes into u8[height, width, 3]. Throws Error (environment) that says what is wrong, without
/// the file's name, which the caller knows; nothing larger than the expected size is decoded.
void decode_image(std::string_view bytes, int64_t height, int64_t width, std::span<uint8_t> rgb);

}  // namespace expgraph
