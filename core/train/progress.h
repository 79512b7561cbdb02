// progress: the steps and epochs of a run -> a bar on a terminal, or one plain line an epoch.
#pragma once

#include <chrono>
#include <optional>
#include <ostream>
#include <string>

#include "core/train/record.h"

namespace expgraph {

/// Where a run stands after a step.
struct StepReport {
  int64_t step = 0;  ///< done so far, of the whole run
  int64_t steps = 0;
  int64_t epoch = 0;  ///< counts from 1
  int64_t epochs = 0;
  std::optional<double> loss;  ///< per sample; none where it stays on the device until later
  double images_per_second = 0;
};

/// "epoch 3/24  train/loss 1.234  test/accuracy 55.90 %  12.3 s  234 images/s".
std::string epoch_line(const RunRecord& record);
/// "1:02:03", "4:05", "12.3 s": three or four characters of meaning.
std::string duration_text(double seconds);

/// Writes to a stream (stderr in the program); on a terminal it draws over one line.
class Progress {
 public:
  struct Options {
    bool terminal = false;
    int columns = 80;
  };
  Progress(std::ostream& to, Options options) : to_(to), options_(options) {}
  ~Progress() { clear(); }
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  /// What runs now; begins the lines of its epochs: "batch_size seed 0".
  void start(std::string title);
  void step(const StepReport& report);  ///< drawn at most ten times a second
  /// Of long preparations: "decoding". Not on a terminal: one line when it begins.
  void work(std::string_view what, double fraction);
  void epoch(const RunRecord& record);  ///< its last epoch
  void line(std::string_view text);     ///< a message of its own

 private:
  void clear();
  bool due();
  void draw(double fraction, const std::string& left, const std::string& right);

  std::ostream& to_;
  Options options_;
  std::string title_;
  std::string work_;
  bool drawn_ = false;
  using Clock = std::chrono::steady_clock;
  Clock::time_point last_draw_{};
  Clock::time_point started_{};
  int64_t first_step_ = -1;
};

}  // namespace expgraph
