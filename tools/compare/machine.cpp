// What /proc, /sys and the control group tell.
#include "tools/compare/machine.h"

#include <fmt/format.h>
#include <sys/utsname.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <optional>

#include "core/clock.h"
#include "core/file.h"
#include "core/json.h"
#include "core/parallel.h"
#include "core/text.h"

namespace lra::compare {
namespace {

constexpr std::size_t kSide = 96, kBuffer = 256 * 1024;  // floats

// First line of a file of the system, "" if there is none.
std::string line_of(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

std::optional<double> number_in(const std::string& text) {
  char* end = nullptr;
  const double value = std::strtod(text.c_str(), &end);
  return end == text.c_str() || !std::isfinite(value) ? std::nullopt : std::optional<double>(value);
}

// The number after `key` in a file of "key value" or "key: value" lines.
std::optional<double> entry_in(const std::string& path, const std::string& key) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    if (line.rfind(key, 0) != 0) continue;
    const std::size_t at = line.find_first_not_of(": \t", key.size());
    if (at != std::string::npos && at > key.size()) return number_in(line.substr(at));
  }
  return std::nullopt;
}

// The folder of this process's control group in the hierarchy of `controller`; version 2 where there is one.
std::string group_folder(const std::string& controller) {
  std::ifstream file("/proc/self/cgroup");
  for (std::string line; std::getline(file, line);) {
    const auto parts = split(line, ':');
    if (parts.size() < 3) continue;
    const bool second = parts[1].empty();
    const auto names = split(parts[1], ',');
    if (!second && std::find(names.begin(), names.end(), controller) == names.end()) continue;
    const std::string root = second ? "/sys/fs/cgroup" : "/sys/fs/cgroup/" + controller;
    // Inside a container the path is often one that only the outside has.
    for (const std::string& folder : {root + parts[2], root}) {
      const char* const known = second ? "/cgroup.controllers" : "/cgroup.procs";
      if (std::ifstream(folder + known).good()) return folder;
    }
  }
  return "/sys/fs/cgroup";
}

// Cores' worth of time; nothing for all.
std::optional<double> cpu_quota() {
  const std::string folder = group_folder("cpu");
  if (const auto words = split(line_of(folder + "/cpu.max"), ' '); words.size() == 2) {
    const auto quota = number_in(words[0]), period = number_in(words[1]);
    return quota && period && *period > 0 ? std::optional<double>(*quota / *period) : std::nullopt;
  }
  const auto quota = number_in(line_of(folder + "/cpu.cfs_quota_us"));
  const auto period = number_in(line_of(folder + "/cpu.cfs_period_us"));
  return quota && period && *quota > 0 && *period > 0 ? std::optional<double>(*quota / *period) : std::nullopt;
}

std::optional<double> memory_limit() {
  const std::string folder = group_folder("memory");
  auto limit = number_in(line_of(folder + "/memory.max"));
  if (!limit) limit = number_in(line_of(folder + "/memory.limit_in_bytes"));
  return limit && *limit < 1e15 ? limit : std::nullopt;
}

// Share of the last ten seconds in which somebody waited for a processor.
std::optional<double> pressure() {
  const std::string line = line_of("/proc/pressure/cpu");
  const std::size_t at = line.find("avg10=");
  const auto percent = at == std::string::npos ? std::nullopt : number_in(line.substr(at + 6));
  return percent ? std::optional<double>(*percent / 100) : std::nullopt;
}

Json turbo() {
  if (const auto off = number_in(line_of("/sys/devices/system/cpu/intel_pstate/no_turbo"))) return *off == 0;
  if (const auto on = number_in(line_of("/sys/devices/system/cpu/cpufreq/boost"))) return *on != 0;
  return nullptr;
}

Json smt() {
  const auto active = number_in(line_of("/sys/devices/system/cpu/smt/active"));
  return active ? Json(*active != 0) : Json(nullptr);
}

std::string processor_flags() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    if (line.rfind("flags", 0) == 0) return line + " ";
  }
  return "";
}

// "always [madvise] never" -> "madvise"
std::string chosen_of(const std::string& line) {
  const std::size_t begin = line.find('['), end = line.find(']');
  return begin == std::string::npos || end == std::string::npos ? "" : line.substr(begin + 1, end - begin - 1);
}

double grown(const Json& before, const Json& after, const char* key) {
  return before.at(key).is_number() && after.at(key).is_number()
             ? after.at(key).get<double>() - before.at(key).get<double>()
             : 0;
}

}  // namespace

