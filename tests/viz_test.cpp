// viz_test: drawings are deterministic, escape what they are given, keep every node and edge, and
// show in a diff what changed and little else.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <regex>
#include <set>

#include "core/compile.h"
#include "core/support/brief.h"
#include "viz/diff.h"
#include "viz/dot.h"
#include "viz/drawings.h"
#include "viz/escape.h"
#include "viz/graph_picture.h"
#include "viz/layout.h"
#include "viz/stored_drawing.h"
#include "viz/svg.h"

using namespace expgraph;

namespace {

FlatSpec product(const std::string& name) {
  return expand_file(fmt::format("{}/graphs/pipelines/{}.yaml", EXPGRAPH_SOURCE_DIR, name), {},
                     op_names());
}

size_t count(const std::string& text, const std::string& what) {
  size_t found = 0;
  for (size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + 1)) ++found;
  return found;
}

/// A chain of `length` nodes in clusters of five.
Picture chain(int length) {
  Picture picture{.title = "chain"};
  for (int i = 0; i < length; ++i) {
    const std::string group = fmt::format("net/g{}", i / 5);
    if (i % 5 == 0) picture.clusters.push_back({group});
    picture.nodes.push_back({.path = fmt::format("{}/n{}", group, i),
                             .title = fmt::format("n{}", i),
                             .op = "relu",
                             .family = "elementwise"});
    if (i > 0) {
      picture.edges.push_back({.from = picture.nodes[size_t(i) - 1].path,
                               .to = picture.nodes[size_t(i)].path,
                               .label = "8×8"});
    }
  }
  return picture;
}

const Picture::Node& node(const Picture& picture, const std::string& path) {
  const auto found = std::find_if(picture.nodes.begin(), picture.nodes.end(),
                                  [&](const Picture::Node& one) { return one.path == path; });
  REQUIRE_MESSAGE(found != picture.nodes.end(), path);
  return *found;
}

bool inside(const Box& inner, const Box& outer) {
  return inner.left >= outer.left && inner.top >= outer.top &&
         inner.left + inner.width <= outer.left + outer.width &&
         inner.top + inner.height <= outer.top + outer.height;
}

bool overlap(const Box& a, const Box& b) {
  return a.left < b.left + b.width && b.left < a.left + a.width && a.top < b.top + b.height &&
         b.top < a.top + a.height;
}

}  // namespace

TEST_CASE("the product's nets are drawn to the same bytes twice") {
  for (const char* name : {"davidnet", "dawnbench"}) {
    const FlatSpec spec = product(name);
    const std::string svg = to_svg(network_picture(spec, name));
    CHECK(svg == to_svg(network_picture(spec, name)));
    CHECK(count(svg, " id=") == 0);
    CHECK(count(svg, "<!--") == 0);
  }
}

TEST_CASE("every node, edge and cluster of a pipeline is drawn, with shapes of one sample") {
  const FlatSpec spec = product("davidnet");
  const Picture picture = pipeline_picture(spec, "DavidNet");
  const std::string svg = to_svg(picture);
  for (const SpecNode& one : spec.nodes) {
    CHECK_MESSAGE(count(svg, "<title>" + escape_markup(one.path)) >= 1, one.path);
  }
  CHECK(count(svg, " → ") == picture.edges.size());
  CHECK(count(svg, "train/net/prep/relu → train/net/layer1/main/conv: 64×32×32") == 1);
  CHECK(count(svg, "train/batch → train/net/prep/conv: 3×32×32") == 1);
  CHECK(node(picture, "test/net").attributes.front().value == "train/net");
}

