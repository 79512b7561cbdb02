// document: operator records -> rows of text, help for a terminal, docs/operators.md.
#include "core/ops/document.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>

namespace expgraph {
namespace {

// Two less than 80 and 100: an operator may stand beyond.
constexpr size_t kTerminal = 78;
constexpr size_t kPage = 98;

constexpr std::array<std::string_view, 12> kOpRoles = {
    "compute",   "dataset", "sample",  "cache",      "batch",  "schedule",
    "optimiser", "group",   "average", "loss_scale", "metric", "start"};
constexpr std::array<std::string_view, 4> kInputRoles = {"value", "parameter", "statistic",
                                                         "choice"};

DocumentRow describe(const InputSchema& input) {
  const std::string_view note = input.optional ? "optional" : input.variadic ? "one or more" : "";
  return {std::string(input.name), std::string(to_string(input.role)), std::string(note),
          std::string(input.doc)};
}

DocumentRow describe(const OutputSchema& output) {
  const std::string note = output.updates.empty() ? "" : fmt::format("new {}", output.updates);
  return {std::string(output.name), "", note, std::string(output.doc)};
}

DocumentRow describe(const AttributeSchema& attribute) {
  const std::string kind = attribute.choices.empty()
                               ? std::string(to_string(attribute.kind))
                               : fmt::format("{}", fmt::join(attribute.choices, " or "));
  const std::string note =
      attribute.fallback ? "default " + to_text(*attribute.fallback) : "required";
  return {std::string(attribute.name), kind, note, std::string(attribute.doc)};
}

template <typename Schemas>
std::vector<DocumentRow> describe_all(const Schemas& schemas) {
  std::vector<DocumentRow> rows;
  for (const auto& schema : schemas) rows.push_back(describe(schema));
  return rows;
}

/// "parameter, optional", "an integer, default 1", "".
std::string traits(const DocumentRow& row) {
  if (row.kind.empty() || row.note.empty()) return row.kind + row.note;
  return row.kind + ", " + row.note;
}

/// Words of `text` in lines of `columns`, each after `indent` blanks. No line starts with a lone
/// operator: Markdown would take "- b" for an entry of a list.
std::string wrapped(std::string_view text, size_t indent, size_t columns = kTerminal) {
  std::string out;
  size_t column = columns;
  while (!text.empty()) {
    const size_t length = std::min(text.find(' '), text.size());
    const std::string_view word = text.substr(0, length);
    text.remove_prefix(std::min(length + 1, text.size()));
    const bool lone = word.size() == 1 && word.find_first_of("*-+=/") == 0;
    if (column + 1 + word.size() > columns && !lone) {
      if (!out.empty()) out += '\n';
      out += std::string(indent, ' ');
      column = indent;
    } else {
      out += ' ';
      ++column;
    }
    out += word;
    column += word.size();
  }
  return out + '\n';
}

std::string help_rows(std::string_view title, const std::vector<DocumentRow>& rows) {
  if (rows.empty()) return "";
  size_t width = 0;
  for (const DocumentRow& row : rows) width = std::max(width, row.name.size());
  std::string out = fmt::format("\n{}\n", title);
  for (const DocumentRow& row : rows) {
    const std::string text = traits(row).empty() ? row.doc : traits(row) + ": " + row.doc;
    // The name stands in the margin of the wrapped text's first line.
    std::string lines = wrapped(text, width + 4);
    out += lines.replace(2, row.name.size(), row.name);
  }
  return out;
}

std::vector<std::string> remarks(const OperatorDocument& op) {
  std::vector<std::string> out;
  if (!op.internal && !op.differentiable && (op.role == "compute" || op.role == "metric")) {
    out.push_back("Not differentiable.");
  }
  if (!op.in_place.empty()) {
    out.push_back(fmt::format("May be in place: {}.", fmt::join(op.in_place, ", ")));
  }
  if (!op.evaluation_op.empty()) {
    out.push_back(fmt::format("When evaluating, {} stands in.", op.evaluation_op));
  }
  return out;
}

void append_rows(std::string& out, std::string_view what, const std::vector<DocumentRow>& rows) {
  for (const DocumentRow& row : rows) {
    const std::string kind =
        traits(row) == "value" || traits(row).empty() ? "" : " (" + traits(row) + ")";
    const std::string text = fmt::format("{} `{}`{}: {}", what, row.name, kind, row.doc);
    out += wrapped(text, 2, kPage).replace(0, 1, "-");
  }
}

void append_markdown(std::string& out, const OperatorDocument& op) {
  out += fmt::format("\n### {}\n\n{}", op.name, wrapped(op.doc, 0, kPage));
  const std::vector<std::string> lines = remarks(op);
  if (!lines.empty()) out += wrapped(fmt::format("{}", fmt::join(lines, " ")), 0, kPage);
  out += '\n';
  append_rows(out, "input", op.inputs);
  append_rows(out, "output", op.outputs);
  append_rows(out, "attribute", op.attributes);
  if (!op.example.empty()) out += fmt::format("\n```yaml\n{}\n```\n", op.example);
}

void append_section(std::string& out, bool internal) {
  std::string_view family;
  for (const OpSchema* op : all_ops()) {
    if (op->internal != internal) continue;
    if (op->family != family) {
      family = op->family;
      out += fmt::format("\n## {}{}\n", family, internal ? " (made by the compiler)" : "");
    }
    append_markdown(out, describe(*op));
  }
}

}  // namespace

std::string_view to_string(OpRole role) { return kOpRoles[static_cast<size_t>(role)]; }
std::string_view to_string(InputRole role) { return kInputRoles[static_cast<size_t>(role)]; }

OperatorDocument describe(const OpSchema& op) {
  OperatorDocument out{.name = std::string(op.name),
                       .family = std::string(op.family),
                       .role = std::string(to_string(op.role)),
                       .doc = std::string(op.doc),
                       .example = std::string(op.example),
                       .internal = op.internal,
                       .differentiable = op.gradient != nullptr,
                       .evaluation_op = std::string(op.evaluation_op),
                       .inputs = describe_all(op.inputs),
                       .outputs = describe_all(op.outputs),
                       .attributes = describe_all(op.attributes)};
  for (const InPlace& pair : op.in_place) {
    out.in_place.push_back(fmt::format("{} over {}",
                                       op.outputs[static_cast<size_t>(pair.output)].name,
                                       op.inputs[static_cast<size_t>(pair.input)].name));
  }
  return out;
}

std::string operator_help(const OpSchema& schema) {
  const OperatorDocument op = describe(schema);
  std::string out =
      fmt::format("{} ({}{})\n", op.name, op.family, op.internal ? ", made by the compiler" : "");
  out += wrapped(op.doc, 2);
  for (const std::string& line : remarks(op)) out += wrapped(line, 2);
  out += help_rows("inputs", op.inputs);
  out += help_rows("outputs", op.outputs);
  out += help_rows("attributes", op.attributes);
  if (!op.example.empty()) out += "\nexample\n" + wrapped(op.example, 2);
  return out;
}

std::string operators_markdown() {
  std::string out =
      "# Operators\n\n"
      "Generated from the records in `core/ops` by `./dev golden`; do not edit. Roles of inputs: "
      "a\nvalue is wired, or the previous sibling; a parameter or statistic that is not wired "
      "becomes the\nstate `<node>/<input>`; a choice becomes random integers drawn for each "
      "sample.\nA list of one number may be written as the number.\n";
  append_section(out, false);
  append_section(out, true);
  return out;
}

}  // namespace expgraph
