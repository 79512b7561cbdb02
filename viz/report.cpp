// report: what the run store has of a study -> one HTML page, and its plots as SVG files.
#include "viz/report.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>

#include "core/study/table.h"
#include "core/study/table_cells.h"
#include "core/support/brief.h"
#include "core/support/hash.h"
#include "viz/curves.h"
#include "viz/markup.h"
#include "viz/report_assets.h"
#include "viz/stored_drawing.h"

namespace expgraph {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kFileLimit = int64_t{16} << 20;
constexpr size_t kMostSettings = 5;  // columns before the figures

/// "sha256-..." of a style or script, as a Content-Security-Policy names it.
std::string policy_hash(std::string_view text) {
  constexpr std::string_view digits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  const std::string hex = content_hash(text) + "00";  // 33 bytes: 11 groups of three
  std::string out;
  for (size_t at = 0; at < hex.size(); at += 6) {
    const unsigned long group = std::stoul(hex.substr(at, 6), nullptr, 16);
    for (const int shift : {18, 12, 6, 0}) out += digits[(group >> shift) & 63];
  }
  out.back() = '=';
  return "sha256-" + out;
}

/// A path for an address: what could mean something else becomes %XX.
std::string address(const std::string& path) {
  std::string out;
  for (const char c : path) {
    const auto byte = static_cast<unsigned char>(c);
    const bool plain = byte < 0x80 && (std::isalnum(byte) != 0 ||
                                       std::string_view("/._-").find(c) != std::string_view::npos);
    out += plain ? std::string(1, c) : fmt::format("%{:02X}", byte);
  }
  return out;
}

/// Names and values of a run's environment.json that tell where it was run.
std::vector<std::pair<std::string, std::string>> facts_of(const nlohmann::ordered_json& json) {
  std::vector<std::pair<std::string, std::string>> out;
  for (const auto& [name, value] : json.items()) {
    if (value.is_object() || name == "training") continue;
    out.emplace_back(name, value.is_string() ? value.get<std::string>() : value.dump());
  }
  return out;
}

std::string plural(size_t count, std::string_view what) {
  return fmt::format("{} {}{}", count, what, count == 1 ? "" : "s");
}

class Page : Markup {
 public:
  Page(Fs& files, fs::path folder, const StudyResult& result, const ReportOptions& options)
      : files_(files),
        folder_(std::move(folder)),
        result_(result),
        options_(options),
        table_(make_table(result)) {}

  std::string write() {
    write_head();
    write_table();
    write_curves();
    write_variants();
    write_environment();
    put("</main>\n<script>{}</script>\n</body>\n</html>\n", kReportScript);
    return std::move(out_);
  }

 private:
  static std::string safe(std::string_view text) { return escape_markup(text); }

  static std::string title_of(const VariantResult& variant) {
    return variant.title.empty() ? variant.name : variant.title;
  }

  void write_head() {
    size_t runs = 0, finished = 0;
    for (const VariantResult& variant : result_.variants) {
      for (const SeedResult& run : variant.runs) {
        ++runs;
        finished += run.record ? 1 : 0;
      }
    }
    put("<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src "
        "'{}'; "
        "script-src '{}'; base-uri 'none'; form-action 'none'\">\n"
        "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
        "<title>{}</title>\n<style>{}</style>\n</head>\n<body>\n<header>\n<h1>{}</h1>\n",
        policy_hash(kReportStyle), policy_hash(kReportScript), safe(result_.study), kReportStyle,
        safe(result_.study));
    if (!result_.note.empty()) put("<p>{}</p>\n", safe(result_.note));
    put("<p class=\"quiet\">{}{} · {} · {} of {} finished</p>\n",
        result_.profile.empty() ? "" : fmt::format("profile {} · ", safe(result_.profile)),
        safe(result_.backend), plural(result_.variants.size(), "variant"), finished,
        plural(runs, "run"));
    put("<nav><a href=\"#results\">results</a><a href=\"#curves\">curves</a>"
        "<a href=\"#variants\">variants</a><a href=\"#environment\">environment</a></nav>\n"
        "</header>\n<main>\n");
  }

  // The table.

