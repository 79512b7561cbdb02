// decode: the bytes of a JPEG or PNG file -> RGB of a known size.
#include "core/data/decode.h"

#include <fmt/format.h>
#include <spng.h>
#include <turbojpeg.h>

#include <memory>

#include "core/support/diagnostics.h"

namespace expgraph {
namespace {

constexpr size_t kMostChunkBytes = 1 << 20;

[[noreturn]] void fail(std::string message) {
  throw Error(std::move(message), {}, ExitCode::environment);
}

void check_size(int64_t got_height, int64_t got_width, int64_t height, int64_t width) {
  if (got_height == height && got_width == width) return;
  fail(fmt::format("image is {}x{}, expected {}x{}", got_height, got_width, height, width));
}

void decode_jpeg(std::string_view bytes, int64_t height, int64_t width, std::span<uint8_t> rgb) {
  thread_local const std::unique_ptr<void, int (*)(tjhandle)> decoder(tjInitDecompress(),
                                                                      tjDestroy);
  EXPGRAPH_CHECK(decoder != nullptr);
  const auto* data = reinterpret_cast<const unsigned char*>(bytes.data());
  int got_width = 0, got_height = 0, subsampling = 0, space = 0;
  if (tjDecompressHeader3(decoder.get(), data, bytes.size(), &got_width, &got_height, &subsampling,
                          &space) != 0 ||
      got_width == 0) {
    fail("damaged header of a JPEG image");
  }
  check_size(got_height, got_width, height, width);
  if (tjDecompress2(decoder.get(), data, bytes.size(), rgb.data(), got_width, 0, got_height,
                    TJPF_RGB, TJFLAG_STOPONWARNING | TJFLAG_LIMITSCANS) != 0) {
    fail(fmt::format("damaged JPEG image: {}", tjGetErrorStr2(decoder.get())));
  }
}

void decode_png(std::string_view bytes, int64_t height, int64_t width, std::span<uint8_t> rgb) {
  const std::unique_ptr<spng_ctx, void (*)(spng_ctx*)> context(spng_ctx_new(0), spng_ctx_free);
  EXPGRAPH_CHECK(context != nullptr);
  spng_set_chunk_limits(context.get(), kMostChunkBytes, kMostChunkBytes);
  spng_set_png_buffer(context.get(), bytes.data(), bytes.size());
  spng_ihdr header{};
  if (const int error = spng_get_ihdr(context.get(), &header); error != 0) {
    fail(fmt::format("damaged header of a PNG image: {}", spng_strerror(error)));
  }
  check_size(header.height, header.width, height, width);
  if (const int error = spng_decode_image(context.get(), rgb.data(), rgb.size(), SPNG_FMT_RGB8, 0);
      error != 0) {
    fail(fmt::format("damaged PNG image: {}", spng_strerror(error)));
  }
}

}  // namespace

ImageFormat image_format(std::string_view bytes) {
  if (bytes.starts_with("\xFF\xD8\xFF")) return ImageFormat::jpeg;
  if (bytes.starts_with("\x89PNG\r\n\x1A\n")) return ImageFormat::png;
  return ImageFormat::none;
}

void decode_image(std::string_view bytes, int64_t height, int64_t width, std::span<uint8_t> rgb) {
  EXPGRAPH_CHECK(static_cast<int64_t>(rgb.size()) == height * width * 3);
  switch (image_format(bytes)) {
    case ImageFormat::jpeg:
      return decode_jpeg(bytes, height, width, rgb);
    case ImageFormat::png:
      return decode_png(bytes, height, width, rgb);
    case ImageFormat::none:
      fail("neither a JPEG nor a PNG image");
  }
}

}  // namespace expgraph
