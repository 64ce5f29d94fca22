// lra-run of each build trains into a folder of its own; the records say the rest.
#include "tools/compare/quality.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <filesystem>
#include <limits>
#include <map>

#include "core/error.h"
#include "core/file.h"
#include "core/text.h"
#include "report/run_record.h"
#include "tools/process.h"

namespace lra::compare {
namespace {

namespace fs = std::filesystem;

constexpr int kSeedLooks = 2;

// A folder that is gone when this is.
struct Workplace {
  fs::path path = fs::temp_directory_path() / fmt::format("lra-compare-{}-quality", getpid());
  Workplace() {
    fs::remove_all(path);
    fs::create_directories(path);
  }
  ~Workplace() {
    std::error_code none;
    fs::remove_all(path, none);
  }
  Workplace(const Workplace&) = delete;
  Workplace& operator=(const Workplace&) = delete;
};

// The last line a program left in a file.
std::string last_line(const fs::path& file) {
  const std::vector<std::string> lines = split(read_file(file.string(), std::size_t{1} << 24), '\n');
  for (auto line = lines.rbegin(); line != lines.rend(); ++line) {
    if (!line->empty()) return *line;
  }
  return "it said nothing";
}

// What became of a seed.
struct Outcome {
  bool trained = false;
  double quality = 0;
  std::string metric, weights, data;
};

// Trains seeds [first, last] and returns their outcomes.
std::map<uint64_t, Outcome> train(const Build& build, const std::string& variant, const std::string& task,
                                  const QualitySpec& spec, int first, int last, const fs::path& folder) {
  constexpr int kSomeCellsFailed = 4;
  const std::string program = build.program("lra-run");
  if (program.empty())
    throw Error(ErrorKind::kPlugin, fmt::format("{} has no lra-run; build it, or leave out --quality", build.folder()));
  const fs::path said = folder / "said", records = folder / "records";
  fs::create_directories(folder);
  const int out = open(said.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (out < 0) throw Error(ErrorKind::kIo, fmt::format("{} cannot be written", said.string()));
  const pid_t child = start_program({program, "--variant", variant, "--task", task, "--preset", spec.preset, "--seeds",
                                     fmt::format("{}..{}", first, last), "--plugin-path", build.library(variant),
                                     "--out", records.string(), "--quiet"},
                                    {{out, STDOUT_FILENO}, {out, STDERR_FILENO}});
  close(out);
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  // Cells that failed are outcomes; anything else is a fault.
  if (!WIFEXITED(status) || (WEXITSTATUS(status) != 0 && WEXITSTATUS(status) != kSomeCellsFailed)) {
    throw Error(ErrorKind::kPlugin, fmt::format("{} could not train it: {}", program, last_line(said)));
  }
  std::map<uint64_t, Outcome> outcomes;
  for (const auto& record : report::collect({records.string()}).records) {
    const auto text = [&](const char* name) {
      const Json& found = record.part({"hashes", name});
      return found.is_string() ? found.get<std::string>() : std::string();
    };
    outcomes[record.seed] = {.trained = record.quality.has_value(),
                             .quality = record.quality.value_or(0),
                             .metric = record.metric,
                             .weights = text("final_weights"),
                             .data = text("data")};
  }
  return outcomes;
}

}  // namespace

Finding quality_of(const Build& base, const Build& head, const std::string& variant, const std::string& task,
                   const QualitySpec& spec, int comparisons) {
  const Workplace workplace;
  Finding f{.cell = fmt::format("{}/{}", variant, task), .metric = "quality", .unit = "share"};
  std::vector<double> loss;  // of quality, seed by seed
  std::vector<double> base_quality, head_quality;
  int only_base = 0, only_head = 0, neither = 0;
  bool bits = false;
  const auto take = [&](int first, int last) {
    const auto was = train(base, variant, task, spec, first, last, workplace.path / fmt::format("base-{}", first));
    const auto is = train(head, variant, task, spec, first, last, workplace.path / fmt::format("head-{}", first));
    bool same = true;
    for (int seed = first; seed <= last; ++seed) {
      const auto at = was.find(static_cast<uint64_t>(seed)), other = is.find(static_cast<uint64_t>(seed));
      const Outcome none, &a = at == was.end() ? none : at->second, &b = other == is.end() ? none : other->second;
      if (!a.data.empty() && !b.data.empty() && a.data != b.data)
        throw Error(ErrorKind::kPlugin, "the builds make different data of this task; nothing can be compared");
      same = same && !a.weights.empty() && a.weights == b.weights;
      if (a.trained && b.trained) {
        bits = a.metric != "accuracy";
        base_quality.push_back(a.quality);
        head_quality.push_back(b.quality);
        loss.push_back(bits ? b.quality - a.quality : a.quality - b.quality);
      } else if (a.trained) {
        ++only_base;
        loss.push_back(std::numeric_limits<double>::infinity());
      } else if (b.trained) {
        ++only_head;
        loss.push_back(-std::numeric_limits<double>::infinity());
      } else {
        ++neither;
      }
    }
    return same;
  };
  const bool same_bits = take(0, 0);
  const double limit_of[] = {spec.margin, spec.margin_bits};
  std::optional<Interval> interval;
  if (!same_bits) {
    f.verdict = Verdict::kInconclusive;
    int taken = 1;
    for (int look = 1; look <= kSeedLooks && f.verdict == Verdict::kInconclusive; ++look) {
      const int wanted = std::max(look * spec.seeds, taken + 1);
      take(taken, wanted - 1);
      taken = wanted;
      interval = sign_interval(loss, 1 - kAllowedError / kSeedLooks / comparisons);
      if (interval) f.verdict = judge_at(*interval, limit_of[bits]);
    }
    if (!interval) f.note = "too few seeds to decide; --quality-seeds takes more";
  } else {
    f.note = "same bits";
  }
  f.unit = bits ? "bits" : "share";
  f.base = median(base_quality);
  f.head = median(head_quality);
  f.rounds = static_cast<int>(loss.size());
  const double sign = bits ? 1 : -1, widest = bits ? 99 : 1;  // an infinite end is a seed without a result
  const auto shown = [&](double value) { return std::clamp(sign * value, -widest, widest); };
  f.change = loss.empty() ? 0 : shown(median(loss));
  if (interval) {
    const double a = shown(interval->low), b = shown(interval->high);
    f.interval = {std::min(a, b), std::max(a, b)};
  } else {
    f.interval = {f.change, f.change};
  }
  const auto tell = [&](int count, const char* who) {
    if (count == 0) return;
    if (!f.note.empty()) f.note += "; ";
    f.note += fmt::format("{} of {} seeds without a result of {}", count, f.rounds + neither, who);
  };
  tell(only_base, "the head");
  tell(only_head, "the base");
  tell(neither, "both");
  if (loss.empty()) throw Error(ErrorKind::kPlugin, "no seed has a result; choose another --quality-task");
  return f;
}

}  // namespace lra::compare
