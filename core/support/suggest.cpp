// suggest: a misspelt name and the names there are -> "did you mean ...?".
#include "core/support/suggest.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

namespace expgraph {
namespace {

constexpr size_t kMaxLength = 200;

/// Optimal string alignment distance (Damerau-Levenshtein without repeated edits).
size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<size_t> two(b.size() + 1), one(b.size() + 1), row(b.size() + 1);
  std::iota(one.begin(), one.end(), size_t{0});
  for (size_t i = 1; i <= a.size(); ++i) {
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t replace = one[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
      row[j] = std::min({one[j] + 1, row[j - 1] + 1, replace});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
        row[j] = std::min(row[j], two[j - 2] + 1);
      }
    }
    std::swap(two, one);
    std::swap(one, row);
  }
  return one[b.size()];
}

}  // namespace

std::vector<std::string> nearest(std::string_view name, const std::vector<std::string>& names,
                                 size_t limit) {
  if (name.empty() || name.size() > kMaxLength) return {};
  std::vector<std::pair<size_t, std::string>> found;
  for (const std::string& candidate : names) {
    if (candidate.size() > kMaxLength || candidate == name) continue;
    const size_t distance = edit_distance(name, candidate);
    const size_t tail = candidate.rfind('/');
    const bool same_tail = tail != std::string::npos && candidate.substr(tail + 1) == name;
    if (same_tail) {
      found.emplace_back(1, candidate);
    } else if (distance <= std::max<size_t>(1, std::min(name.size(), candidate.size()) / 3)) {
      found.emplace_back(distance, candidate);
    }
  }
  std::stable_sort(found.begin(), found.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  std::vector<std::string> out;
  for (auto& [distance, candidate] : found) {
    if (out.size() == limit || distance > found.front().first + 1) break;
    if (std::find(out.begin(), out.end(), candidate) == out.end()) out.push_back(candidate);
  }
  return out;
}

std::string did_you_mean(std::string_view name, const std::vector<std::string>& names) {
  const std::vector<std::string> near = nearest(name, names);
  if (near.empty()) return {};
  if (near.size() == 1) return fmt::format("did you mean '{}'?", near[0]);
  return fmt::format("did you mean '{}' or '{}'?", near[0], near[1]);
}

}  // namespace expgraph
