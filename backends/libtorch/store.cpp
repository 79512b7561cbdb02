// store: named states -> tensors on the device, those of one update end to end in one buffer.
#include "backends/libtorch/store.h"

#include <fmt/format.h>

#include <algorithm>

namespace expgraph::libtorch {

namespace {

at::Tensor zeros(const TensorType& type, at::Device device) {
  const at::Tensor made = at::zeros(type.shape, at::dtype(scalar_type(type.dtype)).device(device));
  return type.rank() == 4 ? made.contiguous(at::MemoryFormat::ChannelsLast) : made;
}

}  // namespace

std::vector<int64_t> strides_of(const Shape& shape) {
  if (shape.size() == 4) {
    const int64_t c = shape[1], w = shape[3] * c;
    return {shape[2] * w, 1, w, c};
  }
  std::vector<int64_t> strides(shape.size());
  int64_t stride = 1;
  for (size_t axis = shape.size(); axis-- > 0;) {
    strides[axis] = stride;
    stride *= shape[axis];
  }
  return strides;
}

FlatLayout::FlatLayout(const std::vector<TensorType>& pieces) : pieces_(pieces) {
  for (const TensorType& piece : pieces) {
    const int64_t step = 64 / size_of(piece.dtype);
    offsets_.push_back(elements_);
    elements_ += (piece.elements() + step - 1) / step * step;
  }
}

std::vector<at::Tensor> FlatLayout::views(const at::Tensor& flat) const {
  std::vector<at::Tensor> views;
  for (size_t k = 0; k < pieces_.size(); ++k)
    views.push_back(flat.as_strided(pieces_[k].shape, strides_of(pieces_[k].shape), offsets_[k]));
  return views;
}

void TorchStore::take_over(std::shared_ptr<Launcher> program) {
  if (program == program_) return;
  wait();
  program_ = std::move(program);
}

void TorchStore::wait() const {
  if (program_ != nullptr) program_->wait();
}

void TorchStore::create(const std::string& name, const TensorType& type) {
  const c10::InferenceMode guard;
  if (auto found = states_.find(name); found != states_.end()) {
    if (found->second.type != type)
      throw Error(fmt::format("state '{}' is {}, the program expects {}", name,
                              found->second.type.str(), type.str()));
    return;
  }
  states_.emplace(name, State{type, zeros(type, device_)});
}

std::vector<std::string> TorchStore::names() const {
  std::vector<std::string> names;
  for (const auto& [name, state] : states_) names.push_back(name);
  return names;
}

void TorchStore::read(const std::string& name, const TensorView& to) const {
  const c10::InferenceMode guard;
  wait();
  EXPGRAPH_CHECK(state(name).type == to.type);
  tensor_over(to).copy_(state(name).tensor);
}

void TorchStore::write(const std::string& name, const TensorView& from) {
  const c10::InferenceMode guard;
  wait();
  EXPGRAPH_CHECK(state(name).type == from.type);
  state(name).tensor.copy_(tensor_over(from));
}

at::Tensor TorchStore::resident(const TensorView& view) {
  const auto [found, is_new] = residents_.try_emplace(view.data);
  if (is_new) found->second = tensor_over(view).to(device_, /*non_blocking=*/false, /*copy=*/true);
  EXPGRAPH_CHECK(found->second.sizes() == at::IntArrayRef(view.type.shape));
  return found->second;
}

at::Tensor TorchStore::flat(const std::vector<std::string>& names) {
  if (const auto found = flats_.find(names); found != flats_.end()) return found->second;
  // A state lies in one buffer alone: those that share one with it are not flat any more.
  std::erase_if(flats_, [&](const auto& entry) {
    return std::ranges::any_of(entry.first, [&](const std::string& name) {
      return std::ranges::find(names, name) != names.end();
    });
  });
  std::vector<TensorType> types;
  for (const std::string& name : names) types.push_back(state(name).type);
  const FlatLayout layout(types);
  const at::Tensor flat =
      at::zeros({layout.elements()}, at::dtype(scalar_type(types.at(0).dtype)).device(device_));
  const std::vector<at::Tensor> views = layout.views(flat);
  for (size_t k = 0; k < names.size(); ++k) {
    EXPGRAPH_CHECK(types[k].dtype == types[0].dtype);
    views[k].copy_(state(names[k]).tensor);
    states_.at(names[k]).tensor = views[k];
  }
  return flats_.emplace(names, flat).first->second;
}

const TorchStore::State& TorchStore::state(const std::string& name) const {
  const auto found = states_.find(name);
  if (found == states_.end()) throw std::logic_error("no state '" + name + "' in the store");
  return found->second;
}

}  // namespace expgraph::libtorch
