// spec_edits: two flat specs -> edits, as YAML, that turn the one into the other.
#include "core/spec/spec_edits.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <unordered_map>

#include "core/spec/edit.h"
#include "core/spec/expression.h"
#include "core/spec/paths.h"
#include "core/spec/spec_text.h"

namespace expgraph {
namespace {

/// The spec without its name, its sides in one order: what edits can give.
std::string text_of(FlatSpec spec) {
  spec.name = "spec";
  std::stable_partition(spec.nodes.begin(), spec.nodes.end(), [&](const SpecNode& node) {
    return spec.is_network || node.path == "train" || is_within(node.path, "train");
  });
  return to_yaml(spec);
}

bool is_plain_group(const SpecNode& node) { return node.is_group && node.evaluates.empty(); }

/// Path of the entry before each one in its group; "" for the first.
std::unordered_map<std::string, std::string> previous_siblings(const FlatSpec& spec) {
  std::unordered_map<std::string, std::string> previous, last;
  for (const SpecNode& node : spec.nodes) {
    std::string& behind = last[std::string(parent_path(node.path))];
    previous[node.path] = behind;
    behind = node.path;
  }
  return previous;
}

std::vector<std::string> siblings(const FlatSpec& spec, std::string_view group) {
  std::vector<std::string> out;
  for (const SpecNode& node : spec.nodes) {
    if (parent_path(node.path) == group) out.push_back(node.path);
  }
  return out;
}

/// Whether `set` cannot make the one node from the other: another kind or operator, an attribute or
/// a named input that is no longer given, another group evaluated.
bool needs_replacing(const SpecNode& before, const SpecNode& after) {
  if (before.op != after.op || before.is_group != after.is_group ||
      before.evaluates != after.evaluates) {
    return true;
  }
  const auto lost = [](const auto& old, const auto& has) {
    return std::any_of(old.begin(), old.end(), [&](const auto& one) { return !has(one); });
  };
  return lost(before.attributes,
              [&](const AttributeSpec& one) { return after.find(one.name) != nullptr; }) ||
         lost(before.named, [&](const auto& one) {
           return std::any_of(after.named.begin(), after.named.end(),
                              [&](const auto& other) { return other.first == one.first; });
         });
}

bool same_named(const SpecNode& a, const SpecNode& b) {
  const std::map<std::string, std::string> none;
  const auto sorted = [](const SpecNode& node) {
    std::map<std::string, std::string> out;
    for (const auto& [name, reference] : node.named) out[name] = reference.path;
    return out;
  };
  return sorted(a) == sorted(b);
}

/// Makes one list of edits; `now` is what they have given so far.
class Editor {
 public:
  Editor(const FlatSpec& before, const FlatSpec& goal, const OpNames& ops)
      : now_(before), goal_(goal), goal_text_(text_of(goal)), ops_(ops) {}

  /// Edits that say what happened: entries taken out, put in, moved, set; then what is left of the
  /// wiring. False when they do not lead there.
  bool small_steps(bool wire_first) {
    if (wire_first && !(insert_all(true) && rewire())) return false;
    for (bool progress = true; progress && !structure_done();) {
      progress = remove_all();
      progress = replace_all() || progress;
      progress = insert_all(false) || progress;
    }
    return structure_done() && move_all() && set_all() && rewire() && done();
  }

  /// Each side anew.
  bool whole_sides() {
    if (goal_.is_network) return false;
    const bool has_test = now_.find("test") != nullptr, wants_test = goal_.find("test") != nullptr;
    if (has_test && !try_edit("- remove: test\n")) return false;
    const SpecNode& train = *goal_.find("train");
    FlatSpec body = goal_;
    body.find("train")->attributes.clear();
    if (!try_edit(replacement(body, *body.find("train")))) return false;
    std::string set;
    for (const AttributeSpec& attribute : train.attributes) {
      set += fmt::format("    train.{}: {}\n", attribute.name, value_text(attribute.value));
    }
    if (!set.empty() && !try_edit("- set:\n" + set)) return false;
    if (wants_test && !try_edit("- insert:\n    after: train\n    nodes:\n      test:\n" +
                                group_text(goal_, *goal_.find("test"), 8))) {
      return false;
    }
    return done();
  }

  std::string take() { return std::move(text_); }
  bool done() const { return text_of(now_) == goal_text_; }

