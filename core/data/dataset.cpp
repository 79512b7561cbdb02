// dataset: a name, a split and attributes -> images and labels, from the source of that name.
#include "core/data/dataset.h"

#include <fmt/format.h>

#include <array>
#include <limits>

#include "core/data/source.h"
#include "core/support/suggest.h"

namespace expgraph {
namespace {

constexpr std::array<DataSource, 2> kSources{{
    {"cifar10", 32, 32, 10, 50000, 10000, false, open_cifar10},
    {"shapes10", 32, 32, 10, 10000, 2000, true, open_shapes10},
}};

const DataSource& find_source(const std::string& name, const Location& where) {
  for (const DataSource& source : kSources) {
    if (source.name == name) return source;
  }
  const std::vector<std::string> names = dataset_names();
  Error error(
      fmt::format("unknown data set '{}', expected one of: {}", name, fmt::join(names, ", ")),
      where);
  if (const std::string hint = did_you_mean(name, names); !hint.empty()) error.note(hint);
  throw error;
}

int64_t attribute(const Attributes& attributes, std::string_view name) {
  return attributes.has(name) ? attributes.integer(name) : 0;
}

/// At most what labels and orders, which are 32-bit, and a machine's memory can hold.
constexpr int64_t kMostGenerated = 10'000'000;

}  // namespace

std::vector<std::string> dataset_names() {
  std::vector<std::string> names;
  for (const DataSource& source : kSources) names.emplace_back(source.name);
  return names;
}

DatasetInfo dataset_info(const std::string& name, const std::string& split, const Location& where,
                         const Attributes& attributes) {
  const DataSource& source = find_source(name, where);
  if (split != "train" && split != "test") {
    throw Error(fmt::format("unknown split '{}', expected train or test", split), where);
  }
  const int64_t count = attribute(attributes, "count"), seed = attribute(attributes, "seed");
  if (count < 0) throw Error(fmt::format("count is {}, expected at least 0", count), where);
  if (seed < 0) throw Error(fmt::format("seed is {}, expected at least 0", seed), where);
  if (!source.generated && seed != 0) {
    throw Error(fmt::format("seed is {}, but {} is not generated: expected 0", seed, name), where);
  }
  const int64_t all = split == "train" ? source.train_count : source.test_count;
  const int64_t most = source.generated ? kMostGenerated : all;
  if (count > most) {
    throw Error(
        fmt::format("count is {}, but {} has {} {} images at most", count, name, most, split),
        where);
  }
  return {name, split, count == 0 ? all : count, source.height, source.width, 3, source.classes};
}

std::shared_ptr<const Dataset> open_dataset(const std::string& name, const std::string& split,
                                            const Attributes& attributes,
                                            const DataOptions& options, const Location& where) {
  const DataRequest request{dataset_info(name, split, where, attributes),
                            static_cast<uint64_t>(attribute(attributes, "seed")), options};
  try {
    return find_source(name, where).open(request);
  } catch (Error& error) {
    throw error.at(where);
  }
}

}  // namespace expgraph
