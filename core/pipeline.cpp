// pipeline: FlatSpec -> the graphs of training and evaluation, split by rate.
#include "core/pipeline.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "core/build_graph.h"
#include "core/data/dataset.h"
#include "core/support/size.h"
#include "core/support/suggest.h"
#include "core/training_spec.h"

namespace expgraph {
namespace {

constexpr int64_t kPrepareChunk = 500;  // samples; small enough that prepare adds little memory

std::string last_component(const std::string& path) { return path.substr(path.rfind('/') + 1); }

const OpSchema& op_of(const Instance& instance) {
  const OpSchema* found = find_op(instance.node->op);
  EXPGRAPH_CHECK(found != nullptr);  // the language has checked names of operators
  return *found;
}

[[noreturn]] void fail(const SpecNode& node, std::string message) {
  throw located(Error(std::move(message), node.where), node);
}

bool draws_choices(const OpSchema& op) {
  return std::any_of(op.inputs.begin(), op.inputs.end(),
                     [](const InputSchema& input) { return input.role == InputRole::choice; });
}

/// One side of a pipeline while it is taken apart.
class SideBuilder {
 public:
  SideBuilder(const FlatSpec& spec, const Resolver& resolver, std::string side,
              std::optional<int64_t> batch, const BuildOptions& options)
      : spec_(spec),
        resolver_(resolver),
        side_(std::move(side)),
        asked_batch_(batch),
        options_(options) {}

  SideGraphs build() {
    instances_ = resolver_.instances(side_);
    find_data_chain();
    build_data();
    build_forward();
    return std::move(out_);
  }

 private:
  const SpecNode& group() const { return *spec_.find(side_); }

  /// The one instance with this role; Error when there is none or more than one.
  Instance only(OpRole role, std::string_view what) const {
    const Instance* found = nullptr;
    for (const Instance& instance : instances_) {
      if (op_of(instance).role != role) continue;
      if (found != nullptr) {
        throw located(Error(fmt::format("'{}' has two nodes of op '{}': '{}' and '{}'", side_, what,
                                        found->path(), instance.path()),
                            instance.node->where),
                      *instance.node);
      }
      found = &instance;
    }
    if (found == nullptr) fail(group(), fmt::format("'{}' has no node of op '{}'", side_, what));
    return *found;
  }

  /// dataset, samples..., batch: from the batch up to its data set.
  void find_data_chain() {
    dataset_ = only(OpRole::dataset, "dataset");
    batch_ = only(OpRole::batch, "batch");
    Instance at = batch_;
    while (!(at == dataset_)) {
      const auto sources = resolver_.sources(at);
      if (sources.empty()) fail(*at.node, fmt::format("op '{}' needs its input 'x'", at.node->op));
      const Source& from = sources.front().second;
      const OpRole role = op_of(from.instance).role;
      if (role != OpRole::sample && role != OpRole::cache && role != OpRole::dataset) {
        fail(*at.node, fmt::format("'{}' takes samples, but '{}' (op '{}') does not give any",
                                   at.path(), from.instance.path(), from.instance.node->op));
      }
      at = from.instance;
      if (role != OpRole::dataset) chain_.insert(chain_.begin(), at);
    }
    for (const Instance& instance : instances_) {
      const OpRole role = op_of(instance).role;
      const bool samples = role == OpRole::sample || role == OpRole::cache;
      if (samples && std::find(chain_.begin(), chain_.end(), instance) == chain_.end()) {
        fail(*instance.node, fmt::format("no batch reads '{}'", instance.path()));
      }
    }
  }

  void read_dataset() {
    const Attributes attributes = attributes_of(dataset_);
    const AttributeSpec* name = dataset_.node->find("name");
    const Location where = name != nullptr ? name->value.where : dataset_.node->where;
    const auto info = options_.dataset ? options_.dataset : dataset_info;
    try {
      out_.data = info(attributes.text("name"), attributes.text("split"), where, attributes);
    } catch (const Error& error) {
      throw located(error, *dataset_.node);
    }
  }