  void write_table() {
    put("<section id=\"results\">\n<h2>Results</h2>\n<div class=\"wide\"><table "
        "class=\"results\">\n"
        "<thead><tr>");
    const std::vector<Column> columns = ordered_columns();
    for (const Column& column : columns) {
      std::string head;
      for (const std::string& word : column.words) head += (head.empty() ? "" : "\n") + word;
      put("<th scope=\"col\"{}>{}</th>", column.is_text ? " class=\"text\"" : "",
          markup_lines(head));
    }
    put("</tr></thead>\n<tbody>\n");
    for (size_t row = 0; row < table_.rows.size(); ++row) {
      put("<tr>");
      for (size_t c = 0; c < columns.size(); ++c) write_cell(columns[c], row, c == 0);
      put("</tr>\n");
    }
    put("</tbody></table></div>\n");
    for (const std::string& sentence : table_.caption()) {
      put("<p class=\"quiet\">{}</p>\n", safe(sentence));
    }
    put("</section>\n");
  }

  /// The variant, what differs, the figures; what differs comes last when it would push the figures
  /// out of sight.
  std::vector<Column> ordered_columns() const {
    std::vector<Column> columns = make_columns(table_);
    const size_t settings = table_.settings.size();
    if (settings > kMostSettings) {
      const auto first = columns.begin() + 1;
      std::rotate(first, first + static_cast<std::ptrdiff_t>(settings), columns.end());
    }
    return columns;
  }

  /// Line breaks stay.
  static std::string markup_lines(const std::string& text) {
    std::string out;
    for (size_t at = 0; at <= text.size();) {
      const size_t end = std::min(text.find('\n', at), text.size());
      out += (at == 0 ? "" : "\n") + safe(text.substr(at, end - at));
      at = end + 1;
    }
    return out;
  }

  void write_cell(const Column& column, size_t row, bool first) {
    const Cell& cell = column.cells[row];
    if (first) {
      put("<th scope=\"row\"><a href=\"#v{}\">{}</a></th>", row, safe(cell.text));
      return;
    }
    const std::string kind = column.is_text ? " class=\"text\"" : "";
    if (cell.spread.empty()) {
      put("<td{}>{}</td>", kind, safe(cell.text));
    } else {
      put("<td{} data-value=\"{}\">{}<span class=\"spread\">{}</span></td>", kind, safe(cell.text),
          safe(cell.text), safe(cell.spread));
    }
  }

  // Curves of the study.

  void write_curves() {
    const StudyPlots plots = study_plots(result_);
    put("<section id=\"curves\">\n<h2>Curves</h2>\n");
    if (plots.shown == 0) {
      put("<p class=\"quiet\">no run is finished</p>\n</section>\n");
      return;
    }
    if (plots.shown < plots.finished) {
      put("<p class=\"quiet\">{} of {}: the first, the last and the best of the others; each has "
          "its "
          "own curves below</p>\n",
          plots.shown, plural(plots.finished, "variant"));
    }
    put("<p class=\"quiet\">lines: mean over seeds; bands: ± one standard deviation</p>\n");
    write_plots("over epochs", plots.epochs, true);
    write_plots("over seconds of training", plots.seconds, false);
    put("</section>\n");
  }

  void write_plots(std::string_view title, const std::vector<std::pair<std::string, Plot>>& plots,
                   bool open) {
    put("<details{}><summary>{}</summary>\n<div class=\"plots\">\n", open ? " open" : "", title);
    for (const auto& [name, plot] : plots) out_ += to_svg(plot);
    put("</div>\n</details>\n");
  }

  // One section a variant.

  void write_variants() {
    put("<section id=\"variants\">\n<h2>Variants</h2>\n<p class=\"all\"></p>\n");
    for (size_t k = 0; k < result_.variants.size(); ++k) write_variant(k);
    put("</section>\n");
  }

  void write_variant(size_t k) {
    const VariantResult& variant = result_.variants[k];
    put("<details class=\"variant\" id=\"v{}\"><summary><strong>{}</strong>{}{}</summary>\n", k,
        safe(title_of(variant)), figure_of(table_.rows[k]),
        variant.note.empty() ? ""
                             : fmt::format(" <span class=\"quiet\">{}</span>", safe(variant.note)));
    write_settings(variant);
    write_drawing(variant, "edit.svg", fmt::format("changes against {}", base_title(variant)),
                  edits_, k);
    write_drawing(variant, "net.svg", "network", nets_, k);
    if (k < options_.most_curves) {
      const std::vector<Plot> plots = variant_plots(result_, variant);
      if (!plots.empty()) put("<h3>curves</h3>\n<div class=\"plots\">\n");
      for (const Plot& plot : plots) out_ += to_svg(plot);
      if (!plots.empty()) put("</div>\n");
    }
    write_runs(variant);
    put("</details>\n");
  }

