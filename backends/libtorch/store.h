// store: named states as tensors on the device, those of one update end to end in one buffer.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "backends/libtorch/aten.h"
#include "backends/libtorch/cuda_part.h"

namespace expgraph::libtorch {

/// Strides of a dense tensor; of rank 4 with its channels last.
std::vector<int64_t> strides_of(const Shape& shape);

/// Where pieces lie in a flat buffer: each starts at a multiple of 64 bytes, gaps hold zeros.
class FlatLayout {
 public:
  explicit FlatLayout(const std::vector<TensorType>& pieces);
  int64_t elements() const { return elements_; }
  /// The pieces of a flat buffer, shaped as they are typed; those of rank 4 channels-last.
  std::vector<at::Tensor> views(const at::Tensor& flat) const;

 private:
  std::vector<TensorType> pieces_;
  std::vector<int64_t> offsets_;
  int64_t elements_ = 0;
};

/// Reads and writes wait for the run under way; so does whoever takes over from its program.
class TorchStore final : public StateStore {
 public:
  explicit TorchStore(at::Device device) : device_(device) {}

  /// From now on runs of this program use the states; null: of one that waits for each run.
  void take_over(std::shared_ptr<Launcher> program);

  void create(const std::string& name, const TensorType& type) override;
  bool has(const std::string& name) const override { return states_.contains(name); }
  std::vector<std::string> names() const override;
  TensorType type(const std::string& name) const override { return state(name).type; }
  void read(const std::string& name, const TensorView& to) const override;
  void write(const std::string& name, const TensorView& from) override;

  const at::Tensor& tensor(const std::string& name) const { return state(name).tensor; }
  /// The states end to end, in this order; moves them there unless they lie so already. They are
  /// of one element type.
  at::Tensor flat(const std::vector<std::string>& names);
  /// A copy of the host's bytes on the device, made once: they stay as they are.
  at::Tensor resident(const TensorView& view);

 private:
  struct State {
    TensorType type;
    at::Tensor tensor;
  };
  const State& state(const std::string& name) const;
  void wait() const;

  at::Device device_;
  std::shared_ptr<Launcher> program_;
  std::map<std::string, State> states_;
  std::map<std::vector<std::string>, at::Tensor> flats_;
  std::map<const void*, at::Tensor> residents_;
};

}  // namespace expgraph::libtorch