Json identity_of(const Json& environment, Where where) {
  const auto take = [&](const char* key) { return environment.contains(key) ? environment.at(key) : Json(""); };
  const Json versions = environment.value("versions", Json::object());
  return {{"cpu", take("cpu")},
          {"cores", take("cores_available")},
          {"cpu_quota", where == Where::kHere ? or_null(cpu_quota()) : Json(nullptr)},
          {"isa", take("isa")},
          {"compiler", take("compiler")},
          {"flags", take("flags")},
          {"build_type", take("build_type")},
          {"real", take("real")},
          {"sanitizer", take("sanitizer")},
          {"onednn", versions.contains("onednn") ? versions.at("onednn") : Json(nullptr)},
          {"calibration", where == Where::kHere ? Json(kCalibrationVersion) : Json(nullptr)}};
}

std::string identity_hash(const Json& identity) {
  const std::string text = identity.dump();
  return fmt::format("{:016x}", hash64(text.data(), text.size()));
}

std::string class_of(const Json& identity) {
  std::string cpu = identity.at("cpu").get<std::string>();
  cpu = cpu.substr(0, cpu.find(" @"));
  for (const char* noise : {"(R)", "(TM)", "(r)", "(tm)", " CPU", " Processor"}) {
    for (std::size_t at = 0; (at = cpu.find(noise)) != std::string::npos;) cpu.erase(at, std::string(noise).size());
  }
  std::string out;
  for (const char c : cpu) {
    const auto u = static_cast<unsigned char>(c);
    if (std::isalnum(u) != 0 && u < 128) {
      out += static_cast<char>(std::tolower(u));
    } else if (!out.empty() && out.back() != '-') {
      out += '-';
    }
  }
  if (out.empty() || out.back() != '-') out += '-';
  // "x86-64-v4 (AVX-512)" -> "v4"
  const std::string isa = identity.at("isa").get<std::string>(), plain = isa.substr(0, isa.find(' '));
  return out + fmt::format("{}c-{}", identity.at("cores").get<int>(), plain.substr(plain.rfind('-') + 1));
}

Json machine_state() {
  utsname system{};
  uname(&system);
  std::array<double, 1> load{};
  const bool has_load = getloadavg(load.data(), 1) == 1;
  std::optional<double> ticks, steal;
  {
    std::ifstream file("/proc/stat");
    std::string name;
    std::array<double, 8> all{};  // user nice system idle iowait irq softirq steal
    if (file >> name >> all[0] >> all[1] >> all[2] >> all[3] >> all[4] >> all[5] >> all[6] >> all[7]) {
      ticks = 0;
      for (const double one : all) *ticks += one;
      steal = all[7];
    }
  }
  auto throttled = entry_in(group_folder("cpu") + "/cpu.stat", "nr_throttled");
  const auto total = entry_in("/proc/meminfo", "SwapTotal"), free = entry_in("/proc/meminfo", "SwapFree");
  const std::string flags = processor_flags();
  Json out = Json::object();
  out["kernel"] = std::string(system.sysname) + " " + system.release;
  out["load"] = has_load ? Json(load[0]) : Json(nullptr);
  out["psi_cpu10"] = or_null(pressure());
  out["ticks"] = or_null(ticks);
  out["steal_ticks"] = or_null(steal);
  out["throttled"] = or_null(throttled);
  out["mhz"] = or_null(entry_in("/proc/cpuinfo", "cpu MHz"));
  out["governor"] = or_null(line_of("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"));
  out["turbo"] = turbo();
  out["smt"] = smt();
  out["swap"] = total ? Json(*total * 1024) : Json(nullptr);
  out["swap_used"] = total && free ? Json((*total - *free) * 1024) : Json(nullptr);
  out["memory_limit"] = or_null(memory_limit());
  out["virtualised"] = flags.empty() ? Json(nullptr) : Json(flags.find(" hypervisor ") != std::string::npos);
  out["huge_pages"] = or_null(chosen_of(line_of("/sys/kernel/mm/transparent_hugepage/enabled")));
  out["uptime"] = or_null(number_in(line_of("/proc/uptime")));
  return out;
}

const char* level_name(Disturbance::Level level) {
  return level == Disturbance::Level::kFine ? "ok" : level == Disturbance::Level::kWarning ? "warning" : "unknown";
}

