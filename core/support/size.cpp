// size: "1.2GB" -> bytes, and back.
#include "core/support/size.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <utility>

#include "core/support/suggest.h"

namespace expgraph {
namespace {

constexpr int64_t kKiB = 1024, kMiB = kKiB * kKiB;
constexpr double kMost = 1e15;  // bytes

constexpr std::array<std::pair<std::string_view, double>, 9> kUnits = {{
    {"kB", 1e3},
    {"MB", 1e6},
    {"GB", 1e9},
    {"TB", 1e12},
    {"KiB", 0x1p10},
    {"MiB", 0x1p20},
    {"GiB", 0x1p30},
    {"TiB", 0x1p40},
    {"B", 1},
}};

/// The units that differ in upper and lower case alone, else the nearest.
std::string near_unit(std::string_view unit) {
  std::vector<std::string> names;
  for (const auto& [name, bytes] : kUnits) {
    const auto same = [](char a, char b) { return std::tolower(a) == std::tolower(b); };
    if (std::ranges::equal(unit, name, same)) return fmt::format("did you mean '{}'?", name);
    names.emplace_back(name);
  }
  const std::string near = did_you_mean(unit, names);
  return near.empty() ? "units are kB, MB, GB, TB, KiB, MiB, GiB, TiB, B" : near;
}

}  // namespace

int64_t parse_size(std::string_view text, std::string_view what, const Location& where) {
  double number = 0;
  const auto [end, error] =
      std::from_chars(text.data(), text.data() + text.size(), number, std::chars_format::fixed);
  if (error != std::errc() || !std::isfinite(number)) {
    throw Error(fmt::format("{} is a number and a unit, as 1.2GB or 900MiB, got '{}'", what, text),
                where);
  }
  std::string_view unit = text.substr(static_cast<size_t>(end - text.data()));
  while (unit.starts_with(' ')) unit.remove_prefix(1);
  const auto known = std::ranges::find(kUnits, unit, [](const auto& one) { return one.first; });
  if (known == kUnits.end()) {
    throw Error(unit.empty() ? fmt::format("{} has no unit, got '{}'", what, text)
                             : fmt::format("{} has the unit '{}', which is none", what, unit),
                where)
        .note(near_unit(unit));
  }
  const double bytes = number * known->second;
  if (bytes < 1) throw Error(fmt::format("{} is above 0, got '{}'", what, text), where);
  if (bytes > kMost) throw Error(fmt::format("{} is at most 1000TB, got '{}'", what, text), where);
  return static_cast<int64_t>(bytes);
}

std::string size_text(int64_t bytes) {
  const auto up = [&](int64_t unit) { return (bytes + unit - 1) / unit; };
  return bytes < 10 * kMiB ? fmt::format("{}KiB", up(kKiB)) : fmt::format("{}MiB", up(kMiB));
}

}  // namespace expgraph
