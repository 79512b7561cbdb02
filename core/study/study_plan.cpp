// study_plan: compiled variants -> which of them are the same run, and what differs in their
// settings.
#include "core/study/study_plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

namespace expgraph {

std::vector<Sharing> find_sharing(const std::vector<VariantIdentity>& variants) {
  std::map<std::string, size_t> runs, trainings;
  std::vector<Sharing> out(variants.size());
  for (size_t k = 0; k < variants.size(); ++k) {
    const VariantIdentity& own = variants[k];
    const std::string training = own.program.training + "\n" + own.data;
    const std::string run = training + "\n" + own.program.evaluation + "\n" + own.test_data;
    const auto [same, is_new] = runs.emplace(run, k);
    const auto [first, trains_new] = trainings.emplace(training, k);
    if (!is_new) {
      out[k].same_as = same->second;
    } else if (!trains_new) {
      out[k].trained_as = first->second;
    }
  }
  return out;
}

std::vector<std::string> sharing_lines(const std::vector<Sharing>& sharing,
                                       const std::vector<Variant>& variants) {
  std::vector<std::string> lines;
  for (size_t k = 0; k < sharing.size(); ++k) {
    const auto [same_as, trained_as] = sharing[k];
    const std::string& name = variants[k].name;
    if (same_as != kNone) {
      lines.push_back(fmt::format("'{}' compiles to the same programs as '{}': a no-op, run once",
                                  name, variants[same_as].name));
    } else if (trained_as != kNone) {
      lines.push_back(fmt::format("'{}' trains as '{}': its evaluation alone is run", name,
                                  variants[trained_as].name));
    }
  }
  return lines;
}

std::vector<std::vector<std::pair<std::string, std::string>>> settings_of(
    const std::vector<Variant>& variants) {
  constexpr std::string_view kSide = "train";
  const auto setting_name = [&](const SpecNode& node, const AttributeSpec& attribute) {
    if (node.path == kSide) return attribute.name;
    const std::string below = node.path.substr(kSide.size() + 1);
    return below.find('/') == std::string::npos ? below + "." + attribute.name : std::string();
  };
  std::vector<std::string> names;  // in the order in which they are met
  std::vector<std::map<std::string, std::string>> values(variants.size());
  for (size_t k = 0; k < variants.size(); ++k) {
    for (const SpecNode& node : variants[k].spec.nodes) {
      if (node.path != kSide && !node.path.starts_with(std::string(kSide) + "/")) continue;
      for (const AttributeSpec& attribute : node.attributes) {
        const std::string name = setting_name(node, attribute);
        if (name.empty()) continue;
        if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
        std::string text = yaml::to_text(attribute.value);
        text.erase(text.find_last_not_of('\n') + 1);
        values[k][name] = std::move(text);
      }
    }
  }
  std::erase_if(names, [&](const std::string& name) {
    return std::all_of(values.begin(), values.end(),
                       [&](auto& own) { return own[name] == values.front()[name]; });
  });
  std::vector<std::vector<std::pair<std::string, std::string>>> out(variants.size());
  for (size_t k = 0; k < variants.size(); ++k) {
    for (const std::string& name : names) out[k].emplace_back(name, values[k][name]);
  }
  return out;
}

}  // namespace expgraph
