// style: what a node of a picture says and in which colours.
#include "viz/style.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "core/support/brief.h"
#include "viz/escape.h"

namespace expgraph {
namespace {

/// By family of operators; the last is for what is none.
constexpr std::array<std::pair<std::string_view, Colours>, 18> kFamilies{{
    {"conv", {"#cfe2ff", "#2b5fb4", "#10284d"}},
    {"norm", {"#d9f0e3", "#2c8a5a", "#0f3a25"}},
    {"elementwise", {"#fde4cf", "#c2682a", "#4d2508"}},
    {"pool", {"#e4dcfa", "#6b4bbd", "#2a1a54"}},
    {"matmul", {"#c7ecf0", "#1d7f8c", "#0a363c"}},
    {"shape", {"#eceff3", "#7a8594", "#2b333d"}},
    {"reduce", {"#eceff3", "#7a8594", "#2b333d"}},
    {"loss", {"#fbd5dc", "#b93a54", "#4a101d"}},
    {"update", {"#fbd5dc", "#b93a54", "#4a101d"}},
    {"adaptive", {"#fbd5dc", "#b93a54", "#4a101d"}},
    {"loss_scale", {"#fbd5dc", "#b93a54", "#4a101d"}},
    {"average", {"#fbd5dc", "#b93a54", "#4a101d"}},
    {"schedule", {"#fff0bf", "#a8820f", "#453404"}},
    {"data", {"#f0ead9", "#8f7d4a", "#3a3218"}},
    {"augment", {"#f0ead9", "#8f7d4a", "#3a3218"}},
    {"start", {"#fff0bf", "#a8820f", "#453404"}},
    {"fusion", {"#eceff3", "#7a8594", "#2b333d"}},
    {"", {"#ffffff", "#9aa4b0", "#3d4650"}},
}};

/// By Change, in its order.
constexpr std::array<Colours, 4> kChanges{{{"#f6f7f8", "#c9cfd6", "#808a95"},
                                           {"#d3f3d8", "#1a7f37", "#0b3d1a"},
                                           {"#ffdfdc", "#cf222e", "#5c0d13"},
                                           {"#fff0c2", "#b07a00", "#4a3300"}}};
constexpr std::array<std::string_view, 4> kMarks{"", "+ ", "− ", "~ "};

std::string attribute_text(const Picture::Attribute& attribute) {
  const auto text = [&](const std::string& value) {
    // Two values that differ must not look the same.
    const bool hides = brief_numbers(attribute.before) == brief_numbers(attribute.value);
    return shorten(hides ? value : brief_numbers(value), 44);
  };
  if (attribute.before.empty()) return fmt::format("{} {}", attribute.name, text(attribute.value));
  return fmt::format("{} {} → {}", attribute.name, text(attribute.before), text(attribute.value));
}

}  // namespace

const Colours& colours_of(const Picture& picture, const Picture::Node& node) {
  if (picture.is_diff) return colours_of(node.change);
  const auto found = std::find_if(kFamilies.begin(), kFamilies.end(),
                                  [&](const auto& entry) { return entry.first == node.family; });
  return found == kFamilies.end() ? kFamilies.back().second : found->second;
}

const Colours& colours_of(Change change) { return kChanges[static_cast<size_t>(change)]; }

std::string_view mark_of(Change change) { return kMarks[static_cast<size_t>(change)]; }

NodeText text_of(const Picture::Node& node) {
  constexpr size_t kWide = 26;  // columns of a line that holds several attributes
  NodeText text{.title = std::string(mark_of(node.change)) + shorten(node.title, 40)};
  if (node.op != node.title) text.op = node.op;
  for (const Picture::Attribute& attribute : node.attributes) {
    const bool changed = !attribute.before.empty();
    if (node.change == Change::changed ? !changed : attribute.is_default) continue;
    const std::string one = attribute_text(attribute);
    if (text.lines.empty() || changed || text.lines.back().size() + one.size() > kWide) {
      text.lines.push_back(one);
    } else {
      text.lines.back() += ", " + one;
    }
  }
  return text;
}

bool has_box(const Picture& picture, const Picture::Node& node) {
  return picture.is_diff || !node.op.empty() || !node.attributes.empty();
}

}  // namespace expgraph
