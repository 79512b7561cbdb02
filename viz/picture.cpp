// picture: FlatSpec -> what a drawing of it shows.
#include "viz/picture.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "core/build_graph.h"
#include "core/resolve.h"

namespace expgraph {
namespace {

std::string dimensions(const Shape& shape) {
  return fmt::format("{}", fmt::join(shape.begin(), shape.end(), "×"));
}

/// Of one sample: the first dimension is the batch's.
std::string sample_shape(const TensorType& type) {
  if (type.shape.size() < 2) return "";  // a label, a sum over the batch
  return dimensions({type.shape.begin() + 1, type.shape.end()});
}

std::string text_of(const AttributeValue& value) {
  const auto list = [](const auto& items) {
    if (items.size() == 1) return fmt::format("{}", items.front());
    return fmt::format("[{}]", fmt::join(items, ", "));
  };
  if (const auto* text = std::get_if<std::string>(&value)) return *text;
  if (const auto* integers = std::get_if<std::vector<int64_t>>(&value)) return list(*integers);
  if (const auto* reals = std::get_if<std::vector<double>>(&value)) return list(*reals);
  return to_text(value);
}

std::vector<Picture::Attribute> attributes_of(const SpecNode& node, const OpSchema& schema) {
  std::vector<Picture::Attribute> out;
  const Attributes typed = typed_attributes(node, schema);
  for (const AttributeSchema& attribute : schema.attributes) {
    const AttributeValue* value = typed.find(attribute.name);
    if (value == nullptr) continue;
    out.push_back({.name = std::string(attribute.name),
                   .value = text_of(*value),
                   .is_default = attribute.fallback && *attribute.fallback == *value});
  }
  return out;
}

/// Makes one picture; keeps what is looked up again and again.
class Painter {
 public:
  Painter(const FlatSpec& spec, const std::string& root, const Shapes& shapes)
      : spec_(spec), resolver_(spec), root_(root), shapes_(shapes) {}

  Picture paint(std::string title) {
    picture_.title = std::move(title);
    for (const SpecNode& node : spec_.nodes) {
      if (!is_below(node.path, root_)) continue;
      if (node.is_group && node.evaluates.empty()) {
        picture_.clusters.push_back({node.path});
      } else {
        add_node(node);
      }
    }
    if (!root_.empty()) add_output();
    return std::move(picture_);
  }

 private:
  void add_node(const SpecNode& node) {
    Picture::Node drawn{.path = node.path, .title = last_component(node.path)};
    std::vector<std::pair<std::string, Source>> sources;
    if (node.is_group) {
      drawn.attributes = {{.name = "evaluates", .value = node.evaluates}};
      for (const Reference& reference : node.inputs) {
        sources.emplace_back("", resolver_.source(reference, {&node, nullptr}));
      }
    } else {
      const OpSchema& schema = op(node.op);
      drawn.op = node.op;
      drawn.family = schema.family;
      try {
        drawn.attributes = attributes_of(node, schema);
        sources = resolver_.sources({&node, nullptr});
      } catch (const Error& error) {
        throw located(error, node);
      }
    }
    for (const auto& [name, source] : sources) add_edge(source, node.path);
    picture_.nodes.push_back(std::move(drawn));
  }

  void add_edge(const Source& source, const std::string& to) {
    const Instance& from = source.instance;
    std::string path = from.evaluation != nullptr ? from.evaluation->path : from.path();
    const auto shape = shapes_.find({from.path(), source.output});
    const std::string label = shape == shapes_.end() ? "" : shape->second;
    if (!is_below(path, root_)) {
      add_input(path);
    }
    picture_.edges.push_back({.from = std::move(path), .to = to, .label = label});
  }

  /// A node outside of the drawn part that feeds it.
  void add_input(const std::string& path) {
    if (!inputs_.insert(path).second) return;
    picture_.nodes.insert(picture_.nodes.begin(), {.path = path, .title = path});
  }

