// plan_memory_test: no value is lost by sharing memory; the oracle is a memory of tags that every
// write marks and every read checks, apart from the planner's and verifier's own idea of lifetimes.
#include "core/passes/plan_memory.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <random>
#include <set>
#include <stdexcept>

#include "core/ir/op_schema.h"
#include "core/passes/analysis.h"
#include "core/passes/passes.h"
#include "tests/graph_case.h"

using namespace expgraph;

namespace {

constexpr int64_t kBlock = 4;  // bytes a tag stands for: every size and offset is a multiple

/// Every block of memory holds the value last written there.
class TaggedMemory {
 public:
  /// `scratch`: bytes a node writes while it runs, where add_scratch put them.
  TaggedMemory(const Graph& graph, const MemoryPlan& plan, std::vector<int64_t> scratch = {})
      : graph_(graph), plan_(plan), scratch_(std::move(scratch)) {
    scratch_.resize(graph.nodes().size());
  }

  /// Runs the plan; "" or the first value that was lost.
  std::string run() {
    for (const Leaf& leaf : graph_.leaves()) write(leaf.value);
    for (const Node& node : graph_.nodes()) {
      for (const ValueId input : node.inputs) {
        if (input.valid() && !holds(input)) return "an input is gone at " + node.path;
      }
      use_scratch(node);
      for (const ValueId input : node.inputs) {
        if (input.valid() && !holds(input)) return "scratch meets an input at " + node.path;
      }
      for (const ValueId output : node.outputs) {
        for (const ValueId input : node.inputs) {
          if (input.valid() && meet(input, output) && !may_overwrite(node, input, output)) {
            return "an input is overwritten while it is read at " + node.path;
          }
        }
        write(output);
      }
      use_scratch(node);
      for (const ValueId output : node.outputs) {
        if (is_placed(output) && !holds(output)) return "outputs overlap at " + node.path;
      }
    }
    for (const Result& result : graph_.results()) {
      if (!holds(result.value)) return "result " + result.name + " is gone";
    }
    for (const StateUpdate& copy : plan_.copies) {
      if (!holds(copy.value)) return "the value of a copy is gone";
      for (const auto& [block, at] : blocks(copy.state)) memory_[{block, at}] = copy.value;
    }
    for (const StateUpdate& update : graph_.updates()) {
      for (const auto& block : blocks(update.state)) {
        if (memory_[block] != update.value) return "a state is not updated";
      }
    }
    return "";
  }

 private:
  using Block = std::pair<int32_t, int64_t>;  // leaf or -1 for the arena; offset

  bool is_placed(ValueId value) const {
    return plan_.placements[static_cast<size_t>(value.index)].kind != Placement::Kind::none;
  }
  std::vector<Block> blocks(ValueId value) const {
    const Placement& place = plan_.placements[static_cast<size_t>(value.index)];
    const bool in_arena = place.kind == Placement::Kind::arena;
    std::vector<Block> out;
    if (place.kind == Placement::Kind::none) return out;
    for (int64_t at = 0; at < graph_.type(value).bytes(); at += kBlock) {
      out.emplace_back(in_arena ? -1 : place.leaf.index, (in_arena ? place.offset : 0) + at);
    }
    return out;
  }
  void write(ValueId value) {
    for (const Block& block : blocks(value)) memory_[block] = value;
  }
  void use_scratch(const Node& node) {
    const auto n = static_cast<size_t>(&node - graph_.nodes().data());
    for (int64_t at = 0; at < scratch_[n]; at += kBlock) {
      memory_[{-1, plan_.scratch[n] + at}] = ValueId();
    }
  }
  bool holds(ValueId value) const {
    const std::vector<Block> all = blocks(value);
    return !all.empty() && std::ranges::all_of(all, [&](const Block& block) {
      const auto found = memory_.find(block);
      return found != memory_.end() && found->second == value;
    });
  }
  bool meet(ValueId a, ValueId b) const {
    const std::vector<Block> x = blocks(a), y = blocks(b);
    return std::ranges::any_of(
        x, [&](const Block& block) { return std::ranges::find(y, block) != y.end(); });
  }
  bool may_overwrite(const Node& node, ValueId input, ValueId output) const {
    const std::vector<InPlace> pairs = in_place_pairs(node);
    return blocks(input) == blocks(output) && std::ranges::count(node.inputs, input) == 1 &&
           std::ranges::any_of(pairs, [&](const InPlace& pair) {
             return node.inputs[static_cast<size_t>(pair.input)] == input &&
                    node.outputs[static_cast<size_t>(pair.output)] == output;
           });
  }

