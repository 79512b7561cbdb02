// op_schema: one record an operator. All that the compiler, the documents and the tests know of
// an operator is here; kernels are in the backends.
#pragma once

#include <functional>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "core/ir/graph.h"

namespace expgraph {

/// What an operator sees when it is typed. An absent optional input is nullptr.
struct InferContext {
  const OpSchema& op;
  std::span<const TensorType* const> inputs;
  const Attributes& attributes;
  const Graph* body = nullptr;  ///< a fusion's

  bool has(size_t k) const { return k < inputs.size() && inputs[k] != nullptr; }
  const TensorType& input(size_t k) const { return *inputs[k]; }
  /// Throws Error{message}; the location is added by who builds the graph.
  [[noreturn]] void fail(std::string message) const;
  /// The same about the value of an attribute, which the location then points at.
  [[noreturn]] void fail_value(std::string_view attribute, std::string message) const;
};

/// What fail_value throws.
class AttributeError : public Error {
 public:
  AttributeError(std::string attribute, std::string message)
      : Error(std::move(message)), attribute_(std::move(attribute)) {}
  const std::string& attribute() const { return attribute_; }

 private:
  std::string attribute_;
};

enum class InputRole {
  value,      ///< wired, or the previous sibling
  parameter,  ///< trainable; unwired, it becomes the state "<node>/<input>" by the op's state rule
  statistic,  ///< state that the optimiser leaves alone (running mean)
  choice,     ///< unwired, it becomes the choice leaf "<node>/<input>"
};

struct InputSchema {
  std::string_view name;
  std::string_view doc;
  InputRole role = InputRole::value;
  bool optional = false;  ///< may be absent
  bool variadic = false;  ///< last input only: one or more values
};

struct OutputSchema {
  std::string_view name;
  std::string_view doc;
  std::string_view updates = {};  ///< the statistic input whose new value this is
};

struct AttributeSchema {
  std::string_view name;
  AttributeKind kind;
  std::optional<AttributeValue> fallback;  ///< none: required
  std::string_view doc;
  std::vector<std::string_view> choices = {};  ///< a text must be one of these
};

/// A state that an unwired parameter or statistic becomes.
struct StateRule {
  TensorType type;
  Initialiser initialiser;
};

/// What a gradient rule is given: the forward node, and the gradient of each output (invalid
/// where nobody asks).
struct GradientContext {
  Graph& graph;  ///< nodes are added here
  Node node;     ///< the forward node (a copy: the graph grows), its values valid in `graph`
  std::span<const ValueId> output_grads;
  std::span<const bool> wanted;  ///< per input: is its gradient read by anybody
  ValueId in(size_t k) const { return node.inputs[k]; }
  ValueId out(size_t k) const { return node.outputs[k]; }
  /// Adds a node at path "<forward path>/backward" or as given and returns its first output.
  ValueId add(std::string_view op, std::vector<ValueId> inputs, Attributes attributes = {}) const;
  NodeId add_node(std::string_view op, std::vector<ValueId> inputs,
                  Attributes attributes = {}) const;
};

/// What an optimiser's update rule is given: one parameter and its gradient.
struct UpdateContext {
  Graph& graph;                  ///< nodes, states and state updates are added here
  const Attributes& attributes;  ///< of the optimiser node, weight_decay times its group's factor
  ValueId parameter, gradient;
  ValueId lr;                       ///< scalar, times the factor of the parameter's group
  std::span<const ValueId> inputs;  ///< of the optimiser node, by its op; invalid = absent
  std::string_view optimiser;       ///< its path
  std::string_view path;            ///< of the nodes added
  Location where;                   ///< of the optimiser node
  /// A new state "<parameter>/<name>" of the parameter's type: zero at the start, not trainable.
  ValueId add_state(std::string_view name) const;
  /// Adds a node at `path`.
  NodeId add_node(std::string_view op, std::vector<ValueId> read, Attributes node_attributes) const;
};

/// What the rule of an average is given: a state that training changes, and the state beside it.
struct AverageContext {
  Graph& graph;
  ValueId value;    ///< what the state is about to take
  ValueId average;  ///< the state "<state>/<op>", which starts as a copy of the state
  ValueId decay;    ///< scalar: weight of the past
  ValueId when;     ///< scalar: 1 in the steps that move the average, else 0
  ValueId last;     ///< scalar: 1 in those steps and in the last one, else 0
  std::string_view path;
  Location where;
  ValueId add(std::string_view op, std::vector<ValueId> inputs) const;
};

/// What the state and its average take at the end of a step.
struct Averaged {
  ValueId value, average;
};

/// A step of a training. Its schedules are read before it, so that the first is step 0.
struct ScheduleTime {
  int64_t step = 0;
  int64_t steps_per_epoch = 1;
  int64_t steps = 1;  ///< of the whole training
  /// 0 = start, 1.5 = half through the second epoch.
  double epoch() const {
    return static_cast<double>(step / steps_per_epoch) +
           static_cast<double>(step % steps_per_epoch) / static_cast<double>(steps_per_epoch);
  }
};

/// Work of one execution.
struct Cost {
  int64_t macs = 0;   ///< multiply-accumulates of convolutions and matrix products
  int64_t flops = 0;  ///< all floating point operations, a multiply-accumulate counts 2
  int64_t bytes = 0;  ///< read and written once each
};

/// What an operator is to the pipeline compiler (core/pipeline.cpp).
enum class OpRole {
  compute,     ///< part of a step
  dataset,     ///< a source of samples
  sample,      ///< maps samples to samples, [N, ...] -> [N, ...]; before `batch`
  cache,       ///< all upstream is done once
  batch,       ///< samples -> steps
  schedule,    ///< a scalar a step, known in advance
  optimiser,   ///< loss and lr -> updates of the parameters upstream of the loss
  group,       ///< parameters that are updated in another way than the rest
  average,     ///< a second copy of every state that training changes
  loss_scale,  ///< a factor of the losses while they are differentiated
  metric,      ///< a compute op whose result is reported
  start,       ///< samples -> the start values of another node's parameter; done once
};

/// Output `output` may be written over input `input` when nobody reads that input afterwards.
struct InPlace {
  int input = 0;
  int output = 0;
};

struct OpSchema {
  std::string_view name;
  std::string_view family;  ///< file in core/ops; gives the colour in drawings
  std::string_view doc;     ///< one or two sentences, formula with its source
  OpRole role = OpRole::compute;
  bool internal = false;    ///< made by the compiler (backward, fusion); not for YAML
  bool takes_body = false;  ///< its nodes have a body graph, which gives its outputs
  std::vector<InputSchema> inputs;
  std::vector<OutputSchema> outputs;  ///< empty when a body gives them
  std::vector<AttributeSchema> attributes;