 private:
  bool try_edit(const std::string& text) {
    const std::optional<FlatSpec> next = applied(text);
    if (!next) return false;
    now_ = *next;
    text_ += text;
    return true;
  }

  std::optional<FlatSpec> applied(const std::string& text) const {
    try {
      return apply_edit_text(now_, text, ops_);
    } catch (const Error&) {
      return std::nullopt;
    }
  }

  /// The one that leads nearest to the goal; false when none can be applied.
  bool try_best(const std::vector<std::string>& candidates) {
    std::optional<size_t> best;
    const std::string* chosen = nullptr;
    for (const std::string& text : candidates) {
      const std::optional<FlatSpec> next = applied(text);
      if (!next) continue;
      const size_t left = distance(*next);
      if (best && left >= *best) continue;
      best = left;
      chosen = &text;
    }
    return chosen != nullptr && try_edit(*chosen);
  }

  /// How many things of the goal are otherwise.
  size_t distance(const FlatSpec& spec) const {
    size_t wrong = 0;
    auto places = previous_siblings(spec), wanted = previous_siblings(goal_);
    for (const SpecNode& node : goal_.nodes) {
      const SpecNode* own = spec.find(node.path);
      if (own == nullptr) {
        ++wrong;
        continue;
      }
      wrong += own->inputs != node.inputs ? 1 : 0;
      wrong += same_named(*own, node) ? 0 : 1;
      wrong += own->output != node.output ? 1 : 0;
      wrong += places[node.path] != wanted[node.path] ? 1 : 0;
    }
    return wrong;
  }

  // What is to be done about which entries.

  bool kept(const std::string& path) const {
    const SpecNode* own = now_.find(path);
    const SpecNode* wanted = goal_.find(path);
    return own != nullptr && wanted != nullptr && !needs_replacing(*own, *wanted);
  }

  /// In one spec, not in the other, while their group is in both.
  static std::vector<std::string> only_in(const FlatSpec& spec, const FlatSpec& other) {
    std::vector<std::string> out;
    for (const SpecNode& node : spec.nodes) {
      if (other.find(node.path) != nullptr) continue;
      const std::string_view group = parent_path(node.path);
      const SpecNode* parent = group.empty() ? nullptr : other.find(group);
      const bool stays = group.empty() || (parent != nullptr && is_plain_group(*parent));
      if (stays) out.push_back(node.path);
    }
    return out;
  }

  std::vector<std::string> to_replace() const {
    std::vector<std::string> out;
    for (const SpecNode& node : goal_.nodes) {
      const SpecNode* own = now_.find(node.path);
      const bool inside = !out.empty() && is_within(node.path, out.back());
      if (own != nullptr && !inside && needs_replacing(*own, node)) out.push_back(node.path);
    }
    return out;
  }

  bool structure_done() const {
    return only_in(now_, goal_).empty() && only_in(goal_, now_).empty() && to_replace().empty();
  }

  // Edits of each kind; true when one was made.

  bool remove_all() {
    const std::vector<std::string> gone = only_in(now_, goal_);
    if (gone.empty()) return false;
    if (gone.size() == 1) return try_edit(fmt::format("- remove: {}\n", gone[0]));
    if (try_edit(fmt::format("- remove:\n    - {}\n", fmt::join(gone, "\n    - ")))) return true;
    bool any = false;
    for (const std::string& path : gone) any = try_edit(fmt::format("- remove: {}\n", path)) || any;
    return any;
  }

  bool replace_all() {
    bool any = false;
    for (const std::string& path : to_replace()) {
      any = try_edit(replacement(goal_, *goal_.find(path))) || any;
    }
    return any;
  }

  static std::string replacement(const FlatSpec& goal, const SpecNode& node) {
    if (!is_plain_group(node)) {
      return fmt::format("- replace:\n    node: {}\n    with: {}\n", node.path, node_text(node));
    }
    return fmt::format("- replace:\n    node: {}\n    with:\n{}", node.path,
                       group_text(goal, node, 6));
  }

  /// Puts in what is missing; with `placeholders` whatever its inputs are, to be wired later.
  bool insert_all(bool placeholders) {
    std::vector<std::string> missing = only_in(goal_, now_);
    bool any = missing.empty() && placeholders;
    while (!missing.empty()) {
      // Neighbours are put in together, as a chain.
      std::vector<std::string> chain = {missing.front()};
      auto previous = previous_siblings(goal_);
      while (chain.size() < missing.size() && previous[missing[chain.size()]] == chain.back()) {
        chain.push_back(missing[chain.size()]);
      }
      missing.erase(missing.begin(), missing.begin() + static_cast<ptrdiff_t>(chain.size()));
      const bool inserted = insert(chain, placeholders);
      any = inserted || any;
      if (placeholders && !inserted) return false;
    }
    return any;
  }