  void read_batch() {
    const Attributes attributes = attributes_of(batch_);
    out_.nominal_batch = attributes.integer("size");
    out_.shuffle = attributes.flag("shuffle");
    out_.drop_last = attributes.flag("drop_last");
    const AttributeSpec* size = batch_.node->find("size");
    const Location where = size != nullptr ? size->value.where : batch_.node->where;
    if (out_.nominal_batch < 1) {
      throw located(Error(fmt::format("batch size {} is below 1", out_.nominal_batch), where),
                    *batch_.node);
    }
    if (out_.nominal_batch > out_.data.count) {
      throw located(
          Error(fmt::format("batch size {} is larger than the {} samples of {} {}",
                            out_.nominal_batch, out_.data.count, out_.data.name, out_.data.split),
                where),
          *batch_.node);
    }
    out_.batch = asked_batch_.value_or(out_.nominal_batch);
  }

  Attributes attributes_of(const Instance& instance) const {
    try {
      return typed_attributes(*instance.node, op_of(instance));
    } catch (const Error& error) {
      throw located(error, *instance.node);
    }
  }

  void build_data() {
    read_dataset();
    read_batch();
    const DatasetInfo& data = out_.data;
    const auto cache = std::find_if(chain_.rbegin(), chain_.rend(), [](const Instance& instance) {
                         return op_of(instance).role == OpRole::cache;
                       }).base();
    for (auto it = chain_.begin(); it != cache; ++it) {
      if (draws_choices(op_of(*it))) {
        fail(*it->node, fmt::format("'{}' stands before a cache, so every epoch would see the same "
                                    "random choices",
                                    it->path()));
      }
    }
    TensorType samples{DType::u8, {data.count, data.height, data.width, data.channels}};
    if (feed_is_fused()) {
      build_feed(chain_, samples);
      explain_cache(chain_, "the backend fuses all of it");
      return;
    }
    if (cache != chain_.begin()) samples = build_prepare({chain_.begin(), cache}, samples);
    build_feed({cache, chain_.end()}, samples);
    explain_cache({cache, chain_.end()}, cache != chain_.begin() ? "the cache stands before it"
                                                                 : "there is no cache after it");
  }

  /// Whether the backend does all that is done to samples in one node.
  bool feed_is_fused() const {
    std::vector<std::string_view> ops;
    for (const Instance& instance : chain_) {
      const OpSchema& op = op_of(instance);
      if (op.role != OpRole::cache) ops.push_back(op.name);
    }
    return options_.feed.takes(ops);
  }

  /// Returns the type of all the samples that it makes.
  TensorType build_prepare(const std::vector<Instance>& nodes, TensorType samples) {
    out_.prepare_chunk = std::min(kPrepareChunk, out_.data.count);
    GraphBuilder builder(resolver_, side_ + "_prepare", false);
    TensorType chunk = samples;
    chunk.shape[0] = out_.prepare_chunk;
    ValueId value = builder.graph().add_input("source", chunk);
    builder.define(dataset_, "", value);
    builder.define(dataset_, "image", value);
    bool works = false;
    for (const Instance& instance : nodes) {
      out_.prepared_paths.push_back(instance.path());
      if (op_of(instance).role == OpRole::cache) {
        builder.define(instance, "", value);
        continue;
      }
      value = builder.graph().output(builder.add(instance));
      works = true;
    }
    TensorType made = builder.graph().type(value);
    made.shape[0] = out_.data.count;
    if (works) {
      builder.graph().add_result("samples", value);
      out_.prepare = std::move(builder.graph());
    }
    return made;
  }

