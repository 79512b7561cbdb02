// resolve: the symbolic references of a FlatSpec -> the instances of nodes that they mean.
#include "core/resolve.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/support/suggest.h"

namespace expgraph {
namespace {

bool is_under(std::string_view path, std::string_view group) {
  return path.size() > group.size() && path.starts_with(group) && path[group.size()] == '/';
}

std::string_view parent(std::string_view path) {
  const size_t slash = path.rfind('/');
  return slash == std::string_view::npos ? std::string_view() : path.substr(0, slash);
}

std::string_view last(std::string_view path) {
  const size_t slash = path.rfind('/');
  return slash == std::string_view::npos ? path : path.substr(slash + 1);
}

}  // namespace

std::string Instance::path() const {
  if (evaluation == nullptr) return node->path;
  return evaluation->path + node->path.substr(evaluation->evaluates.size());
}

Resolver::Resolver(const FlatSpec& spec) : spec_(spec) {
  for (const SpecNode& node : spec.nodes) index_[node.path] = &node;
}

const SpecNode* Resolver::find(std::string_view path) const {
  const auto found = index_.find(path);
  return found == index_.end() ? nullptr : found->second;
}

std::vector<std::string> Resolver::paths() const {
  std::vector<std::string> out;
  for (const SpecNode& node : spec_.nodes) out.push_back(node.path);
  return out;
}

Source Resolver::source(const Reference& reference, const Instance& reader) const {
  const SpecNode* evaluation = reader.evaluation;
  std::string path = reference.path;
  // Each turn follows one link (a group to its output or its input), so a longer walk is a cycle.
  for (size_t turn = 0; turn <= spec_.nodes.size() + 1; ++turn) {
    if (evaluation != nullptr && path != evaluation->evaluates + "/in" &&
        path != evaluation->evaluates && !is_under(path, evaluation->evaluates)) {
      throw Error(fmt::format("'{}' evaluates '{}' again, which reads '{}' outside of it",
                              evaluation->path, evaluation->evaluates, path),
                  reference.where);
    }
    if (last(path) == "in" && find(path) == nullptr) {
      const SpecNode* group = find(parent(path));
      if (group != nullptr && group->is_group) {
        const bool leaves_evaluation =
            evaluation != nullptr && group->path == evaluation->evaluates;
        const SpecNode& wired = leaves_evaluation ? *evaluation : *group;
        if (wired.inputs.empty()) {
          throw Error(fmt::format("'{}' has no input for '{}' to read", wired.path, reference.path),
                      reference.where);
        }
        path = wired.inputs.front().path;
        if (leaves_evaluation) evaluation = nullptr;
        continue;
      }
    }
    if (const SpecNode* node = find(path)) {
      if (!node->is_group) return {{node, evaluation}, ""};
      if (!node->evaluates.empty()) {
        evaluation = node;
        path = node->evaluates;
      } else {
        path = node->output;
      }
      continue;
    }
    if (const SpecNode* node = find(parent(path)); node != nullptr && !node->is_group) {
      return {{node, evaluation}, std::string(last(path))};
    }
    // A path inside of an evaluated group: "test/net/layer1".
    const auto inside = std::find_if(spec_.nodes.begin(), spec_.nodes.end(), [&](const auto& node) {
      return !node.evaluates.empty() && is_under(path, node.path);
    });
    if (evaluation == nullptr && inside != spec_.nodes.end()) {
      evaluation = &*inside;
      path = evaluation->evaluates + path.substr(evaluation->path.size());
      continue;
    }
    Error error(fmt::format("there is no node '{}'", path), reference.where);
    if (const std::string hint = did_you_mean(path, paths()); !hint.empty()) error.note(hint);
    throw error;
  }
  throw Error(fmt::format("the inputs of '{}' form a cycle", reference.path), reference.where);
}

std::vector<std::pair<std::string, Source>> Resolver::sources(const Instance& reader) const {
  std::vector<std::pair<std::string, Source>> out;
  for (const Reference& reference : reader.node->inputs) {
    out.emplace_back("", source(reference, reader));
  }
  for (const auto& [name, reference] : reader.node->named) {
    out.emplace_back(name, source(reference, reader));
  }
  return out;
}

std::vector<Instance> Resolver::instances(std::string_view group) const {
  std::vector<Instance> document_order;
  for (const SpecNode& node : spec_.nodes) {
    if (!is_under(node.path, group)) continue;
    if (!node.is_group) {
      document_order.push_back({&node, nullptr});
    } else if (!node.evaluates.empty()) {
      for (const SpecNode& member : spec_.nodes) {
        if (!member.is_group && is_under(member.path, node.evaluates)) {
          document_order.push_back({&member, &node});
        }
      }
    }
  }
  // Depth first over inputs, without recursion: a chain may be long.
  enum class Mark { open, done };
  const auto key = [](const Instance& i) { return std::pair(i.node, i.evaluation); };
  std::map<std::pair<const SpecNode*, const SpecNode*>, Mark> marks;
  struct Frame {
    Instance instance;
    std::vector<std::pair<std::string, Source>> sources;
    size_t next = 0;
  };
  std::vector<Instance> order;
  for (const Instance& root : document_order) {
    if (marks.contains(key(root))) continue;
    std::vector<Frame> stack;
    const auto open = [&](const Instance& instance) {
      try {
        stack.push_back({instance, sources(instance)});
      } catch (const Error& error) {
        throw located(error, *instance.node);
      }
      marks[key(instance)] = Mark::open;
    };
    open(root);
    while (!stack.empty()) {
      Frame& frame = stack.back();
      if (frame.next == frame.sources.size()) {
        marks[key(frame.instance)] = Mark::done;
        order.push_back(frame.instance);
        stack.pop_back();
        continue;
      }
      const Instance& wanted = frame.sources[frame.next++].second.instance;
      const auto mark = marks.find(key(wanted));
      if (mark == marks.end()) {
        open(Instance(wanted));
      } else if (mark->second == Mark::open) {
        std::string cycle = wanted.path();
        for (auto f = stack.rbegin(); f != stack.rend(); ++f) {
          cycle += " <- " + f->instance.path();
          if (f->instance == wanted) break;
        }
        throw located(Error(fmt::format("cyclic inputs: {}", cycle), wanted.node->where),
                      *wanted.node);
      }
    }
  }
  return order;
}

Error located(Error error, const SpecNode& node) {
  error.at(node.where);
  for (auto link = node.chain.rbegin(); link != node.chain.rend(); ++link) {
    error.note(fmt::format("in {}", link->first), link->second);
  }
  return error;
}

}  // namespace expgraph
