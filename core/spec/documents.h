// documents: a pipeline or network file -> a FlatSpec, over files that are read once.
#pragma once

#include <string>

#include "core/spec/expression.h"
#include "core/spec/graph_spec.h"
#include "core/spec/library.h"

namespace expgraph {

/// expand_file with a library, for callers that expand many documents (a study's variants).
FlatSpec expand_document(Library& library, const std::string& path, const Location& asked_at,
                         const Parameters& parameters, const OpNames& ops);

/// The values of all parameters of a pipeline file, defaults included.
Bindings document_bindings(Library& library, const std::string& path, const Location& asked_at,
                           const Parameters& parameters);

}  // namespace expgraph
