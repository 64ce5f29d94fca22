// Cells from door to door: records, threads, crashes, time limits, interrupts, resuming.
#include <gmock/gmock.h>
#include <signal.h>

#include <chrono>
#include <thread>

#include "tests/cli/program.h"

namespace lra::cli_test {
namespace {

using testing::HasSubstr;

constexpr const char* kSmoke = "--task listops --preset smoke --seed 1 --quiet ";

// Starts lra-run in the background.
pid_t start(const std::string& arguments) {
  const pid_t pid = fork();
  if (pid == 0) {
    const std::string command = std::string("exec ") + LRA_RUN + " " + arguments + " >/dev/null 2>&1";
    execl("/bin/sh", "sh", "-c", command.c_str(), nullptr);
    _exit(127);
  }
  return pid;
}

int end_of(pid_t pid) {
  int status = 0;
  waitpid(pid, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

// Waits until the run has written a checkpoint, some way into its training.
void wait_for_checkpoint(const std::string& folder) {
  for (int i = 0; i < 600 && !has_file(folder, ".ckpt"); ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  ASSERT_TRUE(has_file(folder, ".ckpt"));
}

std::string final_weights(const std::string& folder) {
  return read_json(record_below(folder)).at("hashes").at("final_weights").get<std::string>();
}

TEST(LraRun, LeavesOneRecordForEachVariant) {
  const std::string out = fresh_folder("two");
  const Result result = lra_run(std::string(kSmoke) + "--variant softmax,identity --json --out " + out);
  ASSERT_EQ(result.code, 0) << result.err;
  const Json records = result.json();
  ASSERT_EQ(records.size(), 2u);
  for (const Json& record : records) {
    EXPECT_EQ(record.at("schema"), "lra.record/1");
    EXPECT_TRUE(record.at("quality").at("test").is_number());
    EXPECT_GT(record.at("memory").at("peak_rss"), 0);
    const std::string path = out + "/listops/" + record.at("variant").get<std::string>() + "/" +
                             record.at("spec_hash").get<std::string>() + "-s1.json";
    EXPECT_EQ(read_json(path), record);
  }
  // Only the mixer differs: both start from the same bytes elsewhere and see the same data.
  EXPECT_EQ(records[0].at("hashes").at("initial_shared_weights"), records[1].at("hashes").at("initial_shared_weights"));
  EXPECT_EQ(records[0].at("hashes").at("data"), records[1].at("hashes").at("data"));
}

TEST(LraRun, PrintsAccuracyWithItsIntervalBaselinesSpeedMemoryAndTheRecord) {
  const std::string out = fresh_folder("summary");
  const Result result = lra_run(std::string(kSmoke) + "--variant softmax --out " + out);
  ASSERT_EQ(result.code, 0) << result.err;
  EXPECT_EQ(result.err, "");
  for (const char* word : {"accuracy", "95 % interval", "majority", "root operator", "chance", "steps/s", "tokens/s",
                           "FMA peak", "planned", "MiB"}) {
    EXPECT_THAT(result.out, HasSubstr(word));
  }
  EXPECT_THAT(result.out, HasSubstr(record_below(out)));
}

TEST(LraRun, GivesTheSameWeightsForAnyNumberOfThreads) {
  const std::string one = fresh_folder("threads-1");
  const std::string two = fresh_folder("threads-2");
  ASSERT_EQ(lra_run(std::string(kSmoke) + "--variant softmax --threads 1 --out " + one).code, 0);
  ASSERT_EQ(lra_run(std::string(kSmoke) + "--variant softmax --threads 2 --out " + two).code, 0);
  EXPECT_EQ(final_weights(one), final_weights(two));
}

TEST(LraRun, StartsFromAnotherVariantsWeightsAndListsWhatWasNotFoundThere) {
  const std::string out = fresh_folder("init-from");
  const std::string size = " --task listops --preset smoke --steps 5 --quiet --json --out " + out;
  ASSERT_EQ(lra_run("--variant softmax" + size).code, 0);
  std::string checkpoint = record_below(out);
  checkpoint.replace(checkpoint.size() - 5, 5, ".ckpt");
  const Result scratch = lra_run("--variant performer" + size);
  const Result warm = lra_run("--variant performer --init-from " + checkpoint + size);
  ASSERT_EQ(warm.code, 0) << warm.err;
  const Json record = warm.json().is_array() ? warm.json()[0] : warm.json();
  const Json plain = scratch.json().is_array() ? scratch.json()[0] : scratch.json();
  EXPECT_EQ(record["init_from"]["kept"], Json({"layer0.mixer.projection", "layer1.mixer.projection"}));
  EXPECT_NE(record["spec_hash"], plain["spec_hash"]);
  EXPECT_NE(record["hashes"]["final_weights"], plain["hashes"]["final_weights"]);
  EXPECT_EQ(lra_run("--variant performer --init-from /dev/null" + size).code, 5);
}

TEST(LraRun, SkipsFinishedCellsWhenResuming) {
  const std::string out = fresh_folder("skip");
  const std::string command = std::string(kSmoke) + "--variant identity --out " + out;
  ASSERT_EQ(lra_run(command).code, 0);
  const auto written = std::filesystem::last_write_time(record_below(out));
  const Result again = lra_run(command + " --resume");
  EXPECT_EQ(again.code, 0);
  EXPECT_THAT(again.out, HasSubstr("accuracy"));
  EXPECT_EQ(std::filesystem::last_write_time(record_below(out)), written);
  EXPECT_THAT(lra_run(command + " --status").out, HasSubstr("1 of 1 done"));
}

TEST(LraRun, SkipsACellThatDoesNotFitAndSaysByHowMuch) {
  const std::string out = fresh_folder("limit");
  const Result result = lra_run(std::string(kSmoke) + "--variant softmax --memory-limit 100K --json --out " + out);
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_EQ(result.json().at(0).at("status"), "skipped");
  EXPECT_THAT(result.json().at(0).at("error").at("message").get<std::string>(), HasSubstr("too much"));
}

TEST(LraRun, OutlivesAVariantThatCrashes) {
  const std::string out = fresh_folder("crash");
  const Result result =
      lra_run(std::string(kSmoke) + "--variant crashing,softmax --json --plugin-path " LRA_UNRULY_DIR " --out " + out);
  EXPECT_EQ(result.code, 4) << result.err;
  const Json records = result.json();
  ASSERT_EQ(records.size(), 2u);
  EXPECT_EQ(records[0].at("status"), "crashed");
  EXPECT_THAT(records[0].at("error").at("message").get<std::string>(), HasSubstr("SIG"));
  EXPECT_TRUE(records[1].at("quality").at("test").is_number());
  EXPECT_EQ(read_json(record_below(out + "/listops/crashing")).at("status"), "crashed");
}

TEST(LraRun, EndsACellThatHangsWhenItsTimeIsOver) {
  const std::string out = fresh_folder("hang");
  const Result result = lra_run(std::string(kSmoke) +
                                "--variant hanging --timeout 1s --json --plugin-path " LRA_UNRULY_DIR " --out " + out);
  EXPECT_EQ(result.code, 4) << result.err;
  EXPECT_EQ(result.json().at(0).at("status"), "timeout");
}

// One uninterrupted run, and two that are stopped in the middle: gently, and by kill -9.
class LraRunResume : public testing::Test {
 protected:
  static constexpr const char* kLong = "--variant softmax --steps 300 --eval-every 100 --checkpoint-every 0 ";

  static std::string uninterrupted() {
    static const std::string weights = [] {
      const std::string out = fresh_folder("uninterrupted");
      EXPECT_EQ(lra_run(std::string(kSmoke) + kLong + "--out " + out).code, 0);
      return final_weights(out);
    }();
    return weights;
  }
};

TEST_F(LraRunResume, EqualsAnUninterruptedRunAfterKillNine) {
  const std::string wanted = uninterrupted();
  const std::string out = fresh_folder("killed");
  const std::string command = std::string(kSmoke) + kLong + "--out " + out;
  const pid_t pid = start(command);
  wait_for_checkpoint(out);
  kill(pid, SIGKILL);
  EXPECT_EQ(end_of(pid), 128 + SIGKILL);
  ASSERT_EQ(record_below(out), "");  // stopped in mid-training, and the child did not live on
  EXPECT_THAT(lra_run(command + " --status").out, HasSubstr("unfinished"));
  const Result result = lra_run(command + " --resume");
  ASSERT_EQ(result.code, 0) << result.err;
  EXPECT_EQ(read_json(record_below(out)).at("speed").at("resumed"), 1);
  EXPECT_EQ(final_weights(out), wanted);
}

TEST_F(LraRunResume, EqualsAnUninterruptedRunAfterCtrlC) {
  const std::string wanted = uninterrupted();
  const std::string out = fresh_folder("interrupted");
  const std::string command = std::string(kSmoke) + kLong + "--out " + out;
  const pid_t pid = start(command);
  wait_for_checkpoint(out);
  kill(pid, SIGINT);
  EXPECT_EQ(end_of(pid), 130);
  EXPECT_EQ(read_json(record_below(out)).at("status"), "interrupted");
  const Result result = lra_run(command + " --resume");
  ASSERT_EQ(result.code, 0) << result.err;
  EXPECT_EQ(read_json(record_below(out)).at("speed").at("resumed"), 1);
  EXPECT_EQ(final_weights(out), wanted);
}

}  // namespace
}  // namespace lra::cli_test
