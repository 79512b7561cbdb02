// update: the meaning of sgd_update (PyTorch's SGD: momentum without dampening, Nesterov).
#include "backends/reference/kernels.h"

namespace expgraph::reference {

namespace {

template <typename T>
void sgd_update(const Attributes& attributes, const KernelArgs& args) {
  const double momentum = attributes.real("momentum"), decay = attributes.real("weight_decay");
  const bool nesterov = attributes.flag("nesterov");
  const T* parameter = args.inputs[0].as<T>();
  const T* gradient = args.inputs[1].as<T>();
  const double lr = *args.inputs[2].as<T>();
  const T* m = momentum != 0 ? args.inputs[3].as<T>() : nullptr;
  T* new_parameter = args.outputs[0].as<T>();
  T* new_m = m ? args.outputs[1].as<T>() : nullptr;
  for (int64_t i = 0; i < args.inputs[0].type.elements(); ++i) {
    const double g = gradient[i] + decay * parameter[i];
    const double velocity = m ? momentum * m[i] + g : g;
    const double step = nesterov ? g + momentum * velocity : velocity;
    if (new_m) new_m[i] = static_cast<T>(velocity);
    new_parameter[i] = static_cast<T>(parameter[i] - lr * step);
  }
}

constexpr KernelEntry kKernels[] = {
    {"sgd_update", sgd_update<float>, sgd_update<double>},
};

}  // namespace

std::span<const KernelEntry> update_kernels() { return kKernels; }

}  // namespace expgraph::reference
