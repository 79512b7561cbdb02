// coalitions: how many edits a study has, how many orders to sample -> the sets of edits to run.
#include "core/spec/coalitions.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <numeric>
#include <set>

#include "core/support/philox.h"

namespace expgraph {
namespace {

/// n!, or `limit` when it is more.
int factorial(size_t n, int limit) {
  int64_t product = 1;
  for (size_t k = 2; k <= n && product < limit; ++k) product *= static_cast<int64_t>(k);
  return static_cast<int>(std::min<int64_t>(product, limit));
}

std::vector<int> file_order(size_t edits) {
  std::vector<int> order(edits);
  std::iota(order.begin(), order.end(), 0);
  return order;
}

std::vector<int> shuffled(size_t edits, uint64_t stream) {
  PhiloxStream random({0x5A17, 1}, stream);
  std::vector<int> order = file_order(edits);
  for (size_t k = order.size(); k > 1; --k) {
    std::swap(order[k - 1], order[random.below(static_cast<uint32_t>(k))]);
  }
  return order;
}

void add_starts(const std::vector<int>& order, std::set<Coalition>& sets) {
  Coalition start;
  sets.insert(start);
  for (const int edit : order) {
    start.insert(std::lower_bound(start.begin(), start.end(), edit), edit);
    sets.insert(start);
  }
}

}  // namespace

AttributionPlan plan_attribution(std::vector<std::string> edits, int count) {
  AttributionPlan plan{.edits = std::move(edits)};
  const size_t n = plan.edits.size();
  if (factorial(n, count + 1) <= count) {
    plan.exact = true;
    std::vector<int> order = file_order(n);
    do {
      plan.orders.push_back(order);
    } while (std::next_permutation(order.begin(), order.end()));
    return plan;
  }
  for (uint64_t couple = 0; static_cast<int>(plan.orders.size()) < count; ++couple) {
    std::vector<int> order = shuffled(n, couple);
    plan.orders.push_back(order);
    if (static_cast<int>(plan.orders.size()) == count) break;
    for (size_t k = 0; k + 1 < n; k += 2) std::swap(order[k], order[k + 1]);
    plan.orders.push_back(std::move(order));
  }
  return plan;
}

std::vector<Coalition> coalitions_of(const AttributionPlan& plan) {
  const std::vector<int> all = file_order(plan.edits.size());
  std::set<Coalition> sets;
  add_starts(all, sets);
  for (const std::vector<int>& order : plan.orders) add_starts(order, sets);
  for (const int edit : all) {
    sets.insert({edit});
    Coalition without = all;
    without.erase(without.begin() + edit);
    sets.insert(without);
  }
  std::vector<Coalition> out(sets.begin(), sets.end());
  std::stable_sort(out.begin(), out.end(),
                   [](const auto& a, const auto& b) { return a.size() < b.size(); });
  return out;
}

std::string name_of(const Coalition& coalition, size_t edits) {
  if (coalition.empty()) return "none";
  if (coalition.size() == edits) return "all";
  std::vector<int> numbers;
  const bool most = 2 * coalition.size() > edits;
  for (int edit = 0; edit < static_cast<int>(edits); ++edit) {
    const bool has = std::binary_search(coalition.begin(), coalition.end(), edit);
    if (has != most) numbers.push_back(edit + 1);
  }
  return fmt::format("{}{}", most ? "all_but_" : "", fmt::join(numbers, "_"));
}

}  // namespace expgraph