TEST_CASE("a page is near 4:3, nodes stand in their clusters and none on another") {
  for (const char* name : {"davidnet", "dawnbench"}) {
    const Picture picture = network_picture(product(name), name);
    const Layout page = lay_out(picture);
    CHECK(page.width / page.height > 0.9);
    CHECK(page.width / page.height < 1.9);
    REQUIRE(page.nodes.size() == picture.nodes.size());
    REQUIRE(page.edges.size() == picture.edges.size());
    for (const auto& a : page.nodes) {
      CHECK(inside(a.box, {0, 0, page.width, page.height}));
      for (const auto& b : page.nodes) CHECK((a.node == b.node || !overlap(a.box, b.box)));
      const std::string& path = picture.nodes[a.node].path;
      for (const Picture::Cluster& cluster : picture.clusters) {
        if (!is_below(path, cluster.path)) continue;
        CHECK(std::any_of(page.clusters.begin(), page.clusters.end(), [&](const auto& placed) {
          return picture.clusters[placed.cluster].path == cluster.path && inside(a.box, placed.box);
        }));
      }
    }
  }
}

TEST_CASE("columns are cut between clusters") {
  const std::vector<size_t> columns = columns_of(chain(20), 4);
  for (size_t i = 0; i < columns.size(); ++i) CHECK(columns[i] == i / 5);
  CHECK(columns_of(chain(3), 5) == std::vector<size_t>{0, 1, 2});
  CHECK(columns_of(Picture{}, 5).empty());
}

TEST_CASE("untrusted names become plain characters in DOT and SVG") {
  const std::string evil = "</text><script>alert(1)</script>\"\\ \x1b[31m\xff&lt;";
  Picture picture{.title = evil, .clusters = {{"a\"]; b"}}};
  picture.nodes.push_back({.path = "a\"]; b/" + evil, .title = evil, .op = "relu"});
  picture.nodes.push_back({.path = "c\\", .title = "c\\", .attributes = {{evil, evil}}});
  picture.edges.push_back({.from = picture.nodes[0].path, .to = "c\\", .label = evil});
  const std::string svg = to_svg(picture);  // Graphviz reads the DOT text back on the way
  CHECK(count(svg, "<script") == 0);
  CHECK(count(svg, "\x1b") == 0);
  CHECK(count(svg, "\xff") == 0);
  CHECK(count(svg, "&amp;lt;") >= 1);
  const std::regex element("<(/?)(svg|title|rect|text|tspan|path|g)\\b[^<>]*>");
  CHECK(std::regex_replace(svg, element, "").find('<') == std::string::npos);
}

TEST_CASE("text is shortened by characters, not bytes") {
  CHECK(shorten("äöüäöü", 5) == "äö…öü");
  CHECK(shorten("short", 5) == "short");
}

TEST_CASE("a diff shows what is added, removed and changed, and what it was before") {
  Picture before = chain(20), after = chain(20);
  after.nodes[7].attributes = {{.name = "size", .value = "2"}};
  before.nodes[7].attributes = {{.name = "size", .value = "4"}};
  after.nodes[8].path = "net/g1/new";
  after.nodes[8].title = "new";
  after.edges[7].to = after.edges[8].from = "net/g1/new";
  const Picture diff = diff_picture(before, after, "edit");
  CHECK(node(diff, "net/g1/n7").change == Change::changed);
  CHECK(node(diff, "net/g1/n7").attributes.front().before == "4");
  CHECK(node(diff, "net/g1/new").change == Change::added);
  CHECK(node(diff, "net/g1/n8").change == Change::removed);
  CHECK(node(diff, "net/g1/n9").change == Change::none);
  const auto edges = [&](Change change) {
    return std::count_if(diff.edges.begin(), diff.edges.end(),
                         [&](const Picture::Edge& edge) { return edge.change == change; });
  };
  CHECK(edges(Change::added) == 2);
  CHECK(edges(Change::removed) == 2);
  const std::string svg = to_svg(diff);
  CHECK(count(svg, "size 4 → 2") == 1);
  CHECK(count(svg, "+ new") == 1);
  CHECK(count(svg, "− n8") == 1);
}

TEST_CASE("unchanged clusters and runs far from a change are one box each in a diff") {
  const Picture before = chain(20);
  Picture after = chain(20);
  after.nodes[5].op = "scale";
  const Picture diff = diff_picture(before, after, "edit");
  CHECK(node(diff, "net/g0").title == "g0");
  CHECK(node(diff, "net/g2").attributes.front().value == "5");
  CHECK(node(diff, "net/g1/n5").attributes.front().before == "relu");
  CHECK(node(diff, "net/g1/n7...n9").title == "n7 … n9");
  CHECK(diff.nodes.size() == 6);
}

