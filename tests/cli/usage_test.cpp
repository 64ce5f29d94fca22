// What lra-run answers without running anything, and how it refuses.
#include <gmock/gmock.h>

#include <fstream>

#include "tests/cli/program.h"

namespace lra::cli_test {
namespace {

using testing::AllOf;
using testing::EndsWith;
using testing::HasSubstr;
using testing::StartsWith;

struct Refusal {
  std::string arguments;
  int code;
  std::vector<std::string> words;  // all in the message
};

class LraRunRefusal : public testing::TestWithParam<Refusal> {};

TEST_P(LraRunRefusal, IsOneLineThatNamesTheFaultAndTheWayOut) {
  const Refusal& refusal = GetParam();
  const Result result = lra_run(refusal.arguments);
  EXPECT_EQ(result.code, refusal.code) << result.err;
  EXPECT_EQ(result.out, "");
  EXPECT_THAT(result.err, StartsWith("lra-run: "));
  EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
  for (const auto& word : refusal.words) EXPECT_THAT(result.err, HasSubstr(word));
}

INSTANTIATE_TEST_SUITE_P(
    All, LraRunRefusal,
    testing::Values(
        Refusal{"--variant sofmax --task listops", 2, {"no variant is called 'sofmax'", "did you mean 'softmax'?"}},
        Refusal{"--variant softmax --task listop", 2, {"no task is called 'listop'", "did you mean 'listops'?"}},
        Refusal{"--variant softmax --task listops --preset smal",
                2,
                {"no preset is called 'smal'", "did you mean 'small'?"}},
        Refusal{"--varant softmax", 2, {"no flag is called '--varant'", "did you mean '--variant'?"}},
        Refusal{"--variant local --task listops --set windw=3",
                2,
                {"no option 'windw'", "did you mean 'window'?", "options: mode, window"}},
        Refusal{"--variant local --task listops --set window=-3", 2, {"option window is -3", "choose 0 to"}},
        Refusal{"--variant local --task listops --set mode=sideways", 2, {"no choice 'sideways'", "block"}},
        Refusal{"--variant local --task listops --set window", 2, {"write it as name=value"}},
        Refusal{
            "--variant softmax,local --task listops --set windw=3", 2, {"did you mean 'window'?", "of softmax: none"}},
        Refusal{"--variant softmax,local --task listops --set performer.features=3",
                2,
                {"'performer' is not among those that run"}},
        Refusal{"--variant softmax --task listops --task-set depth=3", 2, {"no option 'depth'", "max_depth"}},
        Refusal{"--variant softmax --task listops --layers many", 2, {"layers is \"many\"", "whole number"}},
        Refusal{
            "--variant softmax --task listops --model layer=2", 2, {"no setting 'layer'", "did you mean 'layers'?"}},
        Refusal{"--variant softmax --task listops --train stps=2", 2, {"no setting 'stps'", "did you mean 'steps'?"}},
        Refusal{"--variant softmax --task listops --layers 2 --model layers=3",
                2,
                {"layers is given by --model and by its own flag"}},
        Refusal{"--variant softmax --task listops --heads 3", 2, {"heads 3 does not divide"}},
        Refusal{"--variant softmax --task listops --positions sinusoidal2d", 2, {"needs a task of images"}},
        Refusal{"--variant softmax --task image --length 100", 2, {"--length", "'image'", "--task-set"}},
        Refusal{"--variant softmax", 2, {"--task is missing", "listops"}},
        Refusal{"", 2, {"--variant is missing", "softmax"}},
        Refusal{"--variant softmax --task listops --seeds 3..1", 2, {"'3..1' counts down"}},
        Refusal{"--variant softmax --task listops --seeds one", 2, {"'one' is not a seed"}},
        Refusal{"--variant softmax --task listops --threads 0", 2, {"--threads"}},
        Refusal{"--variant softmax --task listops --memory-limit much", 2, {"--memory-limit", "512M or 8G"}},
        Refusal{"--variant softmax --task listops --timeout soon", 2, {"--timeout", "30m"}},
        Refusal{"--list everything", 2, {"nothing is called 'everything'"}},
        Refusal{"--describe softmx", 2, {"did you mean 'softmax'?"}},
        Refusal{"--plugin-path /nowhere/at/all --list", 2, {"/nowhere/at/all", "does not exist"}},
        Refusal{"--config /nowhere.json --list", 2, {"/nowhere.json"}},
        Refusal{"--variant softmax --task listops --preset smoke --out /dev/null/runs", 7, {"/dev/null/runs"}}));

std::string write(const std::string& name, const std::string& text) {
  const std::string path = fresh_folder("files-" + name) + "/" + name;
  std::ofstream(path) << text;
  return path;
}

TEST(LraRunConfig, NamesFileLineAndColumnOfBadJson) {
  const std::string path = write("bad.json", "{\n  \"variant\": softmax\n}\n");
  const Result result = lra_run("--config " + path);
  EXPECT_EQ(result.code, 2);
  EXPECT_THAT(result.err, HasSubstr(path + ":2:"));
}

TEST(LraRunConfig, RefusesAFlagThatDoesNotExist) {
  const Result result = lra_run("--config " + write("unknown.json", R"({"varian": "softmax"})"));
  EXPECT_EQ(result.code, 2);
  EXPECT_THAT(result.err, HasSubstr("did you mean 'variant'?"));
}

TEST(LraRunConfig, GivesWayToArgvAndSaysWhoSetWhat) {
  const std::string config = write(
      "run.json",
      R"({"variant": "local", "task": ["listops"], "preset": "smoke", "set": {"window": 5}, "layers": 3, "dim": 16, "seeds": [4, 5]})");
  const Result result = lra_run("--config " + config + " --layers 1 --set mode=window --print-config --json");
  ASSERT_EQ(result.code, 0) << result.err;
  const Json settings = result.json().at(0);
  const auto expect = [&](const char* name, const Json& value, const char* source) {
    EXPECT_EQ(settings.at(name).at("value"), value) << name;
    EXPECT_EQ(settings.at(name).at("source"), source) << name;
  };
  expect("variant", "local", "config");
  expect("seeds", Json({4, 5}), "config");
  expect("variant.window", 5, "config");
  expect("variant.mode", "window", "flag");
  expect("variant.block", 64, "default");
  expect("model.layers", 1, "flag");
  expect("model.dim", 16, "config");
  expect("model.heads", 2, "preset");
  expect("model.bias", true, "default");
  expect("task.max_length", 32, "preset");
}

TEST(LraRunConfig, ReadsTheSameFromToml) {
  const std::string config = write(
      "run.toml",
      "variant = \"local\"\ntask = \"listops\"\npreset = \"smoke\"\nlayers = 3\nresume = true\n[set]\nwindow = 5\n");
  const Result result = lra_run("--config " + config + " --print-config --json");
  ASSERT_EQ(result.code, 0) << result.err;
  EXPECT_EQ(result.json().at(0).at("variant.window").at("value"), 5);
  EXPECT_EQ(result.json().at(0).at("model.layers").at("source"), "config");
}

TEST(LraRunPresets, ComeFromAFileOfTheUser) {
  const std::string presets =
      write("presets.json", R"({"schema": "lra.presets/1", "presets": {"mine": {"version": 3, "summary": "s",
      "tasks": {"listops": {"task": {"max_length": 40, "min_length": 4}, "train": {"steps": 7}, "variants": {"local": {"window": 9}}}}}}})");
  const Result result =
      lra_run("--presets " + presets + " --preset mine --variant local --task all --print-config --json");
  ASSERT_EQ(result.code, 0) << result.err;
  EXPECT_EQ(result.json().at(0).at("train.steps").at("value"), 7);
  EXPECT_EQ(result.json().at(0).at("variant.window").at("source"), "preset");
}

