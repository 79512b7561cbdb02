// random_case: numbers and sizes drawn from a seed -> cases of operators, as those of tests/ops.
#include "tests/support/random_case.h"

namespace expgraph::test {

Attributes attributes(std::initializer_list<std::pair<const char*, AttributeValue>> values) {
  Attributes result;
  for (const auto& [name, value] : values) result.set(name, value);
  return result;
}

AttributeValue both(int64_t size) { return std::vector<int64_t>{size}; }

TensorType f32(Shape shape) { return {DType::f32, std::move(shape)}; }

OpCase make_case(const Chain& chain, std::vector<std::optional<TensorType>> inputs,
                 const std::string& name) {
  OpCase c;
  c.name = name;
  for (const auto& [name_of_op, given] : chain) {
    c.ops.push_back(&op(name_of_op));
    c.attributes.push_back(given);
    c.name += " " + name_of_op;
  }
  c.inputs = std::move(inputs);
  for (const auto& type : c.inputs) c.name += type ? " " + type->str() : " -";
  c.tolerance = 2e-5;
  return c;
}

void on_grid(OpCase& c, const std::string& input, const TensorType& type, Random& random) {
  std::vector<double>& values = c.values[input];
  for (int64_t i = 0; i < type.elements(); ++i)
    values.push_back(static_cast<double>(random.in(-128, 127)) / 64);
}

}  // namespace expgraph::test