  void build_feed(const std::vector<Instance>& nodes, const TensorType& samples) {
    GraphBuilder builder(resolver_, side_ + "_feed", false);
    Graph& graph = builder.graph();
    const ValueId all = graph.add_input("samples", samples);
    const ValueId labels = graph.add_input("labels", {DType::i32, {out_.data.count}});
    const ValueId index = graph.add_input("index", {DType::i32, {out_.batch}});
    const std::string path = batch_.path();
    // Samples are independent of each other, so the batch is gathered before they are mapped.
    ValueId value = graph.add("gather", {all, index}, {}, path);
    if (!nodes.empty()) {
      const Source first = resolver_.sources(nodes.front()).front().second;
      builder.define(first.instance, "", value);
      builder.define(first.instance, "image", value);
    }
    for (const Instance& instance : nodes) {
      if (op_of(instance).role == OpRole::cache) {
        builder.define(instance, "", value);
        continue;
      }
      out_.fed_paths.push_back(instance.path());
      value = graph.output(builder.add(instance));
    }
    graph.add_result("images", graph.add("to_images", {value}, {}, path));
    graph.add_result("label", graph.add("gather", {labels, index}, {}, path));
    out_.feed = std::move(graph);
  }

  void explain_cache(const std::vector<Instance>& fed, std::string_view why) {
    std::vector<std::string> could;
    for (const Instance& instance : fed) {
      if (draws_choices(op_of(instance))) break;
      if (op_of(instance).role != OpRole::cache) could.push_back(last_component(instance.path()));
    }
    if (could.empty()) return;
    out_.why_not_cached =
        fmt::format("{} could be done once: no random choice comes before, but {}",
                    fmt::join(could, ", "), why);
  }

  void build_forward() {
    GraphBuilder builder(resolver_, side_ + "_forward", side_ != "train");
    Graph& graph = builder.graph();
    const ValueId images = graph.add_input("images", out_.feed.type(result("images")));
    const ValueId label = graph.add_input("label", out_.feed.type(result("label")));
    builder.define(batch_, "", images);
    builder.define(batch_, "image", images);
    builder.define(batch_, "label", label);
    TrainingBuilder training(spec_, builder, out_.schedules);
    for (const Instance& instance : instances_) {
      switch (op_of(instance).role) {
        case OpRole::dataset:
        case OpRole::sample:
        case OpRole::cache:
        case OpRole::batch:
          break;
        case OpRole::schedule:
          add_schedule(builder, instance);
          break;
        case OpRole::start:
          break;
        case OpRole::optimiser:
          require_train(instance);
          training.add_optimiser(instance, op_of(instance));
          break;
        case OpRole::group:
          require_train(instance);
          training.add_group(instance, op_of(instance));
          break;
        case OpRole::average:
          require_train(instance);
          training.add_average(instance, op_of(instance));
          break;
        case OpRole::loss_scale:
          require_train(instance);
          training.add_loss_scale(instance, op_of(instance));
          break;
        case OpRole::compute:
          builder.add(instance);
          break;
        case OpRole::metric:
          add_metric(builder, instance);
          break;
      }
    }
    out_.training = training.finish();
    if (side_ == "train" && !out_.training) {
      fail(group(), "'train' has no optimiser (op 'sgd')");
    }
    if (out_.metrics.empty()) {
      fail(group(), fmt::format("'{}' has no metric (op 'cross_entropy' or 'correct')", side_));
    }
    out_.forward = std::move(graph);
    for (const Instance& instance : instances_) {
      if (op_of(instance).role == OpRole::start) add_start(instance);
    }
  }

  /// The nodes from the data set to this one, without either.
  std::vector<Instance> samples_before(const Instance& instance) const {
    std::vector<Instance> nodes;
    for (Instance at = instance;;) {
      const auto sources = resolver_.sources(at);
      if (sources.empty()) fail(*at.node, fmt::format("op '{}' needs its input 'x'", at.node->op));
      const Instance& from = sources.front().second.instance;
      if (from == dataset_) return nodes;
      const OpSchema& schema = op_of(from);
      const bool once = schema.role == OpRole::sample && !draws_choices(schema);
      if (!once && schema.role != OpRole::cache) {
        fail(*instance.node, fmt::format("'{}' takes samples that are made once, but '{}' has op "
                                         "'{}'",
                                         instance.path(), from.path(), from.node->op));
      }
      nodes.insert(nodes.begin(), from);
      at = from;
    }
  }

