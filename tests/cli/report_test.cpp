// lra-report as a user starts it: what it prints where, its refusals and its exit codes.
#include <gmock/gmock.h>

#include "tests/cli/program.h"
#include "tests/report/fixture.h"

namespace lra::cli_test {
namespace {

using report_test::made_record;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

Result lra_report(const std::string& arguments) { return shell(std::string(LRA_REPORT) + " " + arguments); }

// A folder with a few records.
std::string records(const std::string& name) {
  const std::string folder = fresh_folder(name);
  int number = 0;
  for (const report_test::Made& made : std::vector<report_test::Made>{{.seed = 0},
                                                                      {.seed = 1, .accuracy = 0.52},
                                                                      {.variant = "linear", .steps_per_s = 20},
                                                                      {.variant = "linear", .task = "image"}}) {
    write_file_atomically(folder + "/" + std::to_string(number++) + ".json", json_text(made_record(made)));
  }
  return folder;
}

TEST(LraReportTable, PrintsEachLayoutInEachFormat) {
  const std::string folder = records("report-table");
  for (const char* layout : {"lra", "cost", "full"}) {
    for (const char* format : {"text", "markdown", "csv", "html", "latex"}) {
      const Result result = lra_report("table " + folder + " --layout " + layout + " --format " + format);
      EXPECT_EQ(result.code, 0) << result.err;
      EXPECT_THAT(result.out, HasSubstr("softmax"));
      EXPECT_EQ(result.err, "");
    }
  }
}

TEST(LraReportTable, ChoosesRecordsByTaskVariantAndPreset) {
  const std::string folder = records("report-choose");
  const Result result = lra_report("table " + folder + " --task image");
  EXPECT_EQ(result.code, 0);
  EXPECT_THAT(result.out, Not(HasSubstr("softmax")));
  EXPECT_THAT(lra_report("table " + folder + " --task imag").err, HasSubstr("did you mean 'image'?"));
}

TEST(LraReportTable, PutsPublishedFiguresBeside) {
  const Result result = lra_report("table " + records("report-published") + " --compare-to published");
  EXPECT_THAT(result.out, HasSubstr("36.37"));
  EXPECT_THAT(result.out, HasSubstr("single runs without error bars"));
}

TEST(LraReport, ReportsTheRestWhereAFileIsBad) {
  const std::string folder = records("report-bad");
  write_file_atomically(folder + "/bad.json", "{\"schema\": \"lra.record/2\"}");
  const Result result = lra_report("table " + folder);
  EXPECT_EQ(result.code, 5);
  EXPECT_THAT(result.out, HasSubstr("softmax"));
  EXPECT_THAT(result.err, HasSubstr("reads up to lra.record/1"));
}

TEST(LraReport, SaysThatThereIsNothing) {
  const std::string folder = fresh_folder("report-empty");
  for (const char* what : {"table ", "validate ", "figure bubble ", "export csv "}) {
    const Result result = lra_report(what + folder);
    EXPECT_EQ(result.code, 3) << what;
    EXPECT_THAT(result.err, StartsWith("lra-report: "));
  }
}

TEST(LraReportValidate, NamesEachFaultAndCounts) {
  const std::string folder = records("report-validate");
  EXPECT_EQ(lra_report("validate " + folder).out, "4 file(s) valid, 0 not, 0 of other kinds\n");
  Json broken = made_record({.seed = 7});
  broken["seed"] = -1;
  write_file_atomically(folder + "/broken.json", json_text(broken));
  const Result result = lra_report("validate " + folder);
  EXPECT_EQ(result.code, 5);
  EXPECT_THAT(result.out, HasSubstr("broken.json: breaks schema lra.record/1: /seed: "));
  const Json list = lra_report("validate " + folder + " --json").json();
  EXPECT_EQ(list.size(), 5u);
}

TEST(LraReportDashboard, WritesOnePageAndItsData) {
  const std::string folder = records("report-dashboard");
  const Result result = lra_report("dashboard " + folder + " -o " + folder + "/out/d.html");
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_LT(std::filesystem::file_size(folder + "/out/d.html"), 2u << 20);
  EXPECT_EQ(read_json(folder + "/out/d.json").at("records").size(), 4u);
  EXPECT_EQ(lra_report("validate " + folder + "/out/d.json").code, 0);
  EXPECT_EQ(lra_report("dashboard " + folder + " --json").json().at("schema"), "lra.dashboard/1");
}

TEST(LraReportDashboard, TakesTheHistoryAlongAndValidateItsLines) {
  const std::string folder = records("report-history");
  const std::string history = folder + "/history/test-2c.jsonl";
  std::string lines = read_file(std::string(LRA_GOLDEN_DIR) + "/../report/golden/history.jsonl", 1 << 20);
  write_file_atomically(history, lines);
  EXPECT_EQ(lra_report("dashboard " + folder + " --json").json().at("history").at("series").size(), 4u);
  EXPECT_TRUE(lra_report("dashboard " + folder + "/0.json --json").json().at("history").is_null());
  EXPECT_EQ(lra_report("validate " + folder).out, "5 file(s) valid, 0 not, 0 of other kinds\n");
  lines[lines.find("33000")] = '4';
  write_file_atomically(history, lines);
  const Result result = lra_report("validate " + folder);
  EXPECT_EQ(result.code, 5);
  EXPECT_THAT(result.out, HasSubstr("test-2c.jsonl:1: "));
  EXPECT_EQ(lra_report("dashboard " + history + " --json").code, 5);
}

TEST(LraReportExport, WritesOneFileToStandardOutputAndSeveralToAFolder) {
  const std::string folder = records("report-export");
  EXPECT_THAT(lra_report("export junit " + folder).out, StartsWith("<?xml"));
  EXPECT_EQ(lra_report("export bmf " + folder).json().size(), 3u);
  EXPECT_EQ(lra_report("export gha " + folder).code, 2);
  EXPECT_EQ(lra_report("export gha " + folder + " -o " + folder + "/gha").code, 0);
  EXPECT_GT(read_json(folder + "/gha/bigger.json").size(), 2u);
  EXPECT_EQ(lra_report("export tensorboard " + folder + " -o " + folder + "/tb").code, 0);
  EXPECT_TRUE(std::filesystem::is_directory(folder + "/tb/listops"));
}

TEST(LraReportFigure, DrawsInEachFormat) {
  const std::string folder = records("report-figure");
  EXPECT_THAT(lra_report("figure bubble " + folder).out, HasSubstr("<svg"));
  EXPECT_THAT(lra_report("figure curves " + folder + " --format pdf").out, StartsWith("%PDF"));
  EXPECT_THAT(lra_report("figure curves " + folder + " --format pgfplots").out, HasSubstr("\\begin{axis}"));
  EXPECT_THAT(lra_report("figure scaling " + folder).err, HasSubstr("--benchmark_out"));
}

struct Refusal {
  std::string arguments;
  int code;
  std::string word;
};

TEST(LraReportRefusal, IsOneLineThatNamesTheFaultAndTheWayOut) {
  const std::string folder = records("report-refusal");
  for (const Refusal& refusal : std::vector<Refusal>{
           {"", 2, "a command is missing; choose table or"},
           {"tabel x", 2, "no command is called 'tabel'; did you mean 'table'?"},
           {"table x --fromat csv", 2, "did you mean '--format'?"},
           {"table", 2, "paths"},
           {"table " + folder + " --layout lar", 2, "did you mean 'lra'?"},
           {"table " + folder + " --format mardown", 2, "did you mean 'markdown'?"},
           {"table " + folder + " --compare-to papers", 2, "published"},
           {"figure bubbles " + folder, 2, "did you mean 'bubble'?"},
           {"export junitt " + folder, 2, "did you mean 'junit'?"},
           {"table /nowhere/at/all", 7, "does not exist"},
           {"table " + folder + " -o /dev/null/x", 7, "/dev/null"},
       }) {
    const Result result = lra_report(refusal.arguments);
    EXPECT_EQ(result.code, refusal.code) << refusal.arguments << ": " << result.err;
    EXPECT_THAT(result.err, StartsWith("lra-report: ")) << refusal.arguments;
    EXPECT_THAT(result.err, HasSubstr(refusal.word)) << refusal.arguments;
    EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
    EXPECT_EQ(result.out, "") << refusal.arguments;
  }
}

TEST(LraReportOutput, SaysWhenItCannotBeWritten) {
  const Result result = shell(std::string(LRA_REPORT) + " table " + records("report-full") + " > /dev/full");
  EXPECT_EQ(result.code, 7);
  EXPECT_THAT(result.err, HasSubstr("standard output"));
}

}  // namespace
}  // namespace lra::cli_test