  const Graph& graph_;
  const MemoryPlan& plan_;
  std::vector<int64_t> scratch_;
  std::map<Block, ValueId> memory_;
};

const Target& no_fusion() { return target("reference"); }

MemoryPlan plan_of(const Graph& graph, bool share = true) {
  MemoryPlan plan = plan_memory(graph, no_fusion(), share);
  verify_plan(graph, plan);
  CHECK(TaggedMemory(graph, plan).run() == "");
  return plan;
}

const Placement& place(const Graph& graph, const MemoryPlan& plan, std::string_view path) {
  const auto node = std::ranges::find(graph.nodes(), path, &Node::path);
  return plan.placements[static_cast<size_t>(node->outputs[0].index)];
}

/// A graph of in-place, shape-changing and several-output operators that read what they like, with
/// results, updates and values that nobody reads.
Graph random_graph(std::mt19937& random) {
  const auto below = [&](size_t n) { return static_cast<size_t>(random() % n); };
  Graph graph("random");
  std::vector<ValueId> values;
  for (int k = 0; k < 3; ++k) {
    const std::string name = "s" + std::to_string(k);
    values.push_back(graph.add_state(name, {DType::f32, {4, 8}}, {}, true));
  }
  values.push_back(graph.add_input("x", {DType::f32, {4, 8}}));
  const size_t nodes = 3 + below(25);
  for (size_t n = 0; n < nodes; ++n) {
    const std::string path = "n" + std::to_string(n);
    // Mostly recent values, so that lifetimes end and memory is free again.
    const auto pick = [&] {
      const size_t back = below(3) == 0 ? values.size() : std::min<size_t>(values.size(), 4);
      return values[values.size() - 1 - below(back)];
    };
    const ValueId x = pick();
    const TensorType type = graph.type(x);
    Attributes attributes;
    switch (below(6)) {
      case 0:
        values.push_back(graph.add("relu", {x}, {}, path));
        break;
      case 1: {
        std::vector<ValueId> terms{x};
        for (const ValueId other : values) {
          if (graph.type(other) == type && below(3) == 0) terms.push_back(other);
        }
        if (terms.size() < 2) terms.push_back(x);
        values.push_back(graph.add("add", terms, {}, path));
        break;
      }
      case 2:
        attributes.set("axis", int64_t{0});
        if (type.elements() > 512) break;
        values.push_back(graph.add("concat", {x, x}, std::move(attributes), path));
        break;
      case 3:
        attributes.set("axis", int64_t{0});
        attributes.set("start", int64_t{0});
        attributes.set("length", 1 + static_cast<int64_t>(below(4)));
        if (type.shape[0] < 4) break;
        values.push_back(graph.add("slice", {x}, std::move(attributes), path));
        break;
      case 4:
        values.push_back(graph.add("relu_backward", {x, x}, {}, path));
        break;
      default: {
        if (type.shape[0] < 2) break;
        std::vector<ValueId> channels;
        for (int k = 0; k < 4; ++k) {
          channels.push_back(graph.add("channel_sum", {x}, {}, path + "/c" + std::to_string(k)));
        }
        const NodeId node = graph.add_node(
            op("batch_norm"), {}, {x, channels[0], channels[1], channels[2], channels[3]}, path);
        values.push_back(graph.output(node));
        break;
      }
    }
  }
  for (size_t k = 0; k < 3; ++k) {
    const ValueId state = graph.leaves()[k].value;
    std::vector<ValueId> alike;
    for (const ValueId value : values) {
      if (graph.type(value) == graph.type(state) && !graph.is_leaf(value)) alike.push_back(value);
    }
    if (!alike.empty()) graph.add_update(state, alike[below(alike.size())]);
  }
  for (size_t k = 0; k < 2; ++k) {
    graph.add_result("r" + std::to_string(k), values[below(values.size())]);
  }
  return graph;
}

}  // namespace

