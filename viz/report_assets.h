// report_assets: viz/report.css and viz/report.js as the build found them -> texts.
#pragma once

#include <string_view>

namespace expgraph {

extern const std::string_view kReportStyle;
extern const std::string_view kReportScript;

}  // namespace expgraph
