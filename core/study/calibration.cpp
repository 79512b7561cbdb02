// calibration: steps timed on this machine -> a file of the user's cache, from which plans and
// budgets predict.
#include "core/study/calibration.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <nlohmann/json.hpp>
#include <set>

#include "core/study/code_version.h"
#include "core/study/machine.h"
#include "core/support/processors.h"

namespace expgraph {
namespace {

using Json = nlohmann::ordered_json;

constexpr int64_t kLimit = 1 << 20;
constexpr int64_t kLeastBatch = 8;

std::filesystem::path place_of(const std::string& backend, int threads) {
  return user_cache_folder() / fmt::format("calibration-{}-{}.json", backend, threads);
}

int threads_or_all(int threads) { return threads > 0 ? threads : default_threads(); }

TimedStep time_step(const Variant& variant, const Backend& backend, const CalibrateOptions& options,
                    int64_t batch) {
  const BenchResult result =
      bench(variant.spec, backend,
            {.batch = batch, .steps = options.steps, .threads = options.threads, .profile = true});
  return {.name = fmt::format("{}, batch {}", variant.name, result.batch),
          .nodes = result.nodes,
          .seconds = result.median_s};
}

/// Whether they are made of the same work: a net at a batch that another variant has, too.
bool same(const TimedStep& a, const TimedStep& b) {
  return std::ranges::equal(a.nodes, b.nodes, [](const TimedNode& x, const TimedNode& y) {
    return x.name == y.name && x.cost.flops == y.cost.flops && x.cost.bytes == y.cost.bytes;
  });
}

Json to_json(const Calibration& calibration) {
  Json rates = Json::object();
  for (const auto& [name, rate] : calibration.model.rates) {
    rates[name] = {rate.per_node, rate.per_flop, rate.per_byte};
  }
  const CostModelError& error = calibration.error;
  return {{"machine", calibration.machine},   {"backend", calibration.backend},
          {"code", calibration.code},         {"threads", calibration.threads},
          {"date", calibration.date},         {"steps", error.steps},
          {"median_error", error.median},     {"worst_error", error.worst},
          {"whole", calibration.model.whole}, {"rates", rates}};
}

Calibration from_json(const Json& json) {
  Calibration out{.machine = json.at("machine"),
                  .backend = json.at("backend"),
                  .code = json.at("code"),
                  .threads = json.at("threads"),
                  .date = json.at("date"),
                  .model = {},
                  .error = {.median = json.at("median_error"),
                            .worst = json.at("worst_error"),
                            .steps = json.at("steps")}};
  out.model.whole = json.at("whole");
  for (const auto& [name, rate] : json.at("rates").items()) {
    out.model.rates[name] = {
        .per_node = rate.at(0), .per_flop = rate.at(1), .per_byte = rate.at(2)};
  }
  return out;
}

}  // namespace

Calibration calibrate(const std::vector<Variant>& variants, const Backend& backend,
                      const CalibrateOptions& options) {
  std::vector<TimedStep> steps;
  const auto add = [&](TimedStep step) {
    if (std::ranges::any_of(steps, [&](const TimedStep& known) { return same(known, step); })) {
      return;  // a step twice would make the error look smaller than it is
    }
    if (options.step) options.step(step);
    steps.push_back(std::move(step));
  };
  std::set<std::string> timed;
  for (const Variant& variant : variants) {
    const CompiledPipeline compiled = compile_pipeline(variant.spec, {.backend = backend.name()});
    if (!timed.insert(program_identity(compiled.train.step)).second) continue;
    const int64_t batch = compiled.train.graphs.nominal_batch;
    add(time_step(variant, backend, options, batch));
    if (batch / 4 >= kLeastBatch) add(time_step(variant, backend, options, batch / 4));
  }
  return {.machine = machine_name(),
          .backend = backend.name(),
          .code = code_version(backend.name()),
          .threads = threads_or_all(options.threads),
          .date = fmt::format("{:%Y-%m-%d}", fmt::gmtime(std::chrono::system_clock::now())),
          .model = CostModel::fit(steps),
          .error = leave_one_out_error(steps)};
}

double predicted_seconds(const CompiledPipeline& compiled, const CostModel& model) {
  double seconds = double(compiled.steps) * model.seconds(compiled.train.step.graph);
  if (compiled.test) {
    seconds += std::ceil(compiled.epochs) * double(steps_of_epoch(compiled.test->graphs)) *
               model.seconds(compiled.test->step.graph);
  }
  return seconds;
}

std::string calibration_text(const Calibration& calibration) {
  const CostModelError& error = calibration.error;
  std::string out = fmt::format("calibration of {}, {} with {} threads", calibration.date,
                                calibration.backend, calibration.threads);
  if (error.steps == 0) return out + ": of one step, its error is not known";
  return out + fmt::format(
                   ": relative error of a step that it has not seen, median {:.1f} %, worst "
                   "{:.1f} % (n = {})",
                   error.median * 100, error.worst * 100, error.steps);
}

void write_calibration(Fs& fs, const Calibration& calibration) {
  const auto place = place_of(calibration.backend, calibration.threads);
  fs.make_folder(place.parent_path());
  fs.replace(place, to_json(calibration).dump(1) + "\n");
}

Calibration read_calibration(Fs& fs, const std::string& backend, int threads) {
  const auto place = place_of(backend, threads_or_all(threads));
  const auto refuse = [&](const std::string& why) {
    return Error(fmt::format("no calibration of '{}' with {} threads: {}", backend,
                             threads_or_all(threads), why),
                 {}, ExitCode::environment)
        .note(fmt::format("'expgraph calibrate FILE{}' times the steps of FILE here",
                          backend == "onednn" ? "" : " --backend " + backend));
  };
  if (!std::filesystem::exists(place)) throw refuse("none was made on this machine");
  Calibration found;
  try {
    found = from_json(Json::parse(fs.read(place, kLimit)));
  } catch (const Json::exception&) {
    throw refuse(place.string() + " is damaged");
  }
  if (found.machine != machine_name()) throw refuse("it is of another machine, " + found.machine);
  if (found.code != code_version(backend)) throw refuse("it is of other code");
  return found;
}

}  // namespace expgraph
