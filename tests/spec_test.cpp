// The language: documents expand to flat specs, print canonically and read back.
#include <doctest/doctest.h>

#include <string>

#include "core/pipeline.h"
#include "core/spec/graph_spec.h"

namespace expgraph {
namespace {

const std::string kGraphs = std::string(EXPGRAPH_SOURCE_DIR) + "/graphs/";

TEST_CASE("canonical text of every graph of the product reads back to itself") {
  for (const char* file : {"pipelines/dawnbench.yaml", "pipelines/davidnet.yaml",
                           "networks/davidnet.yaml", "networks/dawnbench_resnet18.yaml"}) {
    CAPTURE(file);
    const FlatSpec spec = expand_file(kGraphs + file, {}, op_names());
    const std::string text = to_yaml(spec);
    CHECK(to_yaml(expand_text(text, "again.yaml", "", {}, op_names())) == text);
  }
}

}  // namespace
}  // namespace expgraph