  std::string base_title(const VariantResult& variant) const {
    const VariantResult* base = result_.find(variant.base);
    return base == nullptr ? variant.base : title_of(*base);
  }

  /// The main metric and its change, at the right of a section's head.
  std::string figure_of(const TableRow& row) const {
    if (row.metric.n == 0) return "";
    const double scale = table_.percent ? 100 : 1;
    const int decimals = table_.percent ? 2 : 4;
    std::string out = fmt::format("{:.{}f}", scale * row.metric.mean, decimals);
    if (row.change) out += fmt::format(" ({:+.{}f})", scale * row.change->mean, decimals);
    return fmt::format(" <span class=\"figure\">{}</span>", out);
  }

  /// What differs from the base, of the settings that differ anywhere.
  void write_settings(const VariantResult& variant) {
    const VariantResult* base = result_.find(variant.base);
    std::string lines;
    for (const auto& [name, value] : variant.settings) {
      std::string before = value;
      for (const auto& [other, text] : base == nullptr ? variant.settings : base->settings) {
        if (other == name) before = text;
      }
      if (before == value) continue;
      const auto shown = [](const std::string& text) {
        return text.empty() ? std::string("–") : safe(brief_numbers(text));
      };
      lines +=
          fmt::format("<dt>{}</dt><dd>{} → {}</dd>\n", safe(name), shown(before), shown(value));
    }
    if (!lines.empty()) put("<h3>settings</h3>\n<dl>\n{}</dl>\n", lines);
  }

  /// A file of a run of the store; none when it is not there or not within the study's folder.
  std::optional<std::string> stored(const SeedResult& run, const char* name) {
    const fs::path within = fs::path(run.folder).lexically_normal();
    if (within.is_absolute() || within.empty() || *within.begin() == "..") return std::nullopt;
    const fs::path path = folder_ / within / name;
    std::error_code none;
    if (!fs::is_regular_file(path, none)) return std::nullopt;
    return files_.read(path, kFileLimit);
  }

  std::string link_to(const SeedResult& run, std::string_view name) const {
    return fmt::format("./{}{}/{}", address(options_.links), address(run.folder), name);
  }

  /// The drawing once, and a reference to it for variants that have the same.
  void write_drawing(const VariantResult& variant, const char* name, const std::string& title,
                     std::map<std::string, size_t>& known, size_t k) {
    if (variant.runs.empty()) return;
    const SeedResult& run = variant.runs.front();
    const std::optional<std::string> file = stored(run, name);
    if (!file) return;
    put("<h3>{}</h3>\n", safe(title));
    if (!is_plain_svg(*file)) {
      put("<p class=\"bad\">{}/{} is not a drawing of expgraph; it is left out</p>\n",
          safe(run.folder), name);
      return;
    }
    const std::string svg = without_title(*file);
    const auto [same, is_new] = known.emplace(content_hash(svg), k);
    if (!is_new) {
      put("<p>the same as of <a href=\"#v{}\">{}</a></p>\n", same->second,
          safe(title_of(result_.variants[same->second])));
      return;
    }
    drawn_ += svg.size();
    if (drawn_ > options_.drawing_bytes) {
      put("<p><a href=\"{0}\">{1}</a></p>\n", link_to(run, name), name);
      return;
    }
    put("<figure class=\"drawing\">{}</figure>\n", svg);
  }

  void write_runs(const VariantResult& variant) {
    if (variant.runs.empty()) return;
    const RunRecord* sample = nullptr;
    for (const SeedResult& run : variant.runs) {
      if (run.record) sample = &*run.record;
    }
    put("<h3>runs</h3>\n<div class=\"wide\"><table>\n<thead><tr><th>seed</th>");
    if (sample != nullptr) {
      for (const MetricInfo& metric : sample->metrics) put("<th>{}</th>", safe(metric.name));
    }
    put("<th>seconds</th><th class=\"text\">files</th></tr></thead>\n<tbody>\n");
    for (const SeedResult& run : variant.runs) write_run(run, sample);
    put("</tbody></table></div>\n<h3>to run it again</h3>\n<pre>{}</pre>\n"
        "<p class=\"quiet\">spec.yaml is complete; its path starts at this page</p>\n",
        markup_lines(command_of(variant)));
  }

