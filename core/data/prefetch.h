// prefetch: items made in order on a thread of their own, a few ahead of who takes them.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace expgraph {

/// Makes items 0 .. count-1 into slots that are used in turn. An exception of `fill` comes out of
/// next().
template <typename Slot>
class Prefetcher {
 public:
  static constexpr int kSlots = 3;

  Prefetcher(int64_t count, const std::function<Slot()>& make_slot,
             std::function<void(int64_t, Slot&)> fill)
      : count_(count), fill_(std::move(fill)) {
    for (int k = 0; k < kSlots; ++k) slots_.push_back(make_slot());
    thread_ = std::thread([this] { work(); });
  }
  ~Prefetcher() {
    {
      const std::lock_guard lock(mutex_);
      stop_ = true;
    }
    changed_.notify_all();
    thread_.join();
  }
  Prefetcher(const Prefetcher&) = delete;
  Prefetcher& operator=(const Prefetcher&) = delete;

  /// The next item; the one before may be overwritten from now on.
  Slot& next() {
    std::unique_lock lock(mutex_);
    ++taken_;
    changed_.notify_all();
    changed_.wait(lock, [this] { return made_ >= taken_ || error_; });
    if (made_ < taken_) std::rethrow_exception(error_);
    return slot(taken_ - 1);
  }

 private:
  Slot& slot(int64_t item) { return slots_[static_cast<size_t>(item) % slots_.size()]; }

  void work() {
    for (int64_t item = 0; item < count_; ++item) {
      {
        std::unique_lock lock(mutex_);
        // The slot of item k - 3 is free once item k - 2 has been asked for.
        const auto ahead = static_cast<int64_t>(slots_.size());
        changed_.wait(lock, [&] { return stop_ || item - ahead < taken_ - 1; });
        if (stop_) return;
      }
      try {
        fill_(item, slot(item));
      } catch (...) {
        const std::lock_guard lock(mutex_);
        error_ = std::current_exception();
        changed_.notify_all();
        return;
      }
      const std::lock_guard lock(mutex_);
      ++made_;
      changed_.notify_all();
    }
  }

  int64_t count_;
  std::function<void(int64_t, Slot&)> fill_;
  std::vector<Slot> slots_;
  std::mutex mutex_;
  std::condition_variable changed_;
  int64_t made_ = 0, taken_ = 0;
  bool stop_ = false;
  std::exception_ptr error_;
  std::thread thread_;
};

}  // namespace expgraph
