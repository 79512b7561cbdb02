// record_json: a RunRecord <-> JSON, exact to the bit, for manifests and summaries.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string_view>

#include "core/train/record.h"

namespace expgraph {

nlohmann::ordered_json to_json(const RunRecord& record);

/// Throws Error naming `source` when something is missing, of another kind or not of one length.
RunRecord parse_record(const nlohmann::ordered_json& json, std::string_view source);

}  // namespace expgraph
