// spec_edits: two flat specs -> edits, as YAML, that turn the one into the other.
#pragma once

#include <string>

#include "core/spec/graph_spec.h"

namespace expgraph {

struct SpecEdits {
  std::string text;    ///< a list of edits; "" when the specs are equal but for their names
  bool whole = false;  ///< no finer edits were found: each side is replaced whole
};

/// What is found has been applied to `before` and has given `after`. Error when no edits can (two
/// networks whose values are different nodes). Both are pipelines or both networks.
SpecEdits edits_between(const FlatSpec& before, const FlatSpec& after, const OpNames& ops);

/// The edits of `text` applied to `spec`, as a study applies them.
FlatSpec apply_edit_text(FlatSpec spec, const std::string& text, const OpNames& ops);

}  // namespace expgraph
