// record: what a run measured -> metrics.tsv and DAWNBench's logs.tsv.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace expgraph {

/// Wall-clock seconds. DAWNBench counts preprocessing and training steps (with augmentation) as
/// time to train; the rest is reported beside it.
struct Clocks {
  double preprocessing = 0;  ///< what is done once, before the first step
  double steps = 0;          ///< training steps, with the waits for their batches
  double validation = 0;
  double checkpoints = 0;
  double compilation = 0;
  double data = 0;  ///< opening, downloading, decoding or generating data sets
  double training() const { return preprocessing + steps; }
  bool operator==(const Clocks&) const = default;
};

/// A metric of a run, as it is reported: per sample.
struct MetricInfo {
  std::string name;      ///< path of its node: "test/accuracy"
  bool percent = false;  ///< a share of samples (op correct)
  bool operator==(const MetricInfo&) const = default;
};

struct EpochRecord {
  int64_t epoch = 0;            ///< counts from 1
  double learning_rate = 0;     ///< at its end
  std::vector<double> metrics;  ///< one for each RunRecord::metrics; NaN: was not measured
  double seconds = 0;           ///< of training since the start: Clocks::training
  double images_per_second = 0;
  bool operator==(const EpochRecord&) const = default;
};

struct RunRecord {
  std::vector<MetricInfo> metrics;  ///< of training, then of the test
  int64_t epochs = 0;               ///< rounded up
  int64_t steps = 0;
  int64_t parameters = 0;
  int64_t macs = 0;        ///< of one image forward
  int64_t peak_bytes = 0;  ///< planned
  bool timed = true;       ///< nothing else ran on its device: its clocks mean something
  bool stopped = false;    ///< its condition to stop held before the last epoch
  Clocks clocks;
  std::vector<EpochRecord> history;

  bool finished() const { return stopped || static_cast<int64_t>(history.size()) == epochs; }
  /// Index of a metric by name; none when the run has none of that name.
  std::optional<size_t> find_metric(std::string_view name) const;
  /// Index of the metric that says how good the net is: the first percentage of the test, else
  /// the first metric of the test, else of training. A pipeline has at least one metric.
  size_t main_metric() const;
};

/// Tab-separated, one row an epoch: epoch, learning_rate, each metric, seconds, images_per_second.
std::string metrics_tsv(const RunRecord& record);

/// DAWNBench's file: header `epoch hours top1Accuracy`, hours cumulative, accuracy in percent.
/// Epochs at which it was not measured are left out. "" when the main metric is no percentage.
std::string logs_tsv(const RunRecord& record);

}  // namespace expgraph
