// series: ladder, each, leave_one_out, list, grid, zip -> points.
#include "core/spec/series.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <map>

#include "core/support/suggest.h"

namespace expgraph {
namespace {

constexpr size_t kMaxName = 120;
constexpr size_t kMaxPoints = 10'000;

/// Letters, digits and single '_': a name that is safe as a folder's. `kept` adds characters.
std::string slug(std::string_view text, std::string_view kept = "") {
  std::string result;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x80 && (std::isalnum(byte) != 0 || kept.find(c) != std::string_view::npos)) {
      result += static_cast<char>(std::tolower(byte));
    } else if (!result.empty() && result.back() != '_') {
      result += '_';
    }
  }
  while (!result.empty() && result.back() == '_') result.pop_back();
  return result;
}

Expectation read_expectation(const yaml::Entry& entry) {
  Expectation result;
  result.metric = entry.key;
  result.where = entry.value.where;
  const std::string& text =
      yaml::require_text(entry.value, fmt::format("expectation of '{}'", entry.key));
  using Kind = Expectation::Kind;
  constexpr std::array<std::pair<std::string_view, Kind>, 3> directions = {
      {{"up", Kind::up}, {"down", Kind::down}, {"same", Kind::same}}};
  for (const auto& [word, kind] : directions) {
    result.kind = kind;
    if (text == word) return result;
  }
  constexpr std::array<std::pair<std::string_view, Kind>, 2> bounds = {
      {{"at least ", Kind::at_least}, {"at most ", Kind::at_most}}};
  for (const auto& [words, kind] : bounds) {
    if (!text.starts_with(words)) continue;
    const auto number = yaml::to_number(std::string_view(text).substr(words.size()));
    if (!number) break;
    result.kind = kind;
    result.bound = *number;
    return result;
  }
  throw Error(
      fmt::format("expected up, down, same, 'at least NUMBER' or 'at most NUMBER', got '{}'", text),
      entry.value.where);
}

/// A rung of a ladder or a variant of a list; `key` is what names it.
Point read_point(const yaml::Value& value, std::string_view key) {
  const std::string what = fmt::format("a {}", key);
  yaml::expect_keys(value, {key, "title", "note", "edits", "expect"}, what);
  const yaml::Value* name = value.find(key);
  if (name == nullptr) throw Error(fmt::format("{} needs the key '{}'", what, key), value.where);
  Point point;
  point.where = name->where;
  point.title = yaml::require_text(*name, fmt::format("'{}'", key));
  point.name = slug(point.title);
  if (point.name.empty() || point.name.size() > kMaxName) {
    throw Error(fmt::format("'{}' gives no name for a folder", point.title), name->where);
  }
  if (const yaml::Value* title = value.find("title")) {
    point.title = yaml::require_text(*title, "'title'");
  }
  if (const yaml::Value* note = value.find("note")) {
    point.note = yaml::require_text(*note, "'note'");
  }
  if (const yaml::Value* edits = value.find("edits")) {
    point.edits.push_back(&yaml::require_sequence(*edits, "'edits'"));
  }
  if (const yaml::Value* expect = value.find("expect")) {
    for (const yaml::Entry& entry : yaml::require_mapping(*expect, "'expect'").entries) {
      point.expect.push_back(read_expectation(entry));
    }
  }
  return point;
}

std::vector<Point> read_points(const yaml::Entry& series, std::string_view key) {
  std::vector<Point> points;
  const std::string what = fmt::format("'{}'", series.key);
  for (const yaml::Value& item : yaml::require_sequence(series.value, what).items) {
    points.push_back(read_point(item, key));
  }
  if (points.empty()) throw Error(what + " is empty", series.value.where);
  return points;
}

Point base_point(const Location& where) {
  Point point;
  point.name = "base";
  point.title = "base";
  point.where = where;
  return point;
}

std::vector<Point> read_ladder(const yaml::Entry& series) {
  std::vector<Point> points = read_points(series, "rung");
  for (size_t i = 1; i < points.size(); ++i) {
    points[i].base = points[i].on_top_of = static_cast<int>(i) - 1;
  }
  return points;
}

std::vector<Point> read_each(const yaml::Entry& series) {
  std::vector<Point> points = read_points(series, "variant");
  for (Point& point : points) point.base = 0;
  points.insert(points.begin(), base_point(series.where));
  return points;
}

std::vector<Point> read_list(const yaml::Entry& series) {
  std::vector<Point> points = read_points(series, "variant");
  for (size_t i = 1; i < points.size(); ++i) points[i].base = 0;
  return points;
}

std::vector<Point> read_leave_one_out(const yaml::Entry& series) {
  const std::vector<Point> parts = read_points(series, "variant");
  std::vector<Point> points = {base_point(series.where)};
  points[0].name = points[0].title = "all";
  for (const Point& part : parts) {
    points[0].edits.insert(points[0].edits.end(), part.edits.begin(), part.edits.end());
  }
  for (const Point& part : parts) {
    Point point = part;
    point.name = "without_" + part.name;
    point.title = "without " + part.title;
    point.base = 0;
    point.edits.clear();
    for (const Point& other : parts) {
      if (&other == &part) continue;
      point.edits.insert(point.edits.end(), other.edits.begin(), other.edits.end());
    }
    points.push_back(std::move(point));
  }
  return points;
}

