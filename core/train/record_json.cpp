// record_json: a RunRecord <-> JSON, exact to the bit, for manifests and summaries.
#include "core/train/record_json.h"

#include <fmt/format.h>

#include <array>
#include <limits>
#include <nlohmann/json.hpp>

#include "core/support/diagnostics.h"

namespace expgraph {
namespace {

struct ClockField {
  const char* name;
  double Clocks::*member;
};
constexpr std::array<ClockField, 6> kClocks = {{{"preprocessing", &Clocks::preprocessing},
                                                {"steps", &Clocks::steps},
                                                {"validation", &Clocks::validation},
                                                {"checkpoints", &Clocks::checkpoints},
                                                {"compilation", &Clocks::compilation},
                                                {"data", &Clocks::data}}};

/// A metric that was not measured is NaN, which JSON has as null.
std::vector<double> read_metrics(const nlohmann::ordered_json& json) {
  std::vector<double> out;
  for (const auto& value : json) {
    out.push_back(value.is_null() ? std::numeric_limits<double>::quiet_NaN() : double(value));
  }
  return out;
}

RunRecord read_record(const nlohmann::ordered_json& json) {
  RunRecord out{.metrics = {},
                .epochs = json.at("epochs"),
                .steps = json.at("steps"),
                .parameters = json.at("parameters"),
                .macs = json.at("macs"),
                .peak_bytes = json.at("peak_bytes"),
                .timed = json.at("timed"),
                .stopped = json.at("stopped"),
                .clocks = {},
                .history = {}};
  for (const auto& metric : json.at("metrics")) {
    out.metrics.push_back({.name = metric.at("name"), .percent = metric.at("percent")});
  }
  for (const ClockField& clock : kClocks)
    out.clocks.*clock.member = json.at("seconds").at(clock.name);
  for (const auto& row : json.at("history")) {
    out.history.push_back({.epoch = row.at("epoch"),
                           .learning_rate = row.at("learning_rate"),
                           .metrics = read_metrics(row.at("metrics")),
                           .seconds = row.at("seconds"),
                           .images_per_second = row.at("images_per_second")});
  }
  return out;
}

}  // namespace

nlohmann::ordered_json to_json(const RunRecord& record) {
  using nlohmann::ordered_json;
  ordered_json seconds = ordered_json::object();
  for (const ClockField& clock : kClocks) seconds[clock.name] = record.clocks.*clock.member;
  ordered_json metrics = ordered_json::array();
  for (const MetricInfo& metric : record.metrics) {
    metrics.push_back({{"name", metric.name}, {"percent", metric.percent}});
  }
  ordered_json history = ordered_json::array();
  for (const EpochRecord& row : record.history) {
    history.push_back({{"epoch", row.epoch},
                       {"learning_rate", row.learning_rate},
                       {"metrics", row.metrics},
                       {"seconds", row.seconds},
                       {"images_per_second", row.images_per_second}});
  }
  return {{"epochs", record.epochs},         {"steps", record.steps},
          {"parameters", record.parameters}, {"macs", record.macs},
          {"peak_bytes", record.peak_bytes}, {"timed", record.timed},
          {"stopped", record.stopped},       {"seconds", std::move(seconds)},
          {"metrics", std::move(metrics)},   {"history", std::move(history)}};
}

RunRecord parse_record(const nlohmann::ordered_json& json, std::string_view source) {
  RunRecord out;
  try {
    out = read_record(json);
  } catch (const nlohmann::json::exception& error) {
    throw Error(fmt::format("{} holds no valid record: {}", source, error.what()));
  }
  for (size_t k = 0; k < out.history.size(); ++k) {
    const EpochRecord& row = out.history[k];
    if (row.epoch != static_cast<int64_t>(k) + 1 || row.metrics.size() != out.metrics.size()) {
      throw Error(
          fmt::format("{} holds no valid record: row {} of its history is of epoch {}, "
                      "with {} of {} metrics",
                      source, k + 1, row.epoch, row.metrics.size(), out.metrics.size()));
    }
  }
  if (out.metrics.empty() || static_cast<int64_t>(out.history.size()) > out.epochs) {
    throw Error(fmt::format("{} holds no valid record: {} metrics, {} of {} epochs", source,
                            out.metrics.size(), out.history.size(), out.epochs));
  }
  return out;
}

}  // namespace expgraph