  bool insert(const std::vector<std::string>& chain, bool placeholders) {
    const std::vector<std::string> all = siblings(goal_, parent_path(chain.front()));
    const auto first = std::find(all.begin(), all.end(), chain.front());
    std::vector<std::string> candidates;
    const auto add = [&](std::string_view side, const std::string& anchor) {
      for (const bool brief : {true, false}) {
        candidates.push_back(insertion(side, anchor, chain, brief && !placeholders, placeholders));
      }
    };
    for (auto at = first; at != all.begin();) {
      if (now_.find(*--at) == nullptr) continue;
      add("after", *at);
      break;
    }
    for (auto at = first; at != all.end(); ++at) {
      if (now_.find(*at) == nullptr) continue;
      add("before", *at);
      break;
    }
    return try_best(candidates);
  }

  std::string insertion(std::string_view side, const std::string& anchor,
                        const std::vector<std::string>& chain, bool brief, bool placeholders) {
    FlatSpec goal = goal_;
    if (placeholders) put_placeholders(goal, chain);
    std::string out = fmt::format("- insert:\n    {}: {}\n    nodes:\n", side, anchor);
    std::string previous = anchor;
    if (side == "before") {
      const SpecNode& next = *now_.find(anchor);
      previous = next.inputs.empty() ? "" : next.inputs[0].path;
    }
    for (const std::string& path : chain) {
      const SpecNode& node = *goal.find(path);
      if (is_plain_group(node)) {
        out += fmt::format("      {}:\n{}", last_component(path), group_text(goal, node, 8));
      } else {
        const bool by_default = node.inputs.size() == 1 && node.inputs[0].path == previous;
        out += fmt::format("      {}: {}\n", last_component(path),
                           node_text(node, !(brief && by_default)));
      }
      previous = path;
    }
    return out;
  }

  /// References of new nodes to what is not there yet become references to what is.
  void put_placeholders(FlatSpec& goal, const std::vector<std::string>& chain) const {
    const auto leaf = std::find_if(now_.nodes.begin(), now_.nodes.end(),
                                   [](const SpecNode& node) { return !node.is_group; });
    const auto is_new = [&](const std::string& path) {
      return std::any_of(chain.begin(), chain.end(), [&](const std::string& own) {
        return path == own || is_within(path, own);
      });
    };
    for (SpecNode& node : goal.nodes) {
      if (!is_new(node.path)) continue;
      const auto settle = [&](std::string& path) {
        if (now_.find(path) == nullptr && !is_new(path)) path = leaf->path;
      };
      for (Reference& reference : node.inputs) settle(reference.path);
      for (auto& [name, reference] : node.named) settle(reference.path);
    }
  }

  /// Brings siblings into the goal's order, one at a time.
  bool move_all() {
    for (size_t turn = 0; turn <= goal_.nodes.size(); ++turn) {
      const std::optional<std::vector<std::string>> candidates = next_moves();
      if (!candidates) return true;
      if (!try_best(*candidates)) return false;
    }
    return false;
  }

  /// Ways to move one entry to its place; none when all are in order.
  std::optional<std::vector<std::string>> next_moves() const {
    auto places = previous_siblings(now_), wanted = previous_siblings(goal_);
    for (const SpecNode& node : goal_.nodes) {
      if (places[node.path] == wanted[node.path]) continue;
      const std::string group(parent_path(node.path));
      if (group.empty() && !goal_.is_network) continue;  // the order of sides says nothing
      const std::vector<std::string> order = siblings(now_, group), goal = siblings(goal_, group);
      const std::set<std::string> stay = longest_in_order(order, goal);
      std::vector<std::string> out;
      for (size_t i = 0; i < goal.size(); ++i) {
        if (stay.contains(goal[i])) continue;
        const auto add = [&](std::string_view side, const std::string& sibling) {
          out.push_back(fmt::format("- move: {{node: {}, {}: {}}}\n", goal[i], side,
                                    last_component(sibling)));
        };
        if (i > 0) add("after", goal[i - 1]);
        if (i + 1 < goal.size()) add("before", goal[i + 1]);
        break;
      }
      return out;
    }
    return std::nullopt;
  }