TEST(LraRunList, NamesVariantsTasksAndPresets) {
  const Result result = lra_run("--list");
  EXPECT_EQ(result.code, 0);
  for (const char* word : {"softmax", "identity", "local", "listops", "image", "smoke", "small", "lra", "paper"}) {
    EXPECT_THAT(result.out, HasSubstr(word));
  }
  const Json tasks = lra_run("--list tasks --json").json();
  EXPECT_TRUE(tasks.contains("tasks"));
  EXPECT_FALSE(tasks.contains("variants"));
}

TEST(LraRunDescribe, TellsFormulaOptionsBoundsAndGrowth) {
  const Result result = lra_run("--describe local");
  EXPECT_EQ(result.code, 0);
  for (const char* word : {"computes", "paper", "O(N w D)", "window", "0..1048576", "local.so"})
    EXPECT_THAT(result.out, HasSubstr(word));
  const Json json = lra_run("--describe local --json").json();
  EXPECT_EQ(json.at("options").at(1).at("default"), 32);
  EXPECT_THAT(lra_run("--describe listops").out, HasSubstr("max_depth"));
  EXPECT_THAT(lra_run("--describe small").out, HasSubstr("position_base"));
}

TEST(LraRunDryRun, ForeseesParametersMemoryAndWorkAndRunsNothing) {
  const std::string out = fresh_folder("dry");
  const Result result =
      lra_run("--variant softmax,identity --task listops --preset smoke --seeds 0..1 --dry-run --json --out " + out);
  ASSERT_EQ(result.code, 0) << result.err;
  const Json cells = result.json();
  ASSERT_EQ(cells.size(), 4u);
  EXPECT_GT(cells[0].at("parameters"), 0);
  EXPECT_GT(cells[0].at("planned").at("total"), 0);
  EXPECT_GT(cells[0].at("flops_per_step"), 0);
  EXPECT_GT(cells[0].at("seconds"), 0);
  EXPECT_FALSE(has_file(out, ".json"));
  // The second round starts with the other variant.
  EXPECT_EQ(cells[0].at("variant"), "softmax");
  EXPECT_EQ(cells[2].at("variant"), "identity");
}

TEST(LraRunOutput, IsQuietWhenItsReaderLeaves) {
  const Result result = shell(std::string(LRA_RUN) + " --list | head -1");
  EXPECT_EQ(result.code, 0);
  EXPECT_EQ(result.err, "");
}

TEST(LraRunOutput, SaysWhenItCannotBeWritten) {
  const Result result = shell(std::string(LRA_RUN) + " --list > /dev/full");
  EXPECT_EQ(result.code, 7);
  EXPECT_THAT(result.err, HasSubstr("standard output"));
}

TEST(LraRunVersion, IsPrinted) {
  const Result result = lra_run("--version");
  EXPECT_EQ(result.code, 0);
  EXPECT_THAT(result.out, StartsWith("lra-run "));
}

}  // namespace
}  // namespace lra::cli_test
