// budget: a time to spend -> the order of runs in which it tells most, and which of them still fit.
#include "core/study/budget.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <deque>

namespace expgraph {
namespace {

constexpr double kMostSeconds = 1e9;

bool is_chain(const std::vector<Variant>& variants, const std::vector<size_t>& asked) {
  for (size_t k = 1; k < asked.size(); ++k) {
    if (variants[asked[k]].base != variants[asked[k - 1]].name) return false;
  }
  return true;
}

/// The ends, then middles of what is between, widest first.
std::vector<size_t> bisect(const std::vector<size_t>& chain) {
  std::vector<size_t> out = {chain.front()};
  if (chain.size() > 1) out.push_back(chain.back());
  std::deque<std::pair<size_t, size_t>> open = {{0, chain.size() - 1}};
  while (!open.empty()) {
    const auto [low, high] = open.front();
    open.pop_front();
    if (high - low < 2) continue;
    const size_t middle = (low + high) / 2;
    out.push_back(chain[middle]);
    open.emplace_back(low, middle);
    open.emplace_back(middle, high);
  }
  return out;
}

}  // namespace

double parse_duration(std::string_view text) {
  const auto refuse = [&] {
    return Error(fmt::format("'{}' is no duration", text), {}, ExitCode::usage)
        .note("a number and s, m or h: 45s, 30m, 1h30m");
  };
  double seconds = 0;
  for (std::string_view rest = text; !rest.empty();) {
    size_t digits = 0;
    double value = 0;
    while (digits < rest.size() && std::isdigit(static_cast<unsigned char>(rest[digits])) != 0) {
      value = 10 * value + (rest[digits++] - '0');
    }
    const char unit = digits < rest.size() ? rest[digits] : '\0';
    if (digits == 0 || (unit != 's' && unit != 'm' && unit != 'h')) throw refuse();
    seconds += value * (unit == 'h' ? 3600 : unit == 'm' ? 60 : 1);
    rest.remove_prefix(digits + 1);
  }
  if (seconds <= 0 || seconds > kMostSeconds) throw refuse();
  return seconds;
}

std::vector<size_t> informative_order(const std::vector<Variant>& variants,
                                      const std::vector<size_t>& asked,
                                      const std::vector<double>& seconds) {
  if (asked.size() > 1 && is_chain(variants, asked)) return bisect(asked);
  const auto is_base = [&](size_t k) {
    return std::ranges::any_of(
        asked, [&](size_t other) { return variants[other].base == variants[k].name; });
  };
  std::vector<size_t> out = asked;
  std::ranges::stable_sort(out, [&](size_t a, size_t b) {
    if (is_base(a) != is_base(b)) return is_base(a);
    return seconds[a] < seconds[b];
  });
  return out;
}

double Budget::left() const {
  return seconds_ - std::chrono::duration<double>(Clock::now() - start_).count();
}

double Budget::corrected(double predicted) const {
  return predicted_ > 0 ? predicted * taken_ / predicted_ : predicted;
}

void Budget::add(double predicted, double taken) {
  predicted_ += predicted;
  taken_ += taken;
}

}  // namespace expgraph