  void add_output() {
    const SpecNode* root = spec_.find(root_);
    if (root == nullptr || root->output.empty()) return;
    const std::string path = root_ + "/out";
    const Source source = resolver_.source({root->path, root->where}, {root, nullptr});
    picture_.nodes.push_back({.path = path, .title = "out"});
    add_edge(source, path);
  }

  const FlatSpec& spec_;
  Resolver resolver_;
  const std::string& root_;
  const Shapes& shapes_;
  std::set<std::string> inputs_;
  Picture picture_;
};

void add_shapes(const Graph& graph, Shapes& shapes) {
  for (const Node& node : graph.nodes()) {
    for (size_t k = 0; k < node.outputs.size(); ++k) {
      const std::string shape = sample_shape(graph.type(node.outputs[k]));
      if (k == 0) shapes.emplace(std::pair(node.path, ""), shape);
      if (k >= node.op->outputs.size()) continue;
      shapes.emplace(std::pair(node.path, std::string(node.op->outputs[k].name)), shape);
    }
  }
}

void add_shapes(const SideGraphs& side, const FlatSpec& spec, const std::string& name,
                Shapes& shapes) {
  const DatasetInfo& data = side.data;
  std::string samples = dimensions({data.height, data.width, data.channels});
  for (const SpecNode& node : spec.nodes) {
    if (node.is_group || !is_below(node.path, name)) continue;
    const OpRole role = op(node.op).role;
    if (role == OpRole::dataset) {
      shapes[{node.path, ""}] = shapes[{node.path, "image"}] = samples;
    } else if (role == OpRole::batch) {
      const std::string images =
          sample_shape(side.forward.type(side.forward.find_leaf("images")->value));
      shapes[{node.path, ""}] = shapes[{node.path, "image"}] = images;
    }
  }
  if (side.prepare) add_shapes(*side.prepare, shapes);
  add_shapes(side.feed, shapes);
  for (const auto* paths : {&side.prepared_paths, &side.fed_paths}) {
    for (const std::string& path : *paths) {
      // A cache is no operator of any graph: what it gives is what it is given.
      samples = shapes.emplace(std::pair(path, ""), samples).first->second;
    }
  }
  add_shapes(side.forward, shapes);
}

}  // namespace

std::string parent_path(const std::string& path) {
  const size_t slash = path.rfind('/');
  return slash == std::string::npos ? std::string() : path.substr(0, slash);
}

std::string last_component(const std::string& path) { return path.substr(path.rfind('/') + 1); }

bool is_below(const std::string& path, const std::string& group) {
  return group.empty() ||
         (path.size() > group.size() && path.starts_with(group) && path[group.size()] == '/');
}

Shapes shapes_of(const FlatSpec& spec, const PipelineGraphs& graphs) {
  Shapes shapes;
  add_shapes(graphs.train, spec, "train", shapes);
  if (graphs.test) add_shapes(*graphs.test, spec, "test", shapes);
  return shapes;
}

Shapes shapes_of(const Graph& graph) {
  Shapes shapes;
  add_shapes(graph, shapes);
  for (const Leaf& leaf : graph.leaves()) {
    if (leaf.kind == LeafKind::input) {
      shapes[{"input", ""}] = sample_shape(graph.type(leaf.value));
    }
  }
  return shapes;
}

std::string network_of(const FlatSpec& spec) {
  std::string largest = "train";
  ptrdiff_t most = 0;
  for (const SpecNode& node : spec.nodes) {
    if (!node.is_group || parent_path(node.path) != "train") continue;
    const auto members =
        std::count_if(spec.nodes.begin(), spec.nodes.end(),
                      [&](const SpecNode& other) { return is_below(other.path, node.path); });
    if (members <= most) continue;
    most = members;
    largest = node.path;
  }
  return largest;
}

Picture picture_of(const FlatSpec& spec, const std::string& root, const Shapes& shapes,
                   std::string title) {
  return Painter(spec, root, shapes).paint(std::move(title));
}

}  // namespace expgraph
