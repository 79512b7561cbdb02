// recipes_test: every study of experiments/ trains whole in its profile `quick`, on fewer images.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "core/study/study.h"
#include "tests/support/recipe.h"
#include "tests/support/tiny_study.h"

using namespace expgraph;
namespace fs = std::filesystem;

namespace {

const fs::path kFolder = EXPGRAPH_SOURCE_DIR "/experiments";
constexpr const char* kTrainImages = "600";  // whitening wants 500
constexpr const char* kTestImages = "500";

Study quick(const fs::path& file) {
  const StudyOptions options{.profile = "quick",
                             .only = {},
                             .set = {{"train_images", kTrainImages}, {"test_images", kTestImages}},
                             .seeds = 1};
  return read_study(file.string(), options, op_names());
}

void check_record(const RunRecord& record) {
  CHECK(record.finished());
  REQUIRE_FALSE(record.history.empty());
  for (const double metric : record.history.back().metrics) CHECK(std::isfinite(metric));
}

/// The test's name is that of the study's file.
void train() {
  const fs::path file = kFolder / doctest::getContextOptions()->currentTest->m_name;
  const Study study = quick(file);
  const TestFolder folder;
  std::vector<std::string> notes;
  StudyRunOptions options = options_in(folder, notes);
  options.backend = "onednn";
  options.threads = 0;
  const StudyOutcome outcome = run_study(study, system_fs(), options);
  CHECK(outcome.failed == 0);
  REQUIRE(outcome.result.variants.size() == study.variants.size());
  for (const VariantResult& variant : outcome.result.variants) {
    CAPTURE(variant.name);
    REQUIRE(variant.runs.size() == 1);
    REQUIRE(variant.runs[0].record.has_value());
    check_record(*variant.runs[0].record);
  }
}

[[maybe_unused]] const bool registered = [] {
  static std::vector<std::string> names;  // doctest keeps pointers to them
  for (const auto& entry : fs::directory_iterator(kFolder)) {
    names.push_back(entry.path().filename().string());
  }
  std::sort(names.begin(), names.end());
  for (const std::string& name : names) {
    const doctest::detail::TestCase blank(train, __FILE__, __LINE__,
                                          doctest_detail_test_suite_ns::getCurrentTestSuite());
    doctest::detail::regTest(doctest::detail::TestCase(blank) * name.c_str());
  }
  return true;
}();

}  // namespace