  void add_start(const Instance& instance) {
    const SpecNode& node = *instance.node;
    require_train(instance);
    StartSpec start{.path = instance.path(), .op = &op_of(instance)};
    start.attributes = attributes_of(instance);
    const std::string group = start.path.substr(0, start.path.rfind('/') + 1);
    start.state = group + start.attributes.text("parameter");
    const Leaf* leaf = out_.forward.find_leaf(start.state);
    if (leaf == nullptr || leaf->kind != LeafKind::state) {
      Error error(fmt::format("there is no parameter '{}'", start.state), node.where);
      std::vector<std::string> states;
      for (const Leaf& known : out_.forward.leaves()) {
        if (known.kind == LeafKind::state) states.push_back(known.name);
      }
      const std::string hint = did_you_mean(start.state, states);
      if (!hint.empty()) error.note(hint);
      throw located(error, node);
    }
    const int64_t images = start.attributes.integer("images");
    GraphBuilder builder(resolver_, "start", false);
    const DatasetInfo& data = out_.data;
    ValueId value = builder.graph().add_input(
        "source",
        {DType::u8,
         {std::clamp(images, int64_t{1}, data.count), data.height, data.width, data.channels}});
    builder.define(dataset_, "", value);
    builder.define(dataset_, "image", value);
    for (const Instance& before : samples_before(instance)) {
      if (op_of(before).role != OpRole::cache) value = builder.graph().output(builder.add(before));
      builder.define(before, "", value);
    }
    try {
      const TensorType* types[] = {&builder.graph().type(value), &out_.forward.type(leaf->value)};
      start.op->infer({*start.op, types, start.attributes});
    } catch (const Error& error) {
      throw located(error, node);
    }
    builder.graph().add_result("samples", value);
    start.samples = std::move(builder.graph());
    out_.prepared_paths.push_back(start.path);
    out_.starts.push_back(std::move(start));
  }

  ValueId result(std::string_view name) const {
    for (const Result& made : out_.feed.results()) {
      if (made.name == name) return made.value;
    }
    return {};
  }

  void add_schedule(GraphBuilder& builder, const Instance& instance) {
    const std::string path = instance.path();
    const Attributes attributes = attributes_of(instance);
    const ValueId value = builder.graph().add_input(path, {DType::f32, {}});
    builder.define(instance, "", value);
    try {
      // Typed once, so that its checks run now; its values are worked out by the runner.
      Graph check;
      check.add_node(op_of(instance), attributes, {}, path, instance.node->where);
    } catch (const Error& error) {
      throw located(error, *instance.node);
    }
    out_.schedules.push_back({path, &op_of(instance), attributes, instance.node->where});
  }

  void require_train(const Instance& instance) const {
    if (side_ == "train") return;
    fail(*instance.node,
         fmt::format("'{}' stands in 'train', not in '{}'", instance.node->op, side_));
  }

  void add_metric(GraphBuilder& builder, const Instance& instance) {
    const NodeId node = builder.add(instance);
    const Attributes& attributes = builder.graph().node(node).attributes;
    const bool is_mean = attributes.has("reduction") && attributes.text("reduction") == "mean";
    MetricSpec metric{.name = last_component(instance.path()),
                      .result = instance.path(),
                      .kind = is_mean ? MetricSpec::Kind::mean : MetricSpec::Kind::sum};
    for (const MetricSpec& other : out_.metrics) {
      if (other.name == metric.name) {
        fail(*instance.node, fmt::format("two metrics of '{}' are called '{}': '{}' and '{}'",
                                         side_, metric.name, other.result, metric.result));
      }
    }
    builder.graph().add_result(metric.result, builder.graph().output(node));
    out_.metrics.push_back(std::move(metric));
  }

