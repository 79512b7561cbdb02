// schedule: scalars that are known for every step in advance.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>
#include <optional>

#include "core/ops/families.h"
#include "core/ops/rules.h"

namespace expgraph {
namespace {

constexpr std::array<std::string_view, 3> kUnits = {"epochs", "steps", "fractions"};

/// The one attribute that places the knots.
std::string_view unit_of(const InferContext& context) {
  std::string_view found;
  for (const std::string_view unit : kUnits) {
    if (context.attributes.reals(unit).empty()) continue;
    if (!found.empty()) {
      context.fail(
          fmt::format("knots are given as {} and as {}, expected one of them", found, unit));
    }
    found = unit;
  }
  if (found.empty()) context.fail("there are no knots: give epochs, steps or fractions");
  return found;
}

std::vector<TensorType> infer_piecewise(const InferContext& context) {
  const std::string_view unit = unit_of(context);
  const std::vector<double>& knots = context.attributes.reals(unit);
  const std::vector<double>& values = context.attributes.reals("values");
  if (knots.size() != values.size()) {
    context.fail_value(
        unit, fmt::format("{} has {} knots, values has {}", unit, knots.size(), values.size()));
  }
  if (knots.front() < 0) {
    context.fail_value(unit,
                       fmt::format("{} starts at {}, expected at least 0", unit, knots.front()));
  }
  for (size_t k = 1; k < knots.size(); ++k) {
    if (knots[k] > knots[k - 1]) continue;
    context.fail_value(
        unit, fmt::format("{} must increase, {} follows {}", unit, knots[k], knots[k - 1]));
  }
  if (unit == "fractions" && knots.back() > 1) {
    context.fail_value(unit, fmt::format("fractions ends at {}, expected at most 1", knots.back()));
  }
  rules::require_at_least(context, "ahead", 0);
  return {{DType::f32, {}}};
}

std::vector<TensorType> infer_polynomial(const InferContext& context) {
  std::vector<TensorType> types = infer_piecewise(context);
  const std::vector<double>& powers = context.attributes.reals("power");
  const size_t pieces = context.attributes.reals("values").size() - 1;
  if (powers.size() != 1 && powers.size() != pieces) {
    context.fail(
        fmt::format("power has {} values, expected 1 or {}, one a piece", powers.size(), pieces));
  }
  for (const double power : powers) {
    if (power <= 0) context.fail(fmt::format("power is {}, expected above 0", power));
  }
  return types;
}

std::vector<TensorType> infer_every(const InferContext& context) {
  rules::require_at_least(context, "steps", 1);
  rules::require_at_least(context, "first", 0);
  return {{DType::f32, {}}};
}

/// Where a step lies between two knots; nothing before the first knot and after the last.
struct Piece {
  size_t index = 0;  ///< of the knot before
  double part = 0;   ///< 0 at that knot, less than 1
};

/// The piece that holds the time; before the first knot `front`, else after the last.
std::optional<Piece> piece_at(const Attributes& attributes, ScheduleTime time, bool& front) {
  time.step += attributes.integer("ahead");
  std::vector<double> knots = attributes.reals("epochs");
  double now = time.epoch();
  if (knots.empty()) {
    now = static_cast<double>(time.step);
    knots = attributes.reals("steps");
  }
  if (knots.empty()) {
    knots = attributes.reals("fractions");
    for (double& knot : knots) knot = std::floor(knot * static_cast<double>(time.steps));
  }
  const auto next = std::upper_bound(knots.begin(), knots.end(), now);
  front = next == knots.begin();
  if (front || next == knots.end()) return std::nullopt;
  const auto k = static_cast<size_t>(next - knots.begin());
  return Piece{k - 1, (now - knots[k - 1]) / (knots[k] - knots[k - 1])};
}

/// A curve through the knots; `shape` gives the value within a piece.
template <typename Shape>
double piecewise(const Attributes& attributes, const ScheduleTime& time, const Shape& shape) {
  const std::vector<double>& values = attributes.reals("values");
  bool front = false;
  const std::optional<Piece> piece = piece_at(attributes, time, front);
  if (!piece) return front ? values.front() : values.back();
  return shape(values[piece->index], values[piece->index + 1], *piece);
}

double piecewise_linear(const Attributes& attributes, const ScheduleTime& time) {
  return piecewise(attributes, time,
                   [](double a, double b, const Piece& at) { return a + at.part * (b - a); });
}

double piecewise_constant(const Attributes& attributes, const ScheduleTime& time) {
  return piecewise(attributes, time, [](double a, double, const Piece&) { return a; });
}

double piecewise_cosine(const Attributes& attributes, const ScheduleTime& time) {
  return piecewise(attributes, time, [](double a, double b, const Piece& at) {
    return b + (a - b) / 2 * (1 + std::cos(std::numbers::pi * at.part));
  });
}

double piecewise_polynomial(const Attributes& attributes, const ScheduleTime& time) {
  const std::vector<double>& powers = attributes.reals("power");
  return piecewise(attributes, time, [&](double a, double b, const Piece& at) {
    const double power = powers[powers.size() == 1 ? 0 : at.index];
    return a < b ? a + (b - a) * std::pow(at.part, power)
                 : b + (a - b) * std::pow(1 - at.part, power);
  });
}

double every(const Attributes& attributes, const ScheduleTime& time) {
  const int64_t period = attributes.integer("steps"), done = time.step + 1;
  const int64_t first = attributes.integer("first") == 0 ? period : attributes.integer("first");
  if (attributes.flag("last") && done == time.steps) return 1;
  return done >= first && (done - first) % period == 0 ? 1 : 0;
}

std::vector<AttributeSchema> knot_attributes() {
  return {{"epochs", AttributeKind::reals, std::vector<double>{},
           "knots, increasing; 0.5 is half through the first epoch"},
          {"steps", AttributeKind::reals, std::vector<double>{},
           "knots in steps instead, counted from 0"},
          {"fractions", AttributeKind::reals, std::vector<double>{},
           "knots as parts of the training instead, rounded down to steps"},
          {"values", AttributeKind::reals, std::nullopt, "value at each knot"},
          {"ahead", AttributeKind::integer, int64_t{0},
           "steps that it is ahead; 1 is the time at the end of a step"}};
}

OpSchema piecewise_op(std::string_view name, std::string_view doc,
                      double (*schedule)(const Attributes&, const ScheduleTime&),
                      std::string_view example) {
  return {.name = name,
          .family = "schedule",
          .doc = doc,
          .role = OpRole::schedule,
          .outputs = {{.name = "value", .doc = "scalar, one a step"}},
          .attributes = knot_attributes(),
          .infer = infer_piecewise,
          .schedule = schedule,
          .cost = rules::copy_cost,
          .example = example};
}

OpSchema polynomial_op() {
  OpSchema op = piecewise_op(
      "piecewise_polynomial",
      "Powers between knots: each piece leaves its lower end as (distance / length)^power and is "
      "constant before the first knot and after the last; power 1 is a straight line.",
      piecewise_polynomial,
      "lr: {op: piecewise_polynomial, epochs: [0, 5, 90], values: [0, 10, 0], power: [1, 2]}");
  op.attributes.push_back(
      {"power", AttributeKind::reals, std::nullopt, "of all pieces, or one each"});
  op.infer = infer_polynomial;
  return op;
}

OpSchema every_op() {
  return {.name = "every",
          .family = "schedule",
          .doc = "1 after each so many steps, else 0.",
          .role = OpRole::schedule,
          .outputs = {{.name = "value", .doc = "scalar, one a step"}},
          .attributes = {{"steps", AttributeKind::integer, std::nullopt, "from one to the next"},
                         {"first", AttributeKind::integer, int64_t{0},
                          "steps until the first; 0: as from one to the next"},
                         {"last", AttributeKind::boolean, false, "and at the end of the training"}},
          .infer = infer_every,
          .schedule = every,
          .cost = rules::copy_cost,
          .example = "tenth: {op: every, steps: 10}"};
}

}  // namespace

std::vector<OpSchema> schedule_ops() {
  return {
      piecewise_op("piecewise_linear",
                   "Straight lines between knots, constant before the first and after the last.",
                   piecewise_linear,
                   "lr: {op: piecewise_linear, epochs: [0, 5, 24], values: [0, 0.4, 0]}"),
      piecewise_op("piecewise_constant", "The value of a knot until the next one.",
                   piecewise_constant,
                   "until: {op: piecewise_constant, epochs: [0, 3], values: [1, 0]}"),
      piecewise_op("piecewise_cosine",
                   "Half waves of a cosine between knots (Loshchilov and Hutter, 2017), constant "
                   "before the first and after the last: level at each knot.",
                   piecewise_cosine,
                   "lr: {op: piecewise_cosine, fractions: [0, 0.3, 1], values: [0.04, 1, 0]}"),
      polynomial_op(),
      every_op(),
  };
}

}  // namespace expgraph
