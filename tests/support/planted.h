// planted: a backend -> the same with a fault in each run, so that a harness shows that it sees it.
#pragma once

#include "core/backend.h"
#include "core/host_store.h"

namespace expgraph::test {

/// Of a backend that computes on the host. Faults, planted after each run: 0 a wrong element, 1 a
/// write before a result, 2 a write after a result, 3 a changed input, 4 a write in the arena's
/// first gap, 5 a write after the scratch memory, 6 other bits in every second run.
class Planted final : public Backend {
 public:
  static constexpr int kSeenInOneRun = 6, kFaults = 7;

  Planted(const Backend& right, int fault) : right_(right), fault_(fault) {}
  std::string name() const override { return "planted"; }
  std::string describe() const override { return right_.name() + " with a planted fault"; }
  bool supports(const OpSchema& op) const override { return right_.supports(op); }
  std::unique_ptr<StateStore> make_store() const override { return right_.make_store(); }
  std::unique_ptr<Executable> compile(const Graph& graph, const MemoryPlan& plan,
                                      const CompileOptions& options) const override {
    return std::make_unique<Faulty>(right_.compile(graph, plan, options), fault_, ++compiled_);
  }

 private:
  struct Faulty final : Executable {
    Faulty(std::unique_ptr<Executable> r, int f, int n) : right(std::move(r)), fault(f), count(n) {}
    void run(std::span<const Binding> inputs, std::span<const Binding> results,
             StateStore& store) override {
      right->run(inputs, results, store);
      const TensorView& result = results[0].tensor;
      auto& host = dynamic_cast<HostStateStore&>(store);
      if (fault == 0) result.as<float>()[result.type.elements() / 2] += 1e-2f;
      if (fault == 1) result.as<char>()[-1] ^= 1;
      if (fault == 2) result.as<char>()[result.type.bytes()] ^= 1;
      if (fault == 3) inputs[0].tensor.as<char>()[0] ^= 1;
      if (fault == 4) host.arena(1)[0] ^= std::byte{1};
      if (fault == 5) host.arena(1)[workspace_bytes()] ^= std::byte{1};
      if (fault == 6 && count % 2 == 0) result.as<char>()[0] ^= 1;
    }
    int64_t workspace_bytes() const override { return right->workspace_bytes(); }
    std::unique_ptr<Executable> right;
    int fault, count;
  };

  const Backend& right_;
  int fault_;
  mutable int compiled_ = 0;
};

}  // namespace expgraph::test