TEST_CASE("pictures that are equal have a diff without any colour") {
  const FlatSpec spec = product("davidnet");
  const std::string svg = to_svg(edit_picture(spec, spec, "nothing"));
  for (const char* border : {"#1a7f37", "#cf222e", "#b07a00"}) CHECK(count(svg, border) == 0);
}

TEST_CASE("a network alone is drawn as it is drawn in its pipeline") {
  const std::string file = fmt::format("{}/graphs/networks/davidnet.yaml", EXPGRAPH_SOURCE_DIR);
  const Picture alone = network_picture(expand_file(file, {}, op_names()), "");
  const Picture inside = network_picture(product("davidnet"), "");
  CHECK(alone.nodes.size() == inside.nodes.size());
  CHECK(alone.edges.size() == inside.edges.size());
  CHECK(alone.edges[1].label == inside.edges[1].label);
}

TEST_CASE("every stage's graph is drawn whole: each node, each value that is read") {
  size_t graphs = 0;
  const auto check = [&](const Stage& stage) {
    if (stage.graph == nullptr) return;
    ++graphs;
    const Picture picture = graph_picture(*stage.graph, stage.name);
    size_t reads = stage.graph->results().size() + stage.graph->updates().size();
    for (const Node& one : stage.graph->nodes()) {
      reads += size_t(std::count_if(one.inputs.begin(), one.inputs.end(),
                                    [](ValueId input) { return input.valid(); }));
    }
    CHECK(picture.edges.size() == reads);
    CHECK(std::count_if(picture.nodes.begin(), picture.nodes.end(), [](const Picture::Node& one) {
            return !one.op.empty();
          }) == ptrdiff_t(stage.graph->nodes().size()));
    std::set<std::string> paths;
    for (const Picture::Node& one : picture.nodes) paths.insert(one.path);
    CHECK(paths.size() == picture.nodes.size());
    for (const Picture::Edge& edge : picture.edges) {
      CHECK((paths.contains(edge.from) && paths.contains(edge.to)));
    }
  };
  compile_pipeline(product("davidnet"), {.dump = check});
  CHECK(graphs >= 10);
}

TEST_CASE("drawings may stand in a page, and without their titles are equal for equal nets") {
  const FlatSpec spec = product("davidnet");
  const std::string one = to_svg(network_picture(spec, "one")),
                    two = to_svg(network_picture(spec, "two"));
  CHECK(is_plain_svg(one));
  CHECK(is_plain_svg(to_svg(edit_picture(spec, product("dawnbench"), "<edit>"))));
  CHECK(one != two);
  CHECK(without_title(one) == without_title(two));
  CHECK(is_plain_svg(without_title(one)));
  CHECK(count(without_title(one), "one") == count(one, "one") - 2);
}

TEST_CASE("long numbers are short in drawings unless that would hide a change") {
  CHECK(brief_numbers("[0, 1.3333333333333333, 5e-05, 50000, 0.1]") ==
        "[0, 1.333, 5e-05, 50000, 0.1]");
  CHECK(brief_numbers("conv1.25e7x 12.345678e3 -0.123456") == "conv1.25e7x 1.235e+04 -0.1235");
  Picture picture{.title = "t", .is_diff = true};
  picture.nodes.push_back({.path = "lr",
                           .title = "lr",
                           .op = "o",
                           .attributes = {{.name = "a", .value = "1.33333", .before = "1.2500001"},
                                          {.name = "b", .value = "1.33334", .before = "1.33333"}},
                           .change = Change::changed});
  const std::string dot = to_dot(picture);
  CHECK(count(dot, "a 1.25 → 1.333") == 1);
  CHECK(count(dot, "b 1.33333 → 1.33334") == 1);
}