/// One axis of a grid: values of a parameter or an attribute, or named lists of edits.
size_t axis_length(const yaml::Entry& axis) {
  const size_t length =
      axis.value.is_mapping()
          ? axis.value.entries.size()
          : yaml::require_sequence(axis.value, fmt::format("axis '{}'", axis.key)).items.size();
  if (length == 0) throw Error(fmt::format("axis '{}' is empty", axis.key), axis.value.where);
  return length;
}

void add_choice(Point& point, const yaml::Entry& axis, size_t k) {
  const auto append = [](std::string& text, std::string_view separator, const std::string& more) {
    text += text.empty() ? more : std::string(separator) + more;
  };
  std::string value;
  if (axis.value.is_mapping()) {
    const yaml::Entry& option = axis.value.entries[k];
    value = option.key;
    point.edits.push_back(&yaml::require_sequence(option.value, "the edits of an option"));
  } else {
    const yaml::Value& item = axis.value.items[k];
    value = yaml::to_text(item);
    const bool is_path = axis.key.find_first_of("./") != std::string::npos;
    (is_path ? point.assignments : point.parameters).push_back({axis.key, item, axis.where});
  }
  const std::string shown = axis.key.substr(axis.key.rfind('/') + 1);
  append(point.name, "-", slug(shown) + "_" + slug(value, ".-"));
  append(point.title, ", ", shown + " " + value);
  if (point.name.size() > kMaxName) {
    throw Error(fmt::format("'{}' is too long for the name of a variant", point.name), axis.where);
  }
}

std::vector<Point> read_grid(const yaml::Entry& series) {
  std::vector<Point> points(1);
  points[0].where = series.where;
  for (const yaml::Entry& axis : yaml::require_mapping(series.value, "'grid'").entries) {
    const size_t length = axis_length(axis);
    if (points.size() * length > kMaxPoints) {
      throw Error(fmt::format("'grid' has more than {} variants", kMaxPoints), axis.where);
    }
    std::vector<Point> longer;
    for (const Point& point : points) {
      for (size_t k = 0; k < length; ++k) add_choice(longer.emplace_back(point), axis, k);
    }
    points = std::move(longer);
  }
  return points;
}

std::vector<Point> read_zip(const yaml::Entry& series) {
  const auto& axes = yaml::require_mapping(series.value, "'zip'").entries;
  std::vector<Point> points(axes.empty() ? 0 : axis_length(axes[0]));
  for (const yaml::Entry& axis : axes) {
    if (axis_length(axis) != points.size()) {
      throw Error(fmt::format("axis '{}' has {} values, '{}' has {}", axis.key, axis_length(axis),
                              axes[0].key, points.size()),
                  axis.value.where);
    }
    for (size_t k = 0; k < points.size(); ++k) add_choice(points[k], axis, k);
  }
  for (Point& point : points) point.where = series.where;
  return points;
}

using Reader = std::vector<Point> (*)(const yaml::Entry&);
constexpr std::array<std::pair<std::string_view, Reader>, 6> kSeries = {{
    {"ladder", read_ladder},
    {"each", read_each},
    {"leave_one_out", read_leave_one_out},
    {"list", read_list},
    {"grid", read_grid},
    {"zip", read_zip},
}};

}  // namespace

std::vector<Point> read_series(const yaml::Value& study) {
  std::vector<Point> points;
  const yaml::Entry* series = nullptr;
  for (const yaml::Entry& entry : study.entries) {
    for (const auto& [key, read] : kSeries) {
      if (entry.key != key) continue;
      if (series != nullptr) {
        throw Error(fmt::format("a study has one series, got '{}' and '{}'", series->key, key),
                    entry.where);
      }
      series = &entry;
      points = read(entry);
    }
  }
  if (series == nullptr) return {base_point(study.where)};
  if (points.empty() || points[0].name.empty()) {
    throw Error(fmt::format("'{}' is empty", series->key), series->value.where);
  }
  if (series->key == "grid" || series->key == "zip") {
    for (size_t i = 1; i < points.size(); ++i) points[i].base = 0;
  }
  std::map<std::string_view, const Point*> seen;
  for (const Point& point : points) {
    const auto [found, is_new] = seen.emplace(point.name, &point);
    if (is_new) continue;
    Error error(fmt::format("two variants are named '{}'", point.name), point.where);
    throw error.note("the other one", found->second->where);
  }
  return points;
}

EditParts read_parts(const yaml::Value& study) {
  for (const yaml::Entry& entry : study.entries) {
    const bool ladder = entry.key == "ladder";
    if (ladder || entry.key == "list") {
      std::vector<Point> points = read_points(entry, ladder ? "rung" : "variant");
      EditParts out{.base = points.front()};
      out.parts.assign(points.begin() + 1, points.end());
      return out;
    }
    if (entry.key == "each" || entry.key == "leave_one_out") {
      return {.base = base_point(entry.where), .parts = read_points(entry, "variant")};
    }
  }
  throw Error("attribution is over the edits of a ladder, each, list or leave_one_out",
              study.where);
}

}  // namespace expgraph
