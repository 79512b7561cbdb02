// choose_precision: `precision: auto` is measured once for a study, said, and kept in its runs.
#include "core/choose_precision.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdio>

#include "core/precision_of.h"
#include "tests/support/attribute.h"
#include "tests/support/tiny_study.h"

using namespace expgraph;

namespace {

FlatSpec tiny(const std::string& precision) {
  FlatSpec spec = tiny_spec("batch: 8, test_batch: 8, drop_last: true");
  set_of_train(spec, "precision", precision);
  return spec;
}

}  // namespace

TEST_CASE("only a pipeline that asks is measured") {
  CHECK(!choose_precision(tiny("bf16"), load_backend("reference"), 1));
  CHECK(!choose_precision(tiny_spec(), load_backend("reference"), 1));
}

TEST_CASE("auto is fp32 or bf16, and both times are said") {
  const auto choice = choose_precision(tiny("auto"), load_backend("onednn"), 1);
  REQUIRE(choice);
  const bool is_bf16 = choice->name == "bf16";
  CHECK((is_bf16 || choice->name == "fp32"));
  double bf16 = 0, fp32 = 0;
  const int found =
      std::sscanf(choice->text.c_str(),
                  "a step takes %lf ms in bf16, %lf ms in fp32 (medians of 3 steps)", &bf16, &fp32);
  REQUIRE(found == 2);
  CHECK(is_bf16 == (bf16 < 0.9 * fp32));
  CHECK(precision_of(in_precision(tiny("auto"), choice->name)) ==
        (is_bf16 ? DType::bf16 : DType::f32));
}

TEST_CASE("where neither keeps to the budget, that is the error") {
  FlatSpec spec = tiny("auto");
  set_of_train(spec, "memory", "1B");
  std::string message;
  try {
    choose_precision(spec, load_backend("reference"), 1);
  } catch (const Error& error) {
    message = error.what();
  }
  CHECK(message.find("'memory' is 1B") != std::string::npos);
}

TEST_CASE("who does not measure says so") {
  CHECK_THROWS_WITH(precision_of(tiny("auto")),
                    "precision 'auto' is measured by 'run' and 'bench' alone");
}

TEST_CASE("a study measures once, for all its variants") {
  TestFolder folder;
  Study study = tiny_study({{"base", "epochs: 1"}, {"longer", "epochs: 2"}}, 1);
  for (Variant& variant : study.variants)
    variant.spec.find("train")->attributes.push_back(attribute("precision", "auto"));
  std::vector<std::string> notes;
  const StudyOutcome outcome = run_study(study, system_fs(), options_in(folder, notes));
  CHECK(outcome.failed == 0);
  CHECK(std::ranges::count_if(notes, [](const std::string& note) {
          return note.starts_with("precision auto: ") && note.find("; 'base': a step takes ") > 0;
        }) == 1);
}