  /// Entries that need not move: a longest common subsequence of two orders.
  static std::set<std::string> longest_in_order(const std::vector<std::string>& order,
                                                const std::vector<std::string>& goal) {
    std::unordered_map<std::string, size_t> rank;
    for (size_t i = 0; i < goal.size(); ++i) rank[goal[i]] = i;
    std::vector<size_t> length(order.size(), 1), from(order.size(), SIZE_MAX);
    size_t best = SIZE_MAX;
    for (size_t i = 0; i < order.size(); ++i) {
      for (size_t k = 0; k < i; ++k) {
        if (rank[order[k]] >= rank[order[i]] || length[k] < length[i]) continue;
        length[i] = length[k] + 1;
        from[i] = k;
      }
      if (best == SIZE_MAX || length[i] > length[best]) best = i;
    }
    std::set<std::string> stay;
    for (; best != SIZE_MAX; best = from[best]) stay.insert(order[best]);
    return stay;
  }

  bool set_all() {
    std::string lines;
    for (const SpecNode& node : goal_.nodes) {
      const SpecNode* own = now_.find(node.path);
      for (const AttributeSpec& attribute : node.attributes) {
        const AttributeSpec* given = own == nullptr ? nullptr : own->find(attribute.name);
        const std::string value = value_text(attribute.value);
        if (given != nullptr && value_text(given->value) == value) continue;
        lines += fmt::format("    {}.{}: {}\n", node.path, attribute.name, value);
      }
    }
    return lines.empty() || try_edit("- set:\n" + lines);
  }

  /// All wiring that differs, in one edit, and then the outputs of groups.
  bool rewire() {
    std::string inputs, outputs;
    for (const SpecNode& node : goal_.nodes) {
      const SpecNode* own = now_.find(node.path);
      if (own == nullptr || !kept(node.path)) continue;
      const std::string_view group = parent_path(node.path);
      if (!same_named(*own, node)) {
        inputs += fmt::format("    {}: {{{}}}\n", node.path, fmt::join(all_inputs(node), ", "));
      } else if (own->inputs != node.inputs && !node.inputs.empty()) {
        std::vector<std::string> paths;
        for (const Reference& one : node.inputs) paths.push_back(relative_path(one.path, group));
        inputs += fmt::format("    {}: [{}]\n", node.path, fmt::join(paths, ", "));
      }
      if (is_plain_group(node) && own->output != node.output) {
        outputs += fmt::format("    {}: {{output: {}}}\n", node.path,
                               relative_path(node.output, node.path));
      }
    }
    return (inputs.empty() || try_edit("- rewire:\n" + inputs)) &&
           (outputs.empty() || try_edit("- rewire:\n" + outputs));
  }

  /// "x: conv", "label: batch/label".
  std::vector<std::string> all_inputs(const SpecNode& node) const {
    const std::string_view group = parent_path(node.path);
    const OpNames::Op& op = ops_.ops.find(node.op)->second;
    std::vector<std::string> out;
    for (size_t k = 0; k < node.inputs.size(); ++k) {
      out.push_back(fmt::format("{}: {}", op.inputs[k], relative_path(node.inputs[k].path, group)));
    }
    for (const auto& [name, reference] : node.named) {
      out.push_back(fmt::format("{}: {}", name, relative_path(reference.path, group)));
    }
    return out;
  }

  FlatSpec now_;
  const FlatSpec& goal_;
  const std::string goal_text_;
  const OpNames& ops_;
  std::string text_;
};

}  // namespace

FlatSpec apply_edit_text(FlatSpec spec, const std::string& text, const OpNames& ops) {
  Library library;
  const yaml::Value& list = library.text(text, "edits", "");
  const yaml::Value blocks;
  const NamedEdits none;
  return apply_edits(std::move(spec), read_edits(substitute(list, {})),
                     {none, library.scope(blocks), library, ops});
}

SpecEdits edits_between(const FlatSpec& before, const FlatSpec& after, const OpNames& ops) {
  for (const bool wire_first : {false, true}) {
    Editor editor(before, after, ops);
    if (editor.done()) return {};
    if (editor.small_steps(wire_first)) return {editor.take(), false};
  }
  Editor editor(before, after, ops);
  if (editor.whole_sides()) return {editor.take(), true};
  throw Error(fmt::format("no edits turn '{}' into '{}'", before.name, after.name));
}

}  // namespace expgraph
