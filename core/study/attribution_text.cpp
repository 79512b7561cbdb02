// attribution_text: what each edit gives -> a table for a terminal, and JSON.
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "core/study/attribution.h"

namespace expgraph {
namespace {

using nlohmann::ordered_json;

std::string interval_text(const Interval& interval, double scale, int decimals) {
  if (interval.n == 0) return "–";
  std::string out = fmt::format("{:+.{}f}", scale * interval.mean, decimals);
  if (interval.half_width > 0) {
    out += fmt::format(" ± {:.{}f}", scale * interval.half_width, decimals);
  }
  return out;
}

/// Columns that a text takes on a terminal.
size_t width_of(const std::string& text) {
  return static_cast<size_t>(std::count_if(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xC0) != 0x80;
  }));
}

std::string aligned(const std::vector<std::vector<std::string>>& rows) {
  std::vector<size_t> widths(rows.front().size(), 0);
  for (const auto& row : rows) {
    for (size_t k = 0; k < row.size(); ++k) widths[k] = std::max(widths[k], width_of(row[k]));
  }
  std::string out;
  for (const auto& row : rows) {
    std::string line;
    for (size_t k = 0; k < row.size(); ++k) {
      const std::string blanks(widths[k] - width_of(row[k]), ' ');
      line += (k > 0 ? "  " : "") + (k > 0 ? blanks + row[k] : row[k] + blanks);
    }
    line.erase(line.find_last_not_of(' ') + 1);
    out += line + "\n";
  }
  return out;
}

/// Text of a study file on one line.
std::string plain(std::string text) {
  for (char& c : text) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = ' ';
  }
  return text;
}

std::string figure_text(const AttributionTable& table, const Attribution& figure) {
  const double scale = figure.percent ? 100 : 1;
  const int decimals = figure.percent || figure.figure == "seconds" ? 2 : 4;
  const auto text = [&](const Interval& interval) {
    return interval_text(interval, scale, decimals);
  };
  std::vector<std::vector<std::string>> rows = {{figure.figure + (figure.percent ? ", %" : ""),
                                                 "in the ladder", "alone", "on all others",
                                                 "Shapley"}};
  for (size_t k = 0; k < table.edits.size(); ++k) {
    const EditEffect& effect = figure.edits[k];
    rows.push_back({fmt::format("{} {}", k + 1, plain(table.edits[k])), text(effect.ladder),
                    text(effect.alone), text(effect.left_in), text(effect.shapley)});
  }
  rows.push_back({"all edits", text(figure.whole), "", "",
                  fmt::format("{:+.{}f}", scale * figure.shapley_sum, decimals)});
  std::string out = aligned(rows);
  for (const Interaction& interaction : figure.interactions) {
    out += fmt::format("{} x {}: {} ({} sets)\n", interaction.a + 1, interaction.b + 1,
                       text(interaction.effect), interaction.effect.n);
  }
  return out;
}

ordered_json json_of(const Interval& interval) {
  return {{"mean", interval.mean}, {"half_width_95", interval.half_width}, {"n", interval.n}};
}

}  // namespace

std::string to_terminal(const AttributionTable& table) {
  std::string out = fmt::format("{}{}, {}: {} edits\n\n", table.study,
                                table.profile.empty() ? "" : ", profile " + table.profile,
                                table.backend, table.edits.size());
  for (const Attribution& figure : table.figures) out += figure_text(table, figure) + "\n";
  out += fmt::format("{} sets of edits, {} seed{}; Shapley: mean over {}{} orders\n", table.sets,
                     table.seeds, table.seeds == 1 ? "" : "s", table.exact ? "all " : "",
                     table.orders);
  out += table.seeds > 1 ? "±: half of the 95 % interval, over seeds; of Shapley values and "
                           "interactions, over orders or sets too\n"
                         : "±: half of the 95 % interval, over orders or sets; one seed says "
                           "nothing of noise\n";
  out += "a x b: strongest interactions, what two edits give beyond what they give apart\n";
  for (size_t k = 0; k < table.edits.size() && !table.figures.empty(); ++k) {
    const int count = table.figures.front().edits[k].inapplicable;
    if (count == 0) continue;
    out += fmt::format("'{}' cannot be made in {} of the sets that have it; there it is nothing\n",
                       plain(table.edits[k]), count);
  }
  return out;
}

ordered_json to_json(const AttributionTable& table) {
  ordered_json out = {{"study", table.study},     {"profile", table.profile},
                      {"backend", table.backend}, {"orders", table.orders},
                      {"exact", table.exact},     {"sets", table.sets},
                      {"seeds", table.seeds},     {"figures", ordered_json::array()}};
  for (const Attribution& figure : table.figures) {
    ordered_json json = {{"figure", figure.figure},        {"percent", figure.percent},
                         {"whole", json_of(figure.whole)}, {"shapley_sum", figure.shapley_sum},
                         {"edits", ordered_json::array()}, {"interactions", ordered_json::array()}};
    for (size_t k = 0; k < table.edits.size(); ++k) {
      const EditEffect& effect = figure.edits[k];
      json["edits"].push_back({{"title", table.edits[k]},
                               {"ladder", json_of(effect.ladder)},
                               {"alone", json_of(effect.alone)},
                               {"on_all_others", json_of(effect.left_in)},
                               {"shapley", json_of(effect.shapley)},
                               {"inapplicable", effect.inapplicable}});
    }
    for (const Interaction& interaction : figure.interactions) {
      json["interactions"].push_back({{"a", table.edits[static_cast<size_t>(interaction.a)]},
                                      {"b", table.edits[static_cast<size_t>(interaction.b)]},
                                      {"effect", json_of(interaction.effect)}});
    }
    out["figures"].push_back(std::move(json));
  }
  return out;
}

}  // namespace expgraph