  void write_run(const SeedResult& run, const RunRecord* sample) {
    put("<tr><td>{}</td>", run.seed);
    const size_t metrics = sample == nullptr ? 0 : sample->metrics.size();
    for (size_t k = 0; k < metrics; ++k) {
      if (!run.record || run.record->history.empty() || k >= run.record->metrics.size()) {
        put("<td>–</td>");
        continue;
      }
      const double value = run.record->history.back().metrics[k];
      put("<td>{}</td>", run.record->metrics[k].percent ? fmt::format("{:.2f} %", 100 * value)
                                                        : fmt::format("{:.4f}", value));
    }
    if (run.record) {
      put("<td>{:.1f}</td>", run.record->clocks.training());
    } else {
      put("<td class=\"bad\">{}</td>", run.error.empty() ? "not finished" : "failed");
    }
    put("<td class=\"text\"><a href=\"{}\">{}</a>", link_to(run, ""), safe(run.folder));
    if (!run.error.empty()) put("<br><span class=\"bad\">{}</span>", safe(run.error));
    put("</td></tr>\n");
  }

  /// The study's command for this variant alone, and the stored spec, which needs no other file.
  std::string command_of(const VariantResult& variant) const {
    std::string out;
    if (!result_.command.empty()) {
      out =
          fmt::format("{} --only {}\n", without_option(result_.command, " --only "), variant.name);
    }
    const SeedResult& run = variant.runs.front();
    return out + fmt::format("expgraph run {}/spec.yaml --seeds {} --backend {}",
                             (fs::path(options_.links) / run.folder).generic_string(),
                             variant.runs.back().seed + 1, result_.backend);
  }

  /// A command without an option and its word.
  static std::string without_option(std::string command, std::string_view option) {
    const size_t at = command.find(option);
    if (at == std::string::npos) return command;
    return command.erase(at, std::min(command.find(' ', at + option.size()), command.size()) - at);
  }

  // Where it was run.

  void write_environment() {
    put("<section id=\"environment\">\n<h2>Environment</h2>\n");
    if (!result_.command.empty()) put("<pre>{}</pre>\n", safe(result_.command));
    std::vector<std::pair<std::string, size_t>> groups;  // facts as markup, runs
    std::set<std::string> codes;
    for (const VariantResult& variant : result_.variants) {
      for (const SeedResult& run : variant.runs) {
        const std::optional<std::string> file = stored(run, "environment.json");
        if (!file) continue;
        const auto json = nlohmann::ordered_json::parse(*file, nullptr, false);
        if (!json.is_object()) continue;
        std::string facts;
        for (const auto& [name, value] : facts_of(json)) {
          facts += fmt::format("<dt>{}</dt><dd>{}</dd>\n", safe(name), safe(value));
        }
        if (json.contains("identity") && json["identity"].contains("code") &&
            json["identity"]["code"].is_string()) {
          facts += fmt::format("<dt>code</dt><dd>{}</dd>\n",
                               safe(json["identity"]["code"].get<std::string>()));
        }
        const auto known = std::find_if(groups.begin(), groups.end(),
                                        [&](const auto& group) { return group.first == facts; });
        if (known == groups.end()) {
          groups.emplace_back(std::move(facts), 1);
        } else {
          ++known->second;
        }
      }
    }
    for (const auto& [facts, runs] : groups) {
      put("<h3>{}</h3>\n<dl>\n{}</dl>\n", plural(runs, "run"), facts);
    }
    put("</section>\n");
  }

  Fs& files_;
  const fs::path folder_;
  const StudyResult& result_;
  const ReportOptions& options_;
  const Table table_;
  std::map<std::string, size_t> nets_, edits_;  ///< hash of a drawing -> the variant that shows it
  size_t drawn_ = 0;                            ///< bytes of drawings so far
};

}  // namespace

std::string report_page(Fs& files, const fs::path& folder, const StudyResult& result,
                        const ReportOptions& options) {
  return Page(files, folder, result, options).write();
}

void write_plots(Fs& files, const fs::path& folder, const StudyResult& result) {
  const StudyPlots plots = study_plots(result);
  files.make_folder(folder / "plots");
  for (const auto* some : {&plots.epochs, &plots.seconds}) {
    for (const auto& [name, plot] : *some) {
      files.replace(folder / "plots" / (name + ".svg"), to_svg(plot));
    }
  }
}

}  // namespace expgraph