TEST_CASE("plan_memory: a chain of in-place operators has one buffer") {
  const Graph graph = parse(R"(
    %x = input x : f32[2,3]
    %a = concat(%x, %x) {axis=0} @ a
    %b = relu(%a) @ b
    %c = flatten(%b) @ c
    %d = scale(%c) {factor=2} @ d
    result y = %d)");
  const MemoryPlan plan = plan_of(graph);
  CHECK(plan.arena_bytes == 48);
  CHECK(plan.binding_bytes == 24);
  CHECK(plan.peak_bytes() == 72);
  CHECK(plan_of(graph, false).arena_bytes == 3 * 64 + 48);
}

TEST_CASE("plan_memory: nothing is written over what is read later, or read twice at once") {
  const MemoryPlan later = plan_of(parse(R"(
    %x = input x : f32[16]
    %a = scale(%x) {factor=2} @ a
    %b = relu(%a) @ b
    %c = add(%b, %a) @ c
    result y = %c)"));
  CHECK(later.arena_bytes == 128);
  const MemoryPlan twice = plan_of(parse(R"(
    %x = input x : f32[16]
    %a = scale(%x) {factor=2} @ a
    %b = add(%a, %a) @ b
    result y = %b)"));
  CHECK(twice.arena_bytes == 128);
}

TEST_CASE("plan_memory: inputs are never written to, results stay, unread outputs lie nowhere") {
  const Graph graph = parse(R"(
    %x = input x : f32[1,1,4,4]
    %a = relu(%x) @ a
    %p, %index = max_pool(%a) {size=[2]} @ pool
    %q = scale(%p) {factor=2} @ q
    result a = %a
    result q = %q)");
  const MemoryPlan plan = plan_of(graph);
  CHECK(place(graph, plan, "a").kind == Placement::Kind::arena);
  const ValueId index = graph.node({1}).outputs[1];
  CHECK(plan.placements[static_cast<size_t>(index.index)].kind == Placement::Kind::none);
  CHECK(place(graph, plan, "pool") == place(graph, plan, "q"));
  CHECK(plan.arena_bytes == 64 + 16);
}

TEST_CASE("plan_memory: a state is updated in place when all others have read it") {
  const Graph graph = parse(R"(
    %lr = input lr : f32[]
    %p = state p : f32[8] constant(0) trainable
    %m = state p/momentum : f32[8] constant(0)
    %g = scale(%p) {factor=2} @ g
    %p1, %m1 = sgd_update(%p, %g, %lr, %m) {momentum=0.9} @ update
    %after = relu(%p1) @ after
    result y = %after
    update p = %p1
    update p/momentum = %m1)");
  const MemoryPlan plan = plan_of(graph);
  CHECK(plan.copies.empty());
  CHECK(place(graph, plan, "update").leaf == graph.find_leaf("p")->value);
  CHECK(plan.state_bytes == 64);
  CHECK(plan_of(graph, false).copies.size() == 2);
}

TEST_CASE("plan_memory: a state that is read after its update, or reported, gets a copy") {
  constexpr std::string_view update = R"(
    %lr = input lr : f32[]
    %p = state p : f32[8] constant(0) trainable
    %g = input g : f32[8]
    %p1 = sgd_update(%p, %g, %lr, _) @ update
    update p = %p1
    )";
  CHECK(plan_of(parse(update)).copies.empty());
  CHECK(plan_of(parse(fmt::format("{} result old = %p", update))).copies.size() == 1);
  CHECK(plan_of(parse(fmt::format("{} %r = relu(%p) @ r\n result r = %r", update))).copies.size() ==
        1);
}

TEST_CASE("plan_memory: an update by an operator that cannot work in place gets a copy") {
  const MemoryPlan plan = plan_of(parse(R"(
    %p = state p : f32[8] constant(0)
    %a = concat(%p) {axis=0} @ a
    update p = %a)"));
  CHECK(plan.copies.size() == 1);
}

TEST_CASE("plan_memory: an update that does not read its state is written there at once") {
  const MemoryPlan plan = plan_of(parse(R"(
    %x = input x : f32[8]
    %p = state p : f32[8] constant(0)
    %q = state q : f32[8] constant(0)
    %a = relu(%x) @ a
    update p = %a
    update q = %a)"));
  CHECK(plan.arena_bytes == 0);
  CHECK(plan.copies.size() == 1);
}

TEST_CASE("plan_memory: every tensor of the arena is aligned") {
  Target coarse = no_fusion();
  coarse.alignment = 256;
  const Graph graph = parse(R"(
    %x = input x : f32[3]
    %a = relu(%x) @ a
    %b = add(%a, %x) @ b
    %c = add(%b, %x) @ c
    %d = concat(%a, %b, %c) {axis=0} @ d
    result y = %d)");
  const MemoryPlan plan = plan_memory(graph, coarse);
  for (const Placement& placed : plan.placements) CHECK(placed.offset % 256 == 0);
  CHECK(plan.arena_bytes == 3 * 256 + 12);
}

TEST_CASE("plan_memory: random graphs keep every value until it is read") {
  std::mt19937 random(1);
  int64_t shared = 0, apart = 0, in_place = 0, in_state = 0, copies = 0;
  for (int k = 0; k < 500; ++k) {
    const Graph graph = random_graph(random);
    const MemoryPlan plan = plan_of(graph);
    shared += plan.arena_bytes;
    apart += plan_of(graph, false).arena_bytes;
    copies += static_cast<int64_t>(plan.copies.size());
    for (const Node& node : graph.nodes()) {
      for (const InPlace& pair : in_place_pairs(node)) {
        const ValueId input = node.inputs[static_cast<size_t>(pair.input)];
        const Placement& out = plan.placements[static_cast<size_t>(
            node.outputs[static_cast<size_t>(pair.output)].index)];
        in_place += out.kind == Placement::Kind::arena &&
                    out == plan.placements[static_cast<size_t>(input.index)];
        in_state += out.kind == Placement::Kind::state;
      }
    }
  }
  CHECK(shared < apart / 2);
  CHECK(in_place > 200);
  CHECK(in_state > 50);
  CHECK(copies > 50);
}

TEST_CASE("plan_memory: random graphs of fusions keep every value until it is read") {
  Target patterns = no_fusion();
  patterns.fusions = {{"a", {"relu", "add"}},        {"b", {"add", "relu", "relu"}},
                      {"c", {"batch_norm", "relu"}}, {"d", {"add", "add"}},
                      {"e", {"relu", "relu"}},       {"f", {"batch_norm", "add"}}};
  std::mt19937 random(3);
  int fusions = 0, in_place = 0;
  for (int k = 0; k < 1000; ++k) {
    const Graph graph = fuse(random_graph(random), patterns);
    verify(graph);
    const MemoryPlan plan = plan_of(graph);
    for (const Node& node : graph.nodes()) {
      if (!node.body) continue;
      ++fusions;
      for (const InPlace& pair : in_place_pairs(node)) {
        const auto at = [&](ValueId value) {
          return plan.placements[static_cast<size_t>(value.index)];
        };
        in_place += at(node.inputs[static_cast<size_t>(pair.input)]) ==
                    at(node.outputs[static_cast<size_t>(pair.output)]);
      }
    }
  }
  CHECK(fusions > 200);
  CHECK(in_place > 20);
}

TEST_CASE("add_scratch: meets nothing that is alive, and takes room that the arena has") {
  std::mt19937 random(4);
  int with_room = 0;
  for (int k = 0; k < 400; ++k) {
    const Graph graph = random_graph(random);
    std::vector<int64_t> scratch(graph.nodes().size());
    for (int64_t& bytes : scratch) bytes = static_cast<int64_t>(random() % 64) * kBlock;
    const int64_t largest = *std::ranges::max_element(scratch);
    for (const bool share : {true, false}) {
      const MemoryPlan plan = plan_memory(graph, no_fusion(), share);
      const MemoryPlan placed = add_scratch(graph, plan, scratch, 64);
      CHECK(TaggedMemory(graph, placed, scratch).run() == "");
      CHECK_NOTHROW(verify_plan(graph, placed));
      const int64_t apart = (plan.arena_bytes + 63) / 64 * 64 + largest;
      if (!share) CHECK(placed.arena_bytes == apart);
      with_room += placed.arena_bytes < apart;
    }
  }
  CHECK(with_room > 200);
}

TEST_CASE("verify_plan: finds every planted fault that loses a value") {
  std::mt19937 random(2);
  int planted = 0, harmless = 0;
  for (int k = 0; k < 400; ++k) {
    const Graph graph = random_graph(random);
    MemoryPlan plan = plan_memory(graph, no_fusion());
    std::vector<size_t> in_arena;
    for (size_t v = 0; v < plan.placements.size(); ++v) {
      if (plan.placements[v].kind == Placement::Kind::arena) in_arena.push_back(v);
    }
    if (in_arena.size() < 2) continue;
    const size_t moved = in_arena[random() % in_arena.size()];
    const size_t onto = in_arena[random() % in_arena.size()];
    if (plan.placements[moved].offset == plan.placements[onto].offset) continue;
    plan.placements[moved].offset = plan.placements[onto].offset;
    plan.arena_bytes += 1 << 20;
    if (TaggedMemory(graph, plan).run().empty()) {
      ++harmless;
      CHECK_NOTHROW(verify_plan(graph, plan));
    } else {
      ++planted;
      CHECK_THROWS_AS(verify_plan(graph, plan), std::logic_error);
    }
  }
  CHECK(planted > 100);
  CHECK(harmless > 10);
}

TEST_CASE("verify_plan: says which value is wrong and how") {
  const Graph graph = parse(R"(
    %x = input x : f32[16]
    %s = state s : f32[16] constant(0)
    %a = scale(%x) {factor=2} @ net/a
    %b = scale(%x) {factor=3} @ net/b
    %c = add(%a, %b) @ net/c
    result y = %c
    update s = %b)");
  const MemoryPlan good = plan_memory(graph, no_fusion());
  const auto message = [&](auto damage) -> std::string {
    MemoryPlan plan = good;
    damage(plan);
    try {
      verify_plan(graph, plan);
    } catch (const std::logic_error& error) {
      return error.what();
    }
    return "fine";
  };
  const auto at = [&](MemoryPlan& plan, int node) -> Placement& {
    return plan.placements[static_cast<size_t>(graph.output({node}).index)];
  };
  CHECK(message([](MemoryPlan&) {}) == "fine");
  CHECK(message([&](MemoryPlan& plan) {
          at(plan, 1) = {.kind = Placement::Kind::arena, .offset = 32};
          plan.arena_bytes = 128;
          plan.copies = graph.updates();
        }) == "memory plan: 'net/b:0' is written over 'net/a:0', which is read later");
  CHECK(message([&](MemoryPlan& plan) { at(plan, 2).kind = Placement::Kind::none; }) ==
        "memory plan: 'net/c:0' is read but lies nowhere");
  CHECK(message([&](MemoryPlan& plan) { at(plan, 0).offset = plan.arena_bytes; }) ==
        "memory plan: 'net/a:0' lies outside of the arena");
  CHECK(message([&](MemoryPlan& plan) {
          at(plan, 0) = {.kind = Placement::Kind::state, .leaf = graph.find_leaf("s")->value};
        }) == "memory plan: 'net/a:0' lies in 's', which it does not update");
  CHECK(message([&](MemoryPlan& plan) { plan.copies = graph.updates(); }) ==
        "memory plan: 's' is copied onto itself");
  CHECK(message([&](MemoryPlan& plan) {
          at(plan, 1) = {.kind = Placement::Kind::arena, .offset = 64};
          plan.arena_bytes = 128;
        }) == "memory plan: 's' is not updated");
  CHECK(message([](MemoryPlan& plan) { plan.placements.pop_back(); }) ==
        "memory plan has 4 placements for 5 values");
}