std::vector<Disturbance> disturbances(const Json& before, const Json& after, const Json& identity) {
  using Level = Disturbance::Level;
  std::vector<Disturbance> out;
  const auto say = [&](const char* name, const std::string& found, bool fine, const std::string& advice) {
    out.push_back({name, found, fine ? Level::kFine : Level::kWarning, fine ? "" : advice});
  };
  const auto unknown = [&](const char* name) { out.push_back({name, "not told by this system", Level::kUnknown}); };
  // A number or a fact of `before`, if it is known.
  const auto with = [&](const char* name, const char* key, const auto& body) {
    if (before.at(key).is_null()) {
      unknown(name);
    } else {
      body(before.at(key));
    }
  };
  const double cores = identity.at("cores").get<double>();
  with("load", "load", [&](const Json& load) {
    say("load", fmt::format("{:.2f} on {:.0f} cores", load.get<double>(), cores), load.get<double>() < 0.5 * cores,
        "end other work, or count on CPU time only");
  });
  with("waiting", "psi_cpu10", [&](const Json& share) {
    say("waiting", fmt::format("in {:.1f} % of the last 10 s somebody waited for a core", 100 * share.get<double>()),
        share.get<double>() < 0.05, "other work competes for the cores");
  });
  if (const double ticks = grown(before, after, "ticks"); ticks > 0) {
    const double share = grown(before, after, "steal_ticks") / ticks;
    say("steal", fmt::format("{:.1f} % of the probe went to other machines", 100 * share), share < 0.01,
        "a neighbour on the same hardware; measure at another time or elsewhere");
  } else {
    unknown("steal");
  }
  const Json& quota = identity.at("cpu_quota");
  if (quota.is_number()) {
    const double times = grown(before, after, "throttled");
    say("quota",
        fmt::format("{:.2g} cores' worth of time, throttled {:.0f} times in the probe", quota.get<double>(), times),
        quota.get<double>() >= cores && times == 0, "a throttled process stands still; raise the group's cpu limit");
  } else {
    say("quota", "none", true, "");
  }
  with("governor", "governor", [&](const Json& name) {
    say("governor", name.get<std::string>(), name == "performance", "cpupower frequency-set -g performance");
  });
  with("turbo", "turbo", [&](const Json& on) {
    say("turbo", on.get<bool>() ? "on" : "off", !on.get<bool>(), "the clock depends on heat and on the neighbours");
  });
  with("SMT", "smt", [&](const Json& on) {
    say("SMT", on.get<bool>() ? "on" : "off", !on.get<bool>(), "two threads share a core's units");
  });
  with("swap", "swap_used", [&](const Json& used) {
    say("swap", before.at("swap") == 0 ? "none" : human_bytes(used.get<double>()) + " used",
        used.get<double>() < 1 << 20, "pages come back from the disk in the middle of a measurement");
  });
  with("virtual", "virtualised", [&](const Json& is) {
    say("virtual", is.get<bool>() ? "a virtual machine" : "no", !is.get<bool>(),
        "the clock is shared with others unseen");
  });
  if (const Json& limit = before.at("memory_limit"); limit.is_number())
    say("memory", human_bytes(limit.get<double>()) + " for this control group", limit.get<double>() >= 1 << 30,
        "variants at long lengths will not fit");
  return out;
}

Calibration::Calibration() : a_(kSide * kSide), b_(kSide * kSide), c_(kSide * kSide), buffer_(kBuffer, 1.0F) {
  for (std::size_t i = 0; i < a_.size(); ++i) {
    a_[i] = static_cast<float>(i % 7) * 0.01F;
    b_[i] = static_cast<float>(i % 5) * 0.01F;
  }
}

Calibration::Times Calibration::run(int repeats) {
  const double cpu = cpu_seconds(), wall = wall_seconds();
  for (int r = 0; r < repeats; ++r) {
    for (std::size_t i = 0; i < kSide; ++i) {
      for (std::size_t k = 0; k < kSide; ++k) {
        const float x = a_[i * kSide + k];
        for (std::size_t j = 0; j < kSide; ++j) c_[i * kSide + j] += x * b_[k * kSide + j];
      }
    }
    float sum = 0;
    for (const float c : c_) sum += c;
    // Bounded however often it is repeated, and read again by the next repeat.
    for (float& c : c_) c *= 0.5F;
    const float next = 1.0F + 1e-9F * sum;
    for (float& x : buffer_) x = 0.5F * (x + next);
    a_[static_cast<std::size_t>(r) % a_.size()] =
        0.01F * std::min(buffer_[static_cast<std::size_t>(r) % kBuffer], 2.0F);
  }
  return {cpu_seconds() - cpu, wall_seconds() - wall};
}

int Calibration::repeats_for(double seconds) {
  int repeats = 4;
  double cpu = run(repeats).cpu;
  while (cpu < seconds / 4 && repeats < 1 << 20) {
    repeats *= 2;
    cpu = run(repeats).cpu;
  }
  return std::max(1, static_cast<int>(std::lround(repeats * seconds / std::max(cpu, 1e-9))));
}

StayOn::StayOn(int core) {
  CPU_ZERO(&before_);
  if (core < 0 || sched_getaffinity(0, sizeof(before_), &before_) != 0) return;
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(static_cast<std::size_t>(core), &one);
  moved_ = sched_setaffinity(0, sizeof(one), &one) == 0;
}

StayOn::~StayOn() {
  if (moved_) sched_setaffinity(0, sizeof(before_), &before_);
}

}  // namespace lra::compare
