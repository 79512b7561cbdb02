// batches: the samples of one side and a seed -> its batches, epoch by epoch, made on a thread
// beside the steps that use them.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/backend.h"
#include "core/compile.h"
#include "core/data/dataset.h"
#include "core/data/prefetch.h"
#include "core/host_store.h"
#include "core/train/prepared.h"

namespace expgraph {

/// What the step reads, in memory that is good until the next batch is asked for; images and labels
/// lie where the backend's programs run.
struct Batch {
  int64_t size = 0;
  TensorView images;
  TensorView label;
  std::vector<Binding> choices;  ///< of the step's choice leaves
};

class Batches {
 public:
  struct Source {
    const SidePrograms& full;
    const SidePrograms* rest;  ///< of the last, smaller batch; null when there is none
    std::shared_ptr<const Dataset> data;
    const Backend& backend;
    uint64_t seed = 0;
    std::string side;  ///< "train": names the sample order
  };
  explicit Batches(Source source);
  ~Batches();

  /// Runs the `prepare` program over all samples, on `threads` threads; without one the data set
  /// itself is what the feed reads. Once, before the first epoch. What `shared` (may be null) has
  /// already is taken from there. Returns the seconds that it takes alone.
  double prepare(int threads, PreparedSamples* shared = nullptr);

  /// Draws the order and the choices of an epoch (counts from 0), and begins to make its first
  /// `steps` batches.
  void start(int64_t epoch, int64_t steps);
  /// The next batch of the epoch; waits for it.
  Batch next();

  int64_t batch_bytes() const;  ///< of all batches that there are at a time, and an epoch's choices
  int64_t feed_bytes() const;   ///< what the feed programs work in
  int64_t sample_bytes() const;  ///< made by `prepare`; 0 when the feed reads the data set itself

 private:
  struct Slot;
  struct Feed;
  /// Of all samples, in the order of the epoch: rows of `width`.
  struct Table {
    Buffer memory;
    int64_t width = 1;
  };
  Prepared run_prepare(int threads);
  void draw(const Graph& graph, int64_t epoch);
  void fill_table(Table& table, const std::vector<int32_t>& by_sample);
  std::vector<Binding> choices_of(const Graph& graph, int64_t first) const;
  void fill(int64_t step, Slot& slot);

  Source source_;
  std::shared_ptr<const Prepared> prepared_;
  TensorView samples_;
  std::unique_ptr<StateStore> store_;  ///< the arena of the feed programs
  std::unique_ptr<Feed> full_, rest_;
  std::vector<int32_t> order_;            ///< of the epoch's samples
  Table samples_in_order_;                ///< the same, where programs run
  std::map<std::string, Table> choices_;  ///< by leaf
  std::unique_ptr<Prefetcher<Slot>> prefetcher_;
};

}  // namespace expgraph
