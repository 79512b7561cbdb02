// stored_drawing: a drawing's file in the run store -> SVG that may stand in a page.
#include "viz/stored_drawing.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <vector>

namespace expgraph {
namespace {

constexpr std::array<std::string_view, 7> kElements{"svg",   "title", "rect", "text",
                                                    "tspan", "path",  "g"};
constexpr std::array<std::string_view, 20> kAttributes{"xmlns",
                                                       "width",
                                                       "height",
                                                       "viewBox",
                                                       "font-family",
                                                       "font-size",
                                                       "font-weight",
                                                       "fill",
                                                       "fill-opacity",
                                                       "stroke",
                                                       "stroke-width",
                                                       "stroke-dasharray",
                                                       "paint-order",
                                                       "text-anchor",
                                                       "class",
                                                       "x",
                                                       "y",
                                                       "dx",
                                                       "rx",
                                                       "d"};
constexpr double kTitleBand = 30;  // what the title takes of the page's top

template <size_t N>
bool is_one_of(std::string_view name, const std::array<std::string_view, N>& known) {
  return std::find(known.begin(), known.end(), name) != known.end();
}

/// The attributes of a tag: ` name="value"` again and again.
bool plain_attributes(std::string_view text) {
  while (!text.empty()) {
    const size_t equals = text.find("=\"");
    if (text.front() != ' ' || equals == std::string_view::npos) return false;
    const size_t end = text.find('"', equals + 2);
    if (end == std::string_view::npos) return false;
    const std::string_view value = text.substr(equals + 2, end - equals - 2);
    if (!is_one_of(text.substr(1, equals - 1), kAttributes)) return false;
    const bool is_namespace = value == "http://www.w3.org/2000/svg";
    if (!is_namespace && value.find_first_of(":&\\") != std::string_view::npos) return false;
    text.remove_prefix(end + 1);
  }
  return true;
}

double number_of(std::string_view text) {
  double value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

}  // namespace

bool is_plain_svg(std::string_view svg) {
  if (!svg.starts_with("<svg ")) return false;
  std::vector<std::string_view> open;
  for (size_t at = svg.find('<'); at != std::string_view::npos; at = svg.find('<', at + 1)) {
    const size_t end = svg.find('>', at);
    if (end == std::string_view::npos) return false;
    std::string_view tag = svg.substr(at + 1, end - at - 1);
    if (tag.find('<') != std::string_view::npos) return false;
    if (tag.starts_with('/')) {
      if (open.empty() || open.back() != tag.substr(1)) return false;
      open.pop_back();
      if (open.empty()) return svg.substr(end + 1).find_first_not_of(" \n") == svg.npos;
      continue;
    }
    const bool closed = tag.ends_with('/');
    if (closed) tag.remove_suffix(1);
    const std::string_view name = tag.substr(0, tag.find(' '));
    if (!is_one_of(name, kElements) || !plain_attributes(tag.substr(name.size()))) return false;
    if (!closed) open.push_back(name);
  }
  return false;  // the outermost element was not closed
}

std::string without_title(std::string_view svg) {
  // Its own lines: the tag, <title>, the paper, the title's text.
  std::vector<std::string_view> lines;
  size_t at = 0;
  for (int k = 0; k < 4; ++k) {
    const size_t end = svg.find('\n', at);
    if (end == std::string_view::npos) return std::string(svg);
    lines.push_back(svg.substr(at, end - at));
    at = end + 1;
  }
  const size_t box = lines[0].find("viewBox=\"0 0 ");
  if (box == std::string_view::npos || !lines[1].starts_with("<title>") ||
      !lines[2].starts_with("<rect ") || !lines[3].starts_with("<text ")) {
    return std::string(svg);
  }
  const std::string_view sizes = lines[0].substr(box + 13);
  const double width = number_of(sizes);
  const double height = number_of(sizes.substr(std::min(sizes.find(' ') + 1, sizes.size())));
  return fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{0:.0f}\" "
      "height=\"{1:.0f}\" viewBox=\"0 {2:.0f} {0:.0f} {1:.0f}\" "
      "font-family=\"Helvetica,Arial,sans-serif\">\n{3}",
      width, height - kTitleBand, kTitleBand, svg.substr(at));
}

}  // namespace expgraph