  /// Output types; every check of shapes and attribute values is here. Fewer than `outputs` where
  /// the attributes leave the last ones out.
  std::vector<TensorType> (*infer)(const InferContext&) = nullptr;
  /// The state of unwired input k; nullopt: the input stays absent (a conv without bias).
  std::optional<StateRule> (*state)(const InferContext&, size_t k) = nullptr;
  /// The choice rule of unwired choice input k, from the value inputs.
  ChoiceRule (*choice)(const InferContext&, size_t k) = nullptr;
  /// Gradients of the inputs, one per input, invalid where there is none. Null: not differentiable.
  std::vector<ValueId> (*gradient)(const GradientContext&) = nullptr;
  /// Optimisers: adds the nodes and the state updates of one parameter's step.
  void (*update)(const UpdateContext&) = nullptr;
  /// Averages: adds the nodes of one state.
  Averaged (*average)(const AverageContext&) = nullptr;
  /// Start values: fills a parameter from samples f32[N, H, W, C].
  void (*start)(const Attributes&, const TensorType& samples, const float* x,
                const TensorType& parameter, float* values) = nullptr;
  /// Schedules: the value of a step.
  double (*schedule)(const Attributes&, const ScheduleTime&) = nullptr;
  /// Null: elementwise, one flop an output element, bytes of inputs and outputs.
  Cost (*cost)(const InferContext&, std::span<const TensorType> outputs) = nullptr;

  bool evaluated = false;  ///< averages: evaluation reads it instead of the state
  std::vector<InPlace> in_place = {};
  /// Op that makes the first output again in one cheap pass, so that it need not be kept: itself,
  /// or one whose inputs are outputs and inputs of this one, by name; attributes by name.
  std::string_view remade_by = {};
  std::string_view evaluation_op = {};  ///< op that stands in for this one when evaluating (inputs
                                        ///< and attributes taken by name)
  std::string_view example = {};        ///< YAML of one node

  int input_index(std::string_view input) const;    ///< -1 when there is none
  int output_index(std::string_view output) const;  ///< -1 when there is none
  const AttributeSchema* find_attribute(std::string_view attribute) const;
  bool variadic() const { return !inputs.empty() && inputs.back().variadic; }
};

/// All operators, by an explicit list of families (core/ops/registry.cpp). Sorted by family, name.
std::span<const OpSchema* const> all_ops();
const OpSchema* find_op(std::string_view name);  ///< nullptr when there is none
const OpSchema& op(std::string_view name);       ///< std::logic_error when there is none

/// Checks names, kinds and choices, converts integer -> real (and scalar -> list of one), fills in
/// defaults. Throws Error with the nearest attribute name; `where_of` gives an attribute's
/// location.
Attributes complete_attributes(const OpSchema& op, Attributes given,
                               const std::function<Location(std::string_view)>& where_of = {});

Cost cost_of(const Graph& graph, const Node& node);

/// The operator's name; of a fusion its kind.
std::string display_name(const Node& node);

}  // namespace expgraph
