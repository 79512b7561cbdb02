// training: a compiled step -> what a few steps of it on random images leave behind.
#include "tests/support/training.h"

#include "core/data/choices.h"

namespace expgraph::test {

void RandomTraining::run(const Graph& graph, const MemoryPlan& plan, int steps,
                         const std::string& name) {
  create_states(graph);
  const auto executable = backend_.compile(graph, plan, {.threads = 2});
  for (int step = 0; step < steps; ++step) {
    Tensors inputs;
    std::vector<Binding> bound, wanted;
    for (const Leaf& leaf : graph.leaves()) {
      if (leaf.kind == LeafKind::state) continue;
      Tensor& tensor = inputs.emplace(leaf.name, graph.type(leaf.value)).first->second;
      std::uniform_real_distribution<float> pixel(-1, 1);
      for (int64_t i = 0; i < tensor.type.elements(); ++i)
        tensor.set(i, leaf.name == "label"           ? static_cast<double>(random_() % 10)
                      : leaf.name == "images"        ? pixel(random_)
                      : leaf.name.ends_with("/when") ? step % 2
                      : leaf.name.ends_with("/last") ? step % 2 == 1 || step == 2
                                                     : lr_);
      bound.push_back({leaf.name, tensor.view()});
    }
    for (const Result& result : graph.results()) {
      const std::string key = name + std::to_string(step) + " " + result.name;
      Tensor& tensor = results_.emplace(key, graph.type(result.value)).first->second;
      wanted.push_back({result.name, tensor.view()});
    }
    executable->run(bound, wanted, *store_);
  }
}

void RandomTraining::create_states(const Graph& graph) {
  for (const Leaf& leaf : graph.leaves()) {
    if (leaf.kind != LeafKind::state || store_->has(leaf.name)) continue;
    Tensor single({DType::f32, graph.type(leaf.value).shape}), start(graph.type(leaf.value));
    if (leaf.initialiser.kind == Initialiser::Kind::copy) {
      store_->read(leaf.initialiser.of, start.view());
      store_->create(leaf.name, start.type);
      store_->write(leaf.name, start.view());
      continue;
    }
    initialise(1, leaf.name, leaf.initialiser, single.type, single.bytes.data());
    for (int64_t i = 0; i < start.type.elements(); ++i) start.set(i, single.at(i));
    store_->create(leaf.name, start.type);
    store_->write(leaf.name, start.view());
  }
}

Outcome RandomTraining::outcome() const {
  Outcome outcome = results_;
  for (const std::string& name : store_->names()) {
    Tensor& tensor = outcome.emplace("state " + name, store_->type(name)).first->second;
    store_->read(name, tensor.view());
  }
  return outcome;
}

std::string first_difference(const Outcome& want, const Outcome& got, double tolerance,
                             double floor) {
  if (want.size() != got.size()) return "other results or states";
  for (const auto& [name, tensor] : want) {
    const auto other = got.find(name);
    if (other == got.end()) return name + " is missing";
    if (const std::string how = difference(tensor, other->second, tolerance, floor); !how.empty())
      return name + ": " + how;
  }
  return "";
}

}  // namespace expgraph::test
