// backend: the whole interface between the core and what executes programs.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/ir/graph.h"
#include "core/passes/plan_memory.h"
#include "core/passes/target.h"

namespace expgraph {

/// Dense row-major host memory of a type, not owned, at least 64-byte aligned where we allocate; or
/// a device's, where it lies as the backend likes, in order along the first axis.
struct TensorView {
  TensorType type;
  void* data = nullptr;
  bool on_device = false;  ///< of Backend::make_buffer, where the host may not reach it
  template <typename T>
  T* as() const {
    return static_cast<T*>(data);
  }
  /// A tensor of `shape` in this one, from an element on: whole rows of its first axes.
  TensorView part(int64_t element, Shape shape) const {
    return {
        {type.dtype, std::move(shape)}, as<std::byte>() + element * size_of(type.dtype), on_device};
  }
};

/// Named states that outlive every Executable, and the arena its Executables share: programs over
/// one store never run at the same time.
class StateStore {
 public:
  virtual ~StateStore() = default;
  /// Makes the state, zero-filled, if there is none of that name; a type that differs is an Error.
  virtual void create(const std::string& name, const TensorType& type) = 0;
  virtual bool has(const std::string& name) const = 0;
  virtual std::vector<std::string> names() const = 0;  ///< sorted
  virtual TensorType type(const std::string& name) const = 0;
  virtual void read(const std::string& name, const TensorView& to) const = 0;
  virtual void write(const std::string& name, const TensorView& from) = 0;
};

struct Binding {
  std::string name;  ///< of an input or choice leaf, or of a result
  TensorView tensor;
  bool constant = false;  ///< of an input: the same bytes in every run over a store
};

/// A tensor with its memory.
struct Buffer {
  std::shared_ptr<void> memory;
  TensorView tensor;
};

struct CompileOptions {
  int threads = 0;            ///< 0: all that the process may use
  bool profile = false;       ///< time every node
  int repeats = 1;            ///< with profile: see NodeTime
  bool check_finite = false;  ///< look at every output; see Executable::first_non_finite
};

/// With CompileOptions::repeats a node that writes over none of its inputs and into no state is
/// run that often in a row, and its time is the best one.
struct NodeTime {
  NodeId node;
  double seconds = 0;
  double start = 0;  ///< seconds after the run began
};

/// One program, ready to run. Its graph outlives it (the caller keeps it).
class Executable {
 public:
  virtual ~Executable() = default;
  /// Runs once over the store: reads `inputs` (each input and choice leaf of the graph), writes
  /// `results` (any subset of the graph's results), then updates states. When it returns, inputs
  /// may be overwritten and results on the host are there. What a device does besides may go on:
  /// what is run over the store later, and what reads it, comes after; for results in make_buffer
  /// see wait.
  virtual void run(std::span<const Binding> inputs, std::span<const Binding> results,
                   StateStore& store) = 0;
  /// Returns when all that was run is done.
  virtual void wait() {}
  virtual int64_t workspace_bytes() const = 0;                  ///< arena and scratchpad
  virtual std::vector<NodeTime> profile() const { return {}; }  ///< of the last run
  /// With check_finite: the first node of the last run whose output holds NaN or Inf.
  virtual std::optional<NodeId> first_non_finite() const { return std::nullopt; }
};

class Backend {
 public:
  virtual ~Backend() = default;
  virtual std::string name() const = 0;
  virtual std::string describe() const = 0;  ///< library versions, instruction set, threads
  /// "cpu", or the model of the device that it runs on; Error (environment) when it cannot be used.
  virtual std::string device() const { return "cpu"; }
  virtual bool supports(const OpSchema& op) const = 0;
  virtual std::unique_ptr<StateStore> make_store() const = 0;
  /// Where programs of this backend run: for a result of one that is an input of another, and for
  /// what many runs read or write a part of.
  virtual Buffer make_buffer(const TensorType& type) const;
  /// Copies between tensors of one type, on the host or of make_buffer; no run uses them meanwhile.
  virtual void copy(const TensorView& from, const TensorView& to) const;
  virtual std::unique_ptr<Executable> compile(const Graph& graph, const MemoryPlan& plan,
                                              const CompileOptions& options) const = 0;
};

/// Loads lib/expgraph_<name>.so (beside the program, or EXPGRAPH_BACKENDS) once and returns its
/// backend; Error with ExitCode::environment or usage when there is none. Never unloaded.
const Backend& load_backend(const std::string& name);
std::vector<std::string> backend_names();  ///< modules that are there

}  // namespace expgraph

/// The one symbol that a module exports.
extern "C" const expgraph::Backend* expgraph_backend();