  const FlatSpec& spec_;
  const Resolver& resolver_;
  std::string side_;
  std::optional<int64_t> asked_batch_;
  const BuildOptions& options_;
  std::vector<Instance> instances_;
  Instance dataset_, batch_;
  std::vector<Instance> chain_;  ///< between data set and batch
  SideGraphs out_;
};

double read_epochs(const SpecNode& train) {
  const AttributeSpec* epochs = train.find("epochs");
  if (epochs == nullptr) {
    throw Error("'train' needs 'epochs': how often it goes over the data", train.where);
  }
  double value = 0;
  const std::string& text = epochs->value.scalar;
  const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  const bool whole = epochs->value.is_scalar() && error == std::errc() &&
                     stop == text.data() + text.size() && !text.empty();
  if (!whole || !(value > 0) || value > 1e6) {
    throw Error(fmt::format("'epochs' is a number above 0 and at most 1e6, got '{}'", text),
                epochs->value.where);
  }
  return value;
}

/// What `memory` says.
std::optional<MemoryBudget> read_memory(const SpecNode& train) {
  const AttributeSpec* memory = train.find("memory");
  if (memory == nullptr) return std::nullopt;
  const yaml::Value& value = memory->value;
  const std::string text = yaml::require_text(value, "'memory'");
  return MemoryBudget{parse_size(text, "'memory'", value.where), text, value.where};
}

/// What `stop` says; its metric is one of the pipeline's.
std::optional<Condition> read_stop(const SpecNode& train, const PipelineGraphs& graphs) {
  const AttributeSpec* stop = train.find("stop");
  if (stop == nullptr) return std::nullopt;
  Condition condition = read_condition(stop->value, "'stop'");
  const std::vector<std::string> names = metric_names(graphs.train, graphs.test);
  if (std::find(names.begin(), names.end(), condition.metric) != names.end()) return condition;
  Error error(fmt::format("there is no metric '{}'", condition.metric), condition.where);
  const std::string hint = did_you_mean(condition.metric, names);
  throw hint.empty() ? error : error.note(hint);
}

}  // namespace

std::vector<std::string> metric_names(const SideGraphs& train,
                                      const std::optional<SideGraphs>& test) {
  std::vector<std::string> names;
  for (const MetricSpec& metric : train.metrics) names.push_back("train/" + metric.name);
  if (!test) return names;
  for (const MetricSpec& metric : test->metrics) names.push_back("test/" + metric.name);
  return names;
}

PipelineGraphs build_pipeline(const FlatSpec& spec, const BuildOptions& options) {
  const SpecNode* train = spec.find("train");
  if (train == nullptr) {
    const Location where = spec.nodes.empty() ? Location{} : spec.nodes.front().where;
    throw Error(fmt::format("'{}' is a network: only a pipeline, with a group 'train', can be "
                            "compiled",
                            spec.name),
                where);
  }
  const Resolver resolver(spec);
  PipelineGraphs out;
  out.epochs = read_epochs(*train);
  out.train = SideBuilder(spec, resolver, "train", options.train_batch, options).build();
  if (spec.find("test") != nullptr) {
    out.test = SideBuilder(spec, resolver, "test", options.test_batch, options).build();
  }
  out.stop = read_stop(*train, out);
  out.memory = read_memory(*train);
  return out;
}

const OpNames& op_names() {
  static const OpNames names = [] {
    OpNames out;
    for (const OpSchema* schema : all_ops()) {
      if (schema->internal) continue;
      OpNames::Op entry;
      entry.takes_input = false;
      entry.value_inputs = 0;
      for (const InputSchema& input : schema->inputs) {
        entry.inputs.emplace_back(input.name);
        if (input.role != InputRole::value) continue;
        entry.takes_input = true;
        if (!input.optional) ++entry.value_inputs;
      }
      entry.variadic = schema->variadic();
      entry.feeds_next = schema->role != OpRole::schedule && schema->role != OpRole::metric &&
                         schema->role != OpRole::optimiser && schema->role != OpRole::group &&
                         schema->role != OpRole::average && schema->role != OpRole::loss_scale &&
                         schema->role != OpRole::start;
      for (const AttributeSchema& attribute : schema->attributes) {
        entry.attributes.emplace_back(attribute.name);
      }
      for (const OutputSchema& output : schema->outputs) entry.outputs.emplace_back(output.name);
      out.ops.emplace(schema->name, std::move(entry));
    }
    return out;
  }();
  return names;
}

}  // namespace expgraph
