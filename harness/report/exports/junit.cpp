// JUnit XML: a suite per task, a case per cell; diverged and at chance fail, a crash or lack of memory or time is an
// error, what was not run to its end is skipped.
#include <fmt/format.h>

#include <map>
#include <numeric>

#include "report/export.h"
#include "report/quote.h"
#include "report/show.h"

namespace lra::report {
namespace {

std::string outcome(const RunRecord& run) {
  const std::string& s = run.status;
  if (s == "ok") return "";
  const char* element = s == "at_chance" || s == "diverged"    ? "failure"
                        : s == "skipped" || s == "interrupted" ? "skipped"
                                                               : "error";
  const std::string message = !run.error.empty() ? run.error
                              : run.quality ? fmt::format("{} {}, no better than guessing", quality_name(run.metric),
                                                          quality_text(run.metric, *run.quality))
                                            : s;
  if (std::string(element) == "skipped") return fmt::format("      <skipped message=\"{}\"/>\n", html_text(message));
  return fmt::format("      <{} type=\"{}\" message=\"{}\"/>\n", element, html_text(s), html_text(message));
}

struct Suite {
  std::string cases;
  int tests = 0, failures = 0, errors = 0, skipped = 0;
  double seconds = 0;
};

std::vector<OutputFile> make_junit(const Collection&, const std::vector<Group>& groups) {
  std::map<std::string, Suite> suites;
  for (const Group& g : groups) {
    Suite& suite = suites[g.task];
    for (const RunRecord* run : g.runs) {
      const std::string end = outcome(*run);
      ++suite.tests;
      suite.failures += end.find("<failure") != std::string::npos ? 1 : 0;
      suite.errors += end.find("<error") != std::string::npos ? 1 : 0;
      suite.skipped += end.find("<skipped") != std::string::npos ? 1 : 0;
      suite.seconds += run->total_seconds.value_or(0);
      suite.cases +=
          fmt::format("    <testcase classname=\"{}\" name=\"{} seed={} {}\" time=\"{:.3f}\"", html_text(g.label),
                      html_text(preset_name(g)), run->seed, g.spec_hash, run->total_seconds.value_or(0));
      suite.cases += end.empty() ? "/>\n" : fmt::format(">\n{}    </testcase>\n", end);
    }
  }
  std::string out = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n";
  for (const auto& [task, suite] : suites) {
    out += fmt::format(
        "  <testsuite name=\"{}\" tests=\"{}\" failures=\"{}\" errors=\"{}\" skipped=\"{}\" time=\"{:.3f}\">\n{}  "
        "</testsuite>\n",
        html_text(task), suite.tests, suite.failures, suite.errors, suite.skipped, suite.seconds, suite.cases);
  }
  return {{"junit.xml", out + "</testsuites>\n"}};
}

}  // namespace

extern const Export export_junit{"junit", "JUnit XML: a suite per task, a case per cell", false, make_junit};

}  // namespace lra::report
