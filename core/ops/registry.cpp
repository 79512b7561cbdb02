// registry: the families' records -> one sorted table, looked up by name.
#include <algorithm>
#include <stdexcept>
#include <tuple>

#include "core/ops/families.h"

namespace expgraph {
namespace {

struct Registry {
  std::vector<OpSchema> records;
  std::vector<const OpSchema*> sorted;  ///< by family, name
  std::vector<const OpSchema*> by_name;

  Registry() {
    for (auto* family : {elementwise_ops, shape_ops, reduce_ops, matmul_ops, conv_ops, pool_ops,
                         norm_ops, loss_ops, loss_scale_ops, update_ops, adaptive_ops, average_ops,
                         schedule_ops, data_ops, start_ops, augment_ops, fusion_ops}) {
      for (OpSchema& record : family()) records.push_back(std::move(record));
    }
    for (const OpSchema& record : records) by_name.push_back(&record);
    sorted = by_name;
    std::sort(by_name.begin(), by_name.end(),
              [](const auto* a, const auto* b) { return a->name < b->name; });
    std::sort(sorted.begin(), sorted.end(), [](const auto* a, const auto* b) {
      return std::tie(a->family, a->name) < std::tie(b->family, b->name);
    });
  }
};

const Registry& registry() {
  static const Registry instance;
  return instance;
}

}  // namespace

std::span<const OpSchema* const> all_ops() { return registry().sorted; }

const OpSchema* find_op(std::string_view name) {
  const std::vector<const OpSchema*>& ops = registry().by_name;
  const auto found = std::lower_bound(
      ops.begin(), ops.end(), name, [](const auto* op, auto wanted) { return op->name < wanted; });
  return found != ops.end() && (*found)->name == name ? *found : nullptr;
}

const OpSchema& op(std::string_view name) {
  const OpSchema* found = find_op(name);
  if (found == nullptr) throw std::logic_error("no operator '" + std::string(name) + "'");
  return *found;
}

}  // namespace expgraph
