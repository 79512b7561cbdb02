// host_network: a network alone and the type of its input -> its typed graph.
#include "core/host_network.h"

#include <fmt/format.h>

#include <charconv>

#include "core/build_graph.h"
#include "core/resolve.h"

namespace expgraph {
namespace {

constexpr const char* kInput = "input";
constexpr const char* kNet = "net";
constexpr int64_t kBatch = 2;  // a statistic over samples needs more than one
constexpr int64_t kMostPixels = 1 << 20;

void put_below(std::string& path) {
  if (!path.empty()) path = fmt::format("{}/{}", kNet, path);
}

FlatSpec hosted(const FlatSpec& network) {
  FlatSpec out{.name = network.name, .is_network = true};
  const Location where = network.nodes.empty() ? Location{} : network.nodes.front().where;
  out.nodes.push_back({.path = kInput, .where = where});
  out.nodes.push_back({.path = kNet,
                       .is_group = true,
                       .inputs = {{kInput, where}},
                       .output = network.output,
                       .where = where});
  put_below(out.nodes.back().output);
  for (SpecNode node : network.nodes) {
    put_below(node.path);
    put_below(node.output);
    put_below(node.evaluates);
    for (Reference& reference : node.inputs) put_below(reference.path);
    for (auto& [name, reference] : node.named) put_below(reference.path);
    out.nodes.push_back(std::move(node));
  }
  out.output = kNet;
  return out;
}

}  // namespace

HostedNetwork host_network(const FlatSpec& network, const TensorType& input) {
  HostedNetwork out{hosted(network), Graph(network.name)};
  const Resolver resolver(out.spec);
  GraphBuilder builder(resolver, network.name, false);
  builder.define({&out.spec.nodes[0], nullptr}, "", builder.graph().add_input("images", input));
  for (const Instance& instance : resolver.instances(kNet)) {
    if (instance.node->path != kInput) builder.add(instance);
  }
  const SpecNode& net = out.spec.nodes[1];
  const Source result = resolver.source({kNet, net.where}, {&net, nullptr});
  builder.graph().add_result("out", builder.value(result, {&net, nullptr}));
  out.graph = std::move(builder.graph());
  return out;
}

TensorType network_input(std::string_view text) {
  TensorType type{DType::f32, {kBatch}};
  const char* at = text.data();
  const char* const end = at + text.size();
  int64_t product = 1;
  for (int k = 0; k < 3; ++k) {
    int64_t size = 0;
    const auto [stop, error] = std::from_chars(at, end, size);
    const bool good = error == std::errc() && size > 0 && size <= kMostPixels / product;
    if (!good || (k < 2 ? stop == end || *stop != 'x' : stop != end)) {
      throw Error(
          fmt::format("--input wants CHANNELSxHEIGHTxWIDTH, such as 3x32x32, got '{}'", text), {},
          ExitCode::usage);
    }
    product *= size;
    type.shape.push_back(size);
    at = stop + 1;
  }
  return type;
}

}  // namespace expgraph
