// cost_model: timed steps of a machine -> how long the steps of other graphs take there.
#include "core/study/cost_model.h"

#include <Eigen/Dense>
#include <algorithm>
#include <cmath>
#include <limits>

#include "core/ir/op_schema.h"

namespace expgraph {
namespace {

constexpr double kClockSeconds = 2e-6;  // below it a node's time is the clock's

/// Least squares with no coefficient below 0: of three columns every subset can be tried.
NodeRate fit_rate(const std::vector<TimedNode>& nodes) {
  const auto rows = static_cast<Eigen::Index>(nodes.size());
  Eigen::MatrixXd columns(rows, 3);
  for (Eigen::Index k = 0; k < rows; ++k) {
    const TimedNode& node = nodes[static_cast<size_t>(k)];
    const double weight = 1 / (node.seconds + kClockSeconds);
    columns(k, 0) = weight;
    columns(k, 1) = weight * double(node.cost.flops);
    columns(k, 2) = weight * double(node.cost.bytes);
  }
  Eigen::VectorXd target(rows);
  for (Eigen::Index k = 0; k < rows; ++k) {
    const double seconds = nodes[static_cast<size_t>(k)].seconds;
    target(k) = seconds / (seconds + kClockSeconds);
  }
  // Columns differ by many orders of magnitude.
  const Eigen::Vector3d scale = columns.colwise().norm().cwiseMax(1e-300).transpose();
  columns *= scale.cwiseInverse().asDiagonal();
  Eigen::Vector3d best = Eigen::Vector3d::Zero();
  double least = std::numeric_limits<double>::infinity();
  for (unsigned subset = 1; subset < 8; ++subset) {
    std::vector<Eigen::Index> used;
    for (Eigen::Index c = 0; c < 3; ++c) {
      if ((subset >> c & 1U) != 0) used.push_back(c);
    }
    const Eigen::MatrixXd part = columns(Eigen::all, used);
    const Eigen::VectorXd found = part.colPivHouseholderQr().solve(target);
    if (found.minCoeff() < 0) continue;
    const double error = (part * found - target).squaredNorm();
    if (error >= least) continue;
    least = error;
    best.setZero();
    for (size_t k = 0; k < used.size(); ++k) best(used[k]) = found(static_cast<Eigen::Index>(k));
  }
  best = best.cwiseQuotient(scale);
  return {.per_node = best(0), .per_flop = best(1), .per_byte = best(2)};
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const size_t half = values.size() / 2;
  return values.size() % 2 == 1 ? values[half] : (values[half - 1] + values[half]) / 2;
}

}  // namespace

double NodeRate::seconds(const Cost& cost) const {
  return per_node + per_flop * double(cost.flops) + per_byte * double(cost.bytes);
}

CostModel CostModel::fit(const std::vector<TimedStep>& steps) {
  std::map<std::string, std::vector<TimedNode>> by_operator;
  for (const TimedStep& step : steps) {
    for (const TimedNode& node : step.nodes) {
      by_operator[node.name].push_back(node);
      by_operator[""].push_back(node);
    }
  }
  CostModel model;
  for (const auto& [name, nodes] : by_operator) model.rates[name] = fit_rate(nodes);
  std::vector<double> ratios;
  for (const TimedStep& step : steps) {
    const double sum = model.seconds(step.nodes);
    if (sum > 0) ratios.push_back(step.seconds / sum);
  }
  if (!ratios.empty()) model.whole = median(std::move(ratios));
  return model;
}

double CostModel::seconds(const std::vector<TimedNode>& nodes) const {
  double sum = 0;
  for (const TimedNode& node : nodes) {
    auto rate = rates.find(node.name);
    if (rate == rates.end()) rate = rates.find("");
    if (rate != rates.end()) sum += rate->second.seconds(node.cost);
  }
  return sum * whole;
}

double CostModel::seconds(const Graph& graph) const {
  std::vector<TimedNode> nodes;
  for (const Node& node : graph.nodes()) {
    nodes.push_back({.name = display_name(node), .cost = cost_of(graph, node)});
  }
  return seconds(nodes);
}

CostModelError leave_one_out_error(const std::vector<TimedStep>& steps) {
  if (steps.size() < 2) return {};
  std::vector<double> errors;
  for (size_t left_out = 0; left_out < steps.size(); ++left_out) {
    std::vector<TimedStep> others = steps;
    others.erase(others.begin() + static_cast<std::ptrdiff_t>(left_out));
    const double predicted = CostModel::fit(others).seconds(steps[left_out].nodes);
    errors.push_back(std::abs(predicted / steps[left_out].seconds - 1));
  }
  CostModelError out{.steps = static_cast<int64_t>(steps.size())};
  out.worst = *std::max_element(errors.begin(), errors.end());
  out.median = median(std::move(errors));
  return out;
}

}  // namespace expgraph
