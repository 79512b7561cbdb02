// study_file: what a study has so far <-> runs/<study>/study.json, and its table as text.
#pragma once

#include <filesystem>

#include "core/study/result.h"
#include "core/support/fs.h"

namespace expgraph {

/// study.json (which runs there are; their records stay in their folders), table.md, table.tsv,
/// table.json.
void write_study(Fs& fs, const std::filesystem::path& folder, const StudyResult& result);

}  // namespace expgraph
