// curves: the results of a study -> plots of metrics and learning rate over epochs and seconds.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "core/study/result.h"
#include "viz/plot.h"

namespace expgraph {

/// A line is the mean over seeds, its band ± one standard deviation (two seeds or more); over
/// seconds a point stands at the mean of the seeds' times.
struct StudyPlots {
  std::vector<std::pair<std::string, Plot>> epochs, seconds;  ///< name for a file, plot
  size_t shown = 0;                                           ///< variants that have a line
  size_t finished = 0;                                        ///< variants that could have one
};

/// Every metric, and the learning rate. Of more than 12 variants the first, the last and those with
/// the best main metric are shown.
StudyPlots study_plots(const StudyResult& result);

/// Of one variant over epochs: the main metric beside its base's, losses, the learning rate.
std::vector<Plot> variant_plots(const StudyResult& result, const VariantResult& variant);

}  // namespace expgraph
