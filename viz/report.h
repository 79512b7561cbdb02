// report: what the run store has of a study -> one HTML page, and its plots as SVG files.
#pragma once

#include <filesystem>
#include <string>

#include "core/study/result.h"
#include "core/support/fs.h"

namespace expgraph {

struct ReportOptions {
  std::string links;  ///< from the page to the study's folder, for links to its files: "", "../s/"
  size_t drawing_bytes = size_t{12} << 20;  ///< drawings beyond are links to their files
  size_t most_curves = 200;                 ///< variants with curves of their own
};

/// A page that stands alone: no file, no address is fetched, no foreign script. Names and files of
/// the store are untrusted. Equal stores give equal bytes. `folder` is the study's.
std::string report_page(Fs& files, const std::filesystem::path& folder, const StudyResult& result,
                        const ReportOptions& options = {});

/// `<folder>/plots/*.svg`, those of the page.
void write_plots(Fs& files, const std::filesystem::path& folder, const StudyResult& result);

}  // namespace expgraph
