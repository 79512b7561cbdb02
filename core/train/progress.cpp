// progress: the steps and epochs of a run -> a bar on a terminal, or one plain line an epoch.
#include "core/train/progress.h"

#include <fmt/ostream.h>

#include <algorithm>
#include <cmath>

namespace expgraph {

std::string duration_text(double seconds) {
  if (seconds < 60) return fmt::format("{:.1f} s", seconds);
  const auto whole = static_cast<int64_t>(std::lround(seconds));
  if (whole < 3600) return fmt::format("{}:{:02}", whole / 60, whole % 60);
  return fmt::format("{}:{:02}:{:02}", whole / 3600, whole / 60 % 60, whole % 60);
}

std::string epoch_line(const RunRecord& record) {
  const EpochRecord& row = record.history.back();
  const auto digits = fmt::formatted_size("{}", record.epochs);
  std::string out = fmt::format("epoch {:>{}}/{}", row.epoch, digits, record.epochs);
  for (size_t k = 0; k < record.metrics.size(); ++k) {
    const MetricInfo& metric = record.metrics[k];
    out += metric.percent ? fmt::format("  {} {:.2f} %", metric.name, 100 * row.metrics[k])
                          : fmt::format("  {} {:.4f}", metric.name, row.metrics[k]);
  }
  return out +
         fmt::format("  {}  {:.0f} images/s", duration_text(row.seconds), row.images_per_second);
}

void Progress::start(std::string title) {
  clear();
  title_ = std::move(title);
  first_step_ = -1;
}

bool Progress::due() {
  const auto now = Clock::now();
  if (!options_.terminal || now - last_draw_ < std::chrono::milliseconds(100)) return false;
  last_draw_ = now;
  return true;
}

void Progress::step(const StepReport& report) {
  if (first_step_ < 0) {
    // The speed of this process alone says when it ends: a run that goes on starts in the middle.
    first_step_ = report.step;
    started_ = Clock::now();
  }
  if (!due()) return;
  std::string right = fmt::format("epoch {}/{}", report.epoch, report.epochs);
  if (report.loss) right += fmt::format("  loss {:.3f}", *report.loss);
  right += fmt::format("  {:.0f} images/s", report.images_per_second);
  if (report.step > first_step_) {
    const std::chrono::duration<double> taken = Clock::now() - started_;
    const auto done = static_cast<double>(report.step - first_step_);
    const auto open = static_cast<double>(report.steps - report.step);
    right += fmt::format("  {} left", duration_text(taken.count() / done * open));
  }
  draw(static_cast<double>(report.step) / static_cast<double>(report.steps), title_, right);
}

void Progress::work(std::string_view what, double fraction) {
  if (options_.terminal) {
    if (due()) draw(fraction, std::string(what), fmt::format("{:.0f} %", 100 * fraction));
  } else if (what != work_) {
    line(what);
  }
  work_ = what;
}

void Progress::draw(double fraction, const std::string& left, const std::string& right) {
  const int room = options_.columns - 1 - static_cast<int>(left.size() + right.size()) - 4;
  std::string line = left;
  if (room >= 6) {
    const int full = std::clamp(static_cast<int>(std::lround(fraction * room)), 0, room);
    line += fmt::format(" [{}{}]", std::string(static_cast<size_t>(full), '#'),
                        std::string(static_cast<size_t>(room - full), '.'));
  }
  line += " " + right;
  line.resize(std::min(line.size(), static_cast<size_t>(std::max(options_.columns - 1, 0))));
  fmt::print(to_, "\r{}\x1b[K", line);
  to_.flush();
  drawn_ = true;
}

void Progress::epoch(const RunRecord& record) {
  line(fmt::format("{}{}{}", title_, title_.empty() ? "" : "  ", epoch_line(record)));
}

void Progress::line(std::string_view text) {
  clear();
  if (text.ends_with('\n')) text.remove_suffix(1);
  fmt::print(to_, "{}\n", text);
  to_.flush();
}

void Progress::clear() {
  if (drawn_) fmt::print(to_, "\r\x1b[K");
  drawn_ = false;
}

}  // namespace expgraph
