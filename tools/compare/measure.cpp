// Cells become settings of lra-bench's subject; callgrind counts inside Trainer::step only.
#include "tools/compare/measure.h"

#include <fmt/format.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "core/error.h"

namespace lra::compare {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kLength = 512, kBatch = 4;
constexpr int kCountedSteps = 2;
constexpr const char* kOneIsa = "LRA_ISA=v3";

bool found_in_path(const std::string& program) {
  const char* path = std::getenv("PATH");
  std::string folders = path == nullptr ? "/usr/bin:/bin" : path;
  for (std::size_t begin = 0; begin <= folders.size();) {
    const std::size_t end = std::min(folders.find(':', begin), folders.size());
    std::error_code none;
    if (fs::exists(fs::path(folders.substr(begin, end - begin)) / program, none)) return true;
    begin = end + 1;
  }
  return false;
}

}  // namespace

Cell parse_cell(const std::string& text) {
  const std::size_t at = text.find('@');
  Cell cell{text.substr(0, at), kLength};
  if (at != std::string::npos) {
    const char* end = text.data() + text.size();
    const auto [stop, error] = std::from_chars(text.data() + at + 1, end, cell.length);
    if (error != std::errc() || stop != end || cell.length < 1 || cell.length > (1 << 20))
      throw Error(ErrorKind::kUsage, fmt::format("--cells: '{}' is no cell; write VARIANT or VARIANT@LENGTH", text));
  }
  if (cell.variant.empty())
    throw Error(ErrorKind::kUsage, fmt::format("--cells: '{}' names no variant; write VARIANT@LENGTH", text));
  return cell;
}

Build::Build(const std::string& folder) : folder_(folder) {
  for (const auto& [programs, variants] : {std::pair{"bin", "variants"}, std::pair{"bin", "lib/lra/variants"}}) {
    const fs::path bench = fs::path(folder) / programs / "lra-bench";
    std::error_code none;
    if (!fs::exists(bench, none) || !fs::is_directory(fs::path(folder) / variants, none)) continue;
    bench_ = fs::absolute(bench).string();
    libraries_ = fs::absolute(fs::path(folder) / variants).string();
    return;
  }
  throw Error(ErrorKind::kPlugin,
              fmt::format("{}: no bin/lra-bench with a folder of variants; name a build folder, such as build/release",
                          folder));
}

std::vector<std::string> Build::variants() const {
  std::vector<std::string> out;
  for (const auto& entry : fs::directory_iterator(libraries_)) {
    if (entry.path().extension() == ".so") out.push_back(entry.path().stem().string());
  }
  std::sort(out.begin(), out.end());
  return out;
}

bool Build::has(const std::string& variant) const { return fs::exists(fs::path(libraries_) / (variant + ".so")); }

bench::Setting Build::setting(const Cell& cell) const {
  bench::Setting out;
  out.library = (fs::path(libraries_) / (cell.variant + ".so")).string();
  out.length = cell.length;
  out.batch = kBatch;
  out.threads = 1;
  out.model = {{"layers", 2}, {"dim", 64}, {"heads", 2}, {"mlp", 128}};
  return out;
}

std::unique_ptr<bench::RemoteSubject> Build::start(const Cell& cell, int core) const {
  return std::make_unique<bench::RemoteSubject>(setting(cell), std::vector<std::string>{bench_}, core);
}

Json Build::counts(const Cell& cell) const {
  // Tiles are as wide as the vectors are: one instruction set, so that machines agree.
  bench::RemoteSubject subject(setting(cell), {"env", kOneIsa, bench_}, -1);
  for (int i = 0; i < 3; ++i) subject.step();
  const Json facts = subject.facts();
  Json out = Json::object();
  for (const char* name :
       {"parameters", "flops_per_example", "planned_bytes", "saved_per_sequence", "library_bytes", "peak_rss_bytes"}) {
    out[name] = facts.contains(name) ? facts.at(name) : Json(nullptr);
  }
  return out;
}

std::optional<double> Build::instructions(const Cell& cell) const {
  if (!found_in_path("valgrind")) return std::nullopt;
  const fs::path file = fs::temp_directory_path() / fmt::format("lra-compare-{}.callgrind", getpid());
  bench::RemoteSubject subject(
      setting(cell),
      {"env", "-i", fmt::format("PATH={}", std::getenv("PATH") == nullptr ? "/usr/bin:/bin" : std::getenv("PATH")),
       kOneIsa, "ONEDNN_MAX_CPU_ISA=AVX2", "valgrind", "--quiet", "--tool=callgrind",
       "--toggle-collect=lra::train::Trainer::step()", "--callgrind-out-file=" + file.string(), bench_},
      -1);
  for (int i = 0; i < kCountedSteps; ++i) subject.step();
  subject.finish();
  double total = 0;
  std::ifstream lines(file);
  for (std::string line; std::getline(lines, line);) {
    if (line.rfind("totals: ", 0) == 0) total = std::strtod(line.c_str() + 8, nullptr);
  }
  lines.close();
  fs::remove(file);
  if (total <= 0) return std::nullopt;
  return total / kCountedSteps;
}

int measuring_core() {
  cpu_set_t cores;
  CPU_ZERO(&cores);
  if (sched_getaffinity(0, sizeof(cores), &cores) != 0) return -1;
  int last = -1;
  for (int c = 0; c < CPU_SETSIZE; ++c) {
    if (CPU_ISSET(static_cast<std::size_t>(c), &cores)) last = c;
  }
  return last;
}

}  // namespace lra::compare
