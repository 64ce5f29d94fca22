// The conditions of a run, read from the system and from the build.
#include <sys/utsname.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <fstream>
#include <string>

#include "blas/blas.h"
#include "core/clock.h"
#include "core/parallel.h"
#include "math/dispatch.h"
#include "session/build_info.h"
#include "session/session.h"

namespace lra::session {
namespace {

std::string cpu_model() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    const std::size_t colon = line.find(": ");
    if (line.rfind("model name", 0) == 0 && colon != std::string::npos) return line.substr(colon + 2);
  }
  return "unknown";
}

}  // namespace

Json environment(int threads) {
  Json out = Json::object();
  out["cpu"] = cpu_model();
  out["isa"] = math::isa_name(math::active_isa());
  out["cores_available"] = available_cores();
  out["cores_used"] = threads;
  out["memory_bytes"] = static_cast<int64_t>(sysconf(_SC_PHYS_PAGES)) * sysconf(_SC_PAGESIZE);
  utsname system{};
  uname(&system);
  out["kernel"] = std::string(system.sysname) + " " + system.release;
  out["compiler"] = kCompiler;
  out["flags"] = kFlags;
  out["build_type"] = kBuildType;
  out["real"] = sizeof(Real) == 4 ? "float" : "double";
  out["sanitizer"] = kSanitizer;
  out["versions"] = {{"lra", kVersion}, {"onednn", blas::onednn_version()}};
  out["commit"] = kCommit[0] == '\0' ? Json(nullptr) : Json(kCommit);
  out["dirty"] = kCommit[0] == '\0' ? Json(nullptr) : Json(kDirty);
  std::array<double, 1> load{};
  out["load_at_start"] = getloadavg(load.data(), 1) == 1 ? Json(load[0]) : Json(nullptr);
  out["started"] = utc_now();
  return out;
}

}  // namespace lra::session
