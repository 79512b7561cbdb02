// report_test: the report of a store is whole, says the same twice, and takes names and files of
// the store for what they are: untrusted text.
#include "viz/report.h"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <fstream>
#include <regex>

#include "core/study/table.h"
#include "core/support/fs.h"
#include "tests/support/sample_store.h"
#include "viz/curves.h"
#include "viz/plot.h"
#include "viz/stored_drawing.h"

namespace expgraph {
namespace {

namespace fs = std::filesystem;

size_t count(const std::string& text, const std::string& what) {
  size_t found = 0;
  for (size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + 1)) ++found;
  return found;
}

std::string page_of(const SampleStore& store, const ReportOptions& options = {}) {
  return report_page(system_fs(), store.folder(), store.result(), options);
}

/// The markup between the page's style and its script.
std::string body_of(const std::string& page) {
  const size_t begin = page.find("<body>"), end = page.find("<script>");
  REQUIRE(begin != std::string::npos);
  REQUIRE(end != std::string::npos);
  return page.substr(begin, end - begin);
}

TEST_CASE("equal stores give equal bytes") {
  const SampleStore one, other;
  CHECK(page_of(one) == page_of(other));
  for (const SampleStore* store : {&one, &other}) {
    write_plots(system_fs(), store->folder(), store->result());
  }
  int plots = 0;
  for (const auto& entry : fs::directory_iterator(one.folder() / "plots")) {
    ++plots;
    CHECK(system_fs().read(entry.path(), 1 << 20) ==
          system_fs().read(other.folder() / "plots" / entry.path().filename(), 1 << 20));
  }
  CHECK(plots == 10);  // four metrics and the learning rate, over epochs and over seconds
}

TEST_CASE("the page has the table, curves, a section a variant with its drawings, and commands") {
  const SampleStore store;
  const std::string body = body_of(page_of(store));
  CHECK(count(body, "<details class=\"variant\"") == 3);
  CHECK(count(body, "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"plot\"") == 10 + 3 * 3);
  // The second variant's net is the first's, so it is there once.
  CHECK(count(body, "<figure class=\"drawing\">") == 2 + 2);
  CHECK(count(body, "the same as of <a href=\"#v0\">base</a>") == 1);
  CHECK(count(body, "expgraph run study.yaml --seeds 2 --only wide\n") == 1);
  CHECK(count(body, "<th scope=\"row\"><a href=\"#v2\">") == 1);
  CHECK(count(body, "a machine, 2 cores") >= 1);
  CHECK(count(body, "<dt>batch.size</dt><dd>16 → 32</dd>") == 1);
}

TEST_CASE("nothing is fetched: no address but links to files of the store, and a policy") {
  const SampleStore store;
  const std::string page = page_of(store);
  CHECK(count(page, "default-src 'none'; style-src 'sha256-") == 1);
  CHECK(count(page, "<script>") == 1);
  CHECK(count(page, "<style>") == 1);
  for (const char* what : {" src=", "<link", "<iframe", "<object", "@import", "url(",
                           " style=", "fetch(", "XMLHttpRequest", "import("}) {
    CHECK_MESSAGE(count(page, what) == 0, what);
  }
  const std::regex address("https?://[^\"' <]*");
  for (std::sregex_iterator at(page.begin(), page.end(), address), end; at != end; ++at) {
    CHECK(at->str() == "http://www.w3.org/2000/svg");
  }
  const std::regex link("href=\"([^\"]*)\"");
  for (std::sregex_iterator at(page.begin(), page.end(), link), end; at != end; ++at) {
    const std::string to = (*at)[1];
    CHECK_MESSAGE((to.starts_with("#") || to.starts_with("./")), to);
  }
}

TEST_CASE("planted names and files become plain text or are left out") {
  SampleStore store;
  StudyResult& result = store.result();
  const std::string script = "<script>alert(1)</script>", image = "\"><img src=x onerror=alert(1)>";
  result.study = script;
  result.note = result.command = result.profile = image;
  for (VariantResult& variant : result.variants) {
    variant.title = variant.note = script + image;
    for (auto& [name, value] : variant.settings) name = value = image + value;
    for (SeedResult& run : variant.runs) run.error = script;
  }
  result.variants[1].runs[0].folder = "javascript:alert(1)//../../x";
  result.variants[2].runs[1].folder = "../../../etc";
  store.write("base/0-k/edit.svg",
              "<svg xmlns=\"http://www.w3.org/2000/svg\"><script>x</script></svg>");
  store.write("base/0-k/environment.json", "{\"cpu\": \"</dd><script>alert(1)</script>\"}");
  const std::string body = body_of(page_of(store));
  const std::regex element(
      "</?(body|header|h1|h2|h3|p|nav|a|main|section|div|table|thead|tbody|tr|th|td|span|details|"
      "summary|strong|dl|dt|dd|pre|br|figure|svg|title|rect|text|tspan|path|g|circle)\\b[^<>]*>");
  CHECK(std::regex_replace(body, element, "").find('<') == std::string::npos);
  CHECK(count(body, "onerror") == count(body, "&lt;img src=x onerror=alert(1)&gt;"));
  CHECK(count(body, "href=\"javascript") == 0);
  CHECK(count(body, "base/0-k/edit.svg is not a drawing of expgraph; it is left out") == 1);
}

TEST_CASE("drawings are checked before they are let in") {
  const auto svg = [](const std::string& inside) {
    return "<svg width=\"9\">" + inside + "</svg>\n";
  };
  CHECK(is_plain_svg(svg("<g class=\"node\"><title>a &lt; b</title><rect x=\"1\"/></g>")));
  for (const char* inside :
       {"<script>1</script>", "<g onclick=\"x\"></g>", "<a href=\"x\"></a>", "<g></rect>",
        "<rect fill=\"url(https://x)\"/>", "<style>*{}</style>", "<g class='x'></g>", "<g", "<g>",
        "<!-- x -->", "<rect x=\"1\"y=\"2\"/>", "<image x=\"1\"/>", "<text x=\"&#106;\"></text>"}) {
    CHECK_MESSAGE(!is_plain_svg(svg(inside)), inside);
  }
  CHECK_FALSE(is_plain_svg("<svg ></svg><script></script>"));
  CHECK_FALSE(is_plain_svg("text"));
}

TEST_CASE("a large study stays usable: drawings and curves beyond the bounds are links") {
  const SampleStore store;
  const std::string body = body_of(page_of(store, {.drawing_bytes = 1000, .most_curves = 1}));
  CHECK(count(body, "<figure class=\"drawing\">") == 0);
  CHECK(count(body, "<a href=\"./base/0-k/net.svg\">net.svg</a>") == 1);
  CHECK(count(body, "class=\"plot\"") == 10 + 3);
}

TEST_CASE("of many variants the first, the last and the best have lines in the study's plots") {
  const SampleStore store;
  StudyResult result = store.result();
  for (int k = 0; k < 30; ++k) {
    result.variants.push_back(result.variants[0]);
    result.variants.back().name = result.variants.back().title = fmt::format("more{}", k);
    for (SeedResult& run : result.variants.back().runs) {
      run.record->history.back().metrics[3] = k == 17 ? 0.99 : 0.01 * k;
    }
  }
  const StudyPlots plots = study_plots(result);
  CHECK(plots.shown == 12);
  CHECK(plots.finished == 33);
  const std::vector<Plot::Line>& lines = plots.epochs[0].second.lines;
  CHECK(lines.front().name == "base");
  CHECK(lines.back().name == "more29");
  CHECK(std::any_of(lines.begin(), lines.end(),
                    [](const auto& line) { return line.name == "more17"; }));
}

TEST_CASE("a line is the mean over seeds, its band a standard deviation on each side") {
  const SampleStore store;
  const StudyPlots plots = study_plots(store.result());
  const Plot& accuracy = plots.epochs[0].second;
  CHECK(accuracy.title == "test/accuracy");
  CHECK(accuracy.y_label == "%");
  const Plot::Point& last = accuracy.lines[0].points.back();
  CHECK(last.x == 3);
  CHECK(last.y == doctest::Approx(65));  // 60 % and 70 %
  CHECK(last.high - last.y == doctest::Approx(7.0711));
  CHECK(plots.seconds[0].second.lines[0].points.back().x == doctest::Approx(31.5));
}

TEST_CASE("ticks stand at multiples of 1, 2 and 5") {
  CHECK(ticks(0, 10) == std::vector<double>{0, 2, 4, 6, 8, 10});
  CHECK(ticks(0.93, 0.951).size() >= 3);
  for (const double high : {1e-6, 0.3, 7.0, 33.0, 1e5}) {
    const size_t marks = ticks(0, high).size();
    CHECK(marks >= 3);
    CHECK(marks <= 8);
  }
}

TEST_CASE("a plot of nothing, of one point and of one value is drawn") {
  for (const auto& points : std::vector<std::vector<Plot::Point>>{
           {}, {{1, 2, 2, 2}}, {{1, 5, 5, 5}, {2, 5, 5, 5}}, {{0, 0, 0, 0}, {1, 0, 0, 0}}}) {
    const std::string svg =
        to_svg(Plot{.title = "<t>", .x_label = "x", .y_label = "", .lines = {{"a", points}}});
    CHECK(count(svg, "nan") == 0);
    CHECK(count(svg, "inf") == 0);
    CHECK(count(svg, "&lt;t&gt;") == 2);
  }
}

TEST_CASE("the LaTeX table escapes names and keeps one row a variant") {
  SampleStore store;
  store.result().variants[0].title = "100% \\input{x} a_b & $c$ ± {d}";
  const std::string text = to_latex(make_table(store.result()));
  CHECK(count(text, "100\\% \\textbackslash{}input\\{x\\} a\\_b \\& \\$c\\$ $\\pm$ \\{d\\}") == 1);
  CHECK(count(text, " \\\\\n") == 4);
  CHECK(text.find("\\begin{tabular}{l") != std::string::npos);
}

}  // namespace
}  // namespace expgraph
