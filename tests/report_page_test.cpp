// report_page_test: the report in a real browser: its table sorts, drawings fold and zoom, nothing
// is asked for and nothing complained about; planted scripts do not run.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <cstdlib>
#include <fstream>

#include "core/support/fs.h"
#include "tests/support/browser.h"
#include "tests/support/sample_store.h"
#include "viz/report.h"

namespace expgraph {
namespace {

/// A browser with the report of a store open in it; without Chromium the case is skipped by name.
class OpenReport {
 public:
  explicit OpenReport(const SampleStore& store) {
    const auto program = find_chromium();
    if (!program) return;
    const std::string path = (store.folder() / "report.html").string();
    std::ofstream(path, std::ios::binary)
        << report_page(system_fs(), store.folder(), store.result());
    browser_.emplace(*program);
    browser_->open(path);
    path_ = path;
  }

  /// False, and says so, when there is no browser.
  bool ready() const {
    if (!browser_) MESSAGE("test skipped: there is no chromium (Debian: chromium)");
    return browser_.has_value();
  }

  Browser* operator->() { return &*browser_; }
  std::string text(const std::string& expression) { return browser_->evaluate(expression); }
  int number(const std::string& expression) { return browser_->evaluate(expression); }
  bool is(const std::string& expression) { return browser_->evaluate(expression); }

  void check_silence() const {
    CHECK(browser_->complaints().empty());
    for (const std::string& complaint : browser_->complaints()) MESSAGE(complaint);
    CHECK(browser_->requests() == std::vector<std::string>{"file://" + path_});
  }

 private:
  std::optional<Browser> browser_;
  std::string path_;
};

const std::string kFirstColumn =
    "[...document.querySelectorAll('.results tbody th')].map(c => c.textContent).join(' ')";

/// Clicks the head of the column whose name begins so.
std::string click_head(const std::string& name) {
  return fmt::format(
      "[...document.querySelectorAll('.results thead button')].find(b => "
      "b.textContent.startsWith('{}')).click()",
      name);
}

TEST_CASE("the table sorts down, up and back, and says so") {
  const SampleStore store;
  OpenReport page(store);
  if (!page.ready()) return;
  CHECK(page.text(kFirstColumn) == "base batch wide");
  page->evaluate(click_head("test"));
  CHECK(page.text(kFirstColumn) == "wide batch base");
  CHECK(page.text("document.querySelector('[aria-sort=descending]').textContent")
            .starts_with("test"));
  page->evaluate(click_head("test"));
  CHECK(page.text(kFirstColumn) == "base batch wide");
  CHECK(page.number("document.querySelectorAll('[aria-sort=ascending]').length") == 1);
  page->evaluate(click_head("change"));
  CHECK(page.text(kFirstColumn).ends_with(" base"));  // it has none: last
  page->evaluate(click_head("variant"));
  page->evaluate(click_head("variant"));
  page->evaluate(click_head("variant"));
  CHECK(page.text(kFirstColumn) == "base batch wide");
  page.check_silence();
}

TEST_CASE("sections open by link and all at once; drawings wake, fold, unfold and zoom") {
  const SampleStore store;
  OpenReport page(store);
  if (!page.ready()) return;
  CHECK(page.number("document.querySelectorAll('details.variant[open]').length") == 0);
  page->evaluate("location.hash = '#v2'; new Promise(r => setTimeout(r, 200))");
  CHECK(page.is("document.getElementById('v2').open"));
  page->evaluate("document.querySelector('.all button').click()");
  CHECK(page.number("document.querySelectorAll('details.variant[open]').length") == 3);
  page->evaluate(
      "document.querySelector('#v0 .drawing').scrollIntoView();"
      "new Promise(r => setTimeout(r, 500))");
  REQUIRE(page.is("document.querySelector('#v0 .drawing').classList.contains('live')"));
  const std::string hidden = "document.querySelectorAll('#v0 .hidden').length";
  const auto press = [](const std::string& words) {
    return fmt::format(
        "[...document.querySelectorAll('#v0 .tools button')].find(b => b.textContent === '{}')"
        ".click()",
        words);
  };
  CHECK(page.number(hidden) == 0);
  page->evaluate(press("fold all"));
  CHECK(page.number(hidden) == 4);  // two nodes, an edge, its label
  CHECK(page.text("document.querySelector('#v0 .cluster').getAttribute('aria-expanded')") ==
        "false");
  page->evaluate(
      "document.querySelector('#v0 .cluster').dispatchEvent(new KeyboardEvent('keydown', "
      "{key: 'Enter'}))");
  CHECK(page.number(hidden) == 0);
  const std::string width = "document.querySelector('#v0 .drawing svg').viewBox.baseVal.width";
  CHECK(page.number(width) == 200);
  page->evaluate(press("+"));
  CHECK(page.number(width) == 160);
  page->evaluate(press("fit"));
  CHECK(page.number(width) == 200);
  page.check_silence();
}

TEST_CASE("planted scripts do not run") {
  SampleStore store;
  const std::string evil = "<script>window.hit = 1</script>\"><img src=x onerror=window.hit=1>";
  StudyResult& result = store.result();
  result.study = result.note = result.command = evil;
  for (VariantResult& variant : result.variants) {
    variant.title = variant.note = evil;
    for (auto& [name, value] : variant.settings) value += evil;
  }
  store.write("base/0-k/net.svg",
              "<svg xmlns=\"http://www.w3.org/2000/svg\"><script>window.hit = "
              "1</script></svg>");
  OpenReport page(store);
  if (!page.ready()) return;
  CHECK(page.is("window.hit === undefined"));
  CHECK(page.text("document.querySelector('h1').textContent") == evil);
  // The policy stops what the page itself would let in.
  page->evaluate(
      "document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=window.hit=1>')");
  CHECK(page.is("window.hit === undefined"));
}

TEST_CASE("nothing hangs over a phone's edge, in light and in dark") {
  const SampleStore store;
  OpenReport page(store);
  if (!page.ready()) return;
  page->call("Emulation.setDeviceMetricsOverride",
             {{"width", 390}, {"height", 844}, {"deviceScaleFactor", 2}, {"mobile", true}});
  page->evaluate("document.querySelector('.all button').click()");
  for (const char* scheme : {"light", "dark"}) {
    page->call("Emulation.setEmulatedMedia",
               {{"features", {{{"name", "prefers-color-scheme"}, {"value", scheme}}}}});
    CHECK(page.number("document.documentElement.scrollWidth") == 390);
    const bool dark =
        page.text("getComputedStyle(document.body).backgroundColor") != "rgb(255, 255, 255)";
    CHECK(dark == (std::string(scheme) == "dark"));
  }
  page.check_silence();
}

}  // namespace
}  // namespace expgraph
