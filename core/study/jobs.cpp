// jobs: pieces of work in an order -> done by several threads.
#include "core/study/jobs.h"

#include <algorithm>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <set>
#include <thread>

namespace expgraph {
namespace {

class Crew {
 public:
  explicit Crew(std::vector<Job> jobs) : open_(std::move(jobs)) {}

  void work() {
    std::unique_lock lock(mutex_);
    while (true) {
      auto next = open_.end();
      changed_.wait(lock, [&] {
        next = std::find_if(open_.begin(), open_.end(),
                            [&](const Job& job) { return !busy_.contains(job.group); });
        return ended_ || open_.empty() || next != open_.end();
      });
      if (ended_ || open_.empty()) return;
      const Job job = std::move(*next);
      open_.erase(next);
      busy_.insert(job.group);
      lock.unlock();
      const bool goes_on = attempt(job);
      lock.lock();
      busy_.erase(job.group);
      ended_ = ended_ || !goes_on;
      changed_.notify_all();
    }
  }

  void rethrow() const {
    if (failure_) std::rethrow_exception(failure_);
  }

 private:
  bool attempt(const Job& job) {
    try {
      return job.work();
    } catch (...) {
      const std::lock_guard lock(mutex_);
      if (!failure_) failure_ = std::current_exception();
      return false;
    }
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Job> open_;
  std::set<std::string> busy_;
  bool ended_ = false;
  std::exception_ptr failure_;
};

}  // namespace

void run_jobs(std::vector<Job> jobs, int side_by_side) {
  Crew crew(std::move(jobs));
  {
    std::vector<std::jthread> others;
    for (int k = 1; k < side_by_side; ++k) others.emplace_back([&] { crew.work(); });
    crew.work();
  }
  crew.rethrow();
}

}  // namespace expgraph
