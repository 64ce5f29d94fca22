// lra-check: every planted fault is found by the check that is meant for it, a sound plugin passes, and what the
// program says about it can be used.
#include <gmock/gmock.h>

#include <algorithm>
#include <fstream>
#include <map>
#include <set>

#include "tests/cli/program.h"

namespace lra::cli_test {
namespace {

using testing::Contains;
using testing::HasSubstr;

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kOwnHeap = false;  // a sanitizer's allocator stands between
#else
constexpr bool kOwnHeap = true;
#endif

Result lra_check(const std::string& arguments) { return shell(std::string(LRA_CHECK) + " " + arguments); }

// The result of one plugin in a list.
const Json& plugin_in(const Json& result, const std::string& id) {
  for (const Json& plugin : result.at("plugins")) {
    if (plugin.at("id") == id) return plugin;
  }
  throw std::out_of_range(id);
}

std::vector<std::string> checks_with(const Json& plugin, const std::string& verdict) {
  std::vector<std::string> out;
  for (const Json& check : plugin.at("checks")) {
    if (check.at("verdict") == verdict) out.push_back(check.at("id").get<std::string>());
  }
  return out;
}

const Json& check_in(const Json& plugin, const std::string& id) {
  for (const Json& check : plugin.at("checks")) {
    if (check.at("id") == id) return check;
  }
  throw std::out_of_range(id);
}

// All planted plugins, checked once.
class Planted : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    run_ = lra_check(std::string(LRA_PLANTED_DIR) + "/*.so --timeout " + (kOwnHeap ? "5" : "20") + " --json");
    result_ = run_.json();
  }
  static inline Result run_;
  static inline Json result_;
};

TEST_F(Planted, EachFaultIsFoundByTheCheckThatIsMeantForIt) {
  std::map<std::string, std::string> faults{{"sign_error", "gradients"},
                                            {"missing_term", "gradients"},
                                            {"idle_switch", "stop_gradient"},
                                            {"wrong_limit", "limits"},
                                            {"not_stochastic", "weights"},
                                            {"causal_leak", "causality"},
                                            {"remembers", "isolation"},
                                            {"max_len_matters", "length"},
                                            {"counts_calls", "repeat"},
                                            {"counts_threads", "threads"},
                                            {"static_scratch", "concurrency"},
                                            {"unwritten_scratch", "poison"},
                                            {"writes_behind", "guards"},
                                            {"writes_before", "guards"},
                                            {"reads_behind", "guards"},
                                            {"writes_buffer", "read_only"},
                                            {"overwrites_gradient", "accumulation"},
                                            {"training_differs", "evaluation"},
                                            {"zero_over_zero", "finite"},
                                            {"wrong_cost", "cost"},
                                            {"keeps_matrix", "memory"},
                                            {"leaks_file", "traces"},
                                            {"silent_refusal", "errors"},
                                            {"fickle", "declarations"},
                                            {"hangs", "gradients"},
                                            {"aborts", "gradients"},
                                            {"dies_at_exit", "ending"}};
  if (kOwnHeap) {
    faults["allocates"] = "allocation";
    faults["leaks_memory"] = "traces";
  }
  EXPECT_EQ(run_.code, 6);
  for (const auto& [id, check] : faults) {
    const Json& plugin = plugin_in(result_, id);
    EXPECT_FALSE(plugin.at("conforms")) << id;
    EXPECT_THAT(checks_with(plugin, "fail"), Contains(check)) << id;
  }
}

TEST_F(Planted, TheSoundOnePassesEverything) {
  const Json& sound = plugin_in(result_, "sound");
  EXPECT_TRUE(sound.at("conforms"));
  EXPECT_THAT(checks_with(sound, "fail"), testing::IsEmpty()) << sound;
  EXPECT_GT(checks_with(sound, "pass").size(), 18u);
}

TEST_F(Planted, AFaultThatIsQuietElsewhereFailsNothingElse) {
  for (const auto& [id, check] : std::map<std::string, std::string>{{"reads_behind", "guards"},
                                                                    {"writes_behind", "guards"},
                                                                    {"writes_buffer", "read_only"},
                                                                    {"wrong_cost", "cost"},
                                                                    {"wrong_limit", "limits"},
                                                                    {"overwrites_gradient", "accumulation"}}) {
    EXPECT_THAT(checks_with(plugin_in(result_, id), "fail"), testing::ElementsAre(check)) << id;
  }
}

TEST_F(Planted, AnOverrunIsNamedByItsBlock) {
  const auto found = [](const char* id, const char* check) {
    return check_in(plugin_in(result_, id), check).at("found").get<std::string>();
  };
  EXPECT_THAT(found("writes_behind", "guards"), HasSubstr("behind saved block 'o'"));
  EXPECT_THAT(found("writes_before", "guards"), HasSubstr("before saved block 'v'"));
  EXPECT_THAT(found("reads_behind", "guards"), HasSubstr("behind x"));
  EXPECT_THAT(found("writes_buffer", "read_only"), HasSubstr("in parameter 'table', which may only be read"));
  EXPECT_THAT(found("aborts", "gradients"), HasSubstr("SIGABRT"));
  EXPECT_THAT(check_in(plugin_in(result_, "aborts"), "gradients").at("what").get<std::string>(), HasSubstr("backward"));
}

TEST_F(Planted, AHangEndsTheChecksOfThatPluginOnly) {
  const Json& hangs = plugin_in(result_, "hangs");
  EXPECT_THAT(check_in(hangs, "gradients").at("found").get<std::string>(), HasSubstr("did not return in time"));
  EXPECT_EQ(check_in(hangs, "guards").at("verdict"), "not applicable");
  EXPECT_THAT(check_in(hangs, "guards").at("note").get<std::string>(), HasSubstr("gradients"));
}

TEST_F(Planted, EveryCheckButThePrecisionOneIsProvedByAFault) {
  std::set<std::string> failed;
  for (const Json& plugin : result_.at("plugins")) {
    for (const auto& id : checks_with(plugin, "fail")) failed.insert(id);
  }
  for (const Json& check : lra_check("--list --json").json()) {
    const auto id = check.at("id").get<std::string>();
    if (id != "precision" && (kOwnHeap || id != "allocation")) {
      EXPECT_TRUE(failed.contains(id)) << id;
    }
  }
}

TEST(LraCheck, PassesSoftmaxWithALineForEachCheck) {
  const Result result = lra_check("--variant softmax");
  EXPECT_EQ(result.code, 0) << result.out;
  EXPECT_EQ(result.err, "");
  EXPECT_THAT(result.out, HasSubstr("softmax: conforms"));
  for (const Json& check : lra_check("--list --json").json())
    EXPECT_THAT(result.out, HasSubstr(check.at("id").get<std::string>()));
}

TEST(LraCheck, RunsTheChecksThatAreAskedFor) {
  const Json result = lra_check("--variant softmax,identity --checks cost,guards --json").json();
  EXPECT_EQ(result.at("schema"), "lra.check/1");
  ASSERT_EQ(result.at("plugins").size(), 2u);
  EXPECT_THAT(checks_with(result.at("plugins").at(0), "pass"), testing::ElementsAre("cost", "guards", "ending"));
}

TEST(LraCheck, ComparesTheOutputsOfTwoBuilds) {
  const std::string file = fresh_folder("outputs") + "/outputs.json";
  ASSERT_EQ(lra_check("--variant softmax --dump " + file).code, 0);
  const std::string compare = "--variant softmax --checks precision --json --compare " + file;
  EXPECT_EQ(lra_check(compare).code, 0);
  Json outputs = read_json(file);
  for (auto& [setting, y] : outputs.at("variants").at("softmax").items()) y.at(5) = y.at(5).get<double>() + 1e-3;
  std::ofstream(file) << outputs;
  const Result changed = lra_check(compare);
  EXPECT_EQ(changed.code, 6);
  EXPECT_EQ(check_in(changed.json().at("plugins").at(0), "precision").at("verdict"), "fail");
}

TEST(LraCheck, ALibraryThatIsNoVariantDoesNotConform) {
  const Result result = lra_check(std::string(LRA_BAD_PLUGINS_DIR) + "/wrong_magic.so");
  EXPECT_EQ(result.code, 6);
  EXPECT_THAT(result.out, HasSubstr("its descriptor is damaged"));
}

TEST(LraCheck, RefusesWhatItDoesNotKnow) {
  for (const auto& [arguments, words] :
       std::map<std::string, std::string>{{"--variant sofmax", "did you mean 'softmax'?"},
                                          {"--variant softmax --checks gaurds", "did you mean 'guards'?"},
                                          {"", "nothing to check"},
                                          {"/no/such.so", "is not a file"},
                                          {"--variant softmax --timeout 0", "--timeout"},
                                          {"--no-such-flag", "--no-such-flag"}}) {
    const Result result = lra_check(arguments);
    EXPECT_EQ(result.code, 2) << arguments;
    EXPECT_THAT(result.err, HasSubstr(words)) << arguments;
    EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
  }
}

TEST(LraCheck, ItsDocumentHasALineForEachCheck) {
  const std::string document = read_file(LRA_CHECKS_DOCUMENT, 1 << 20);
  for (const Json& check : lra_check("--list --json").json())
    EXPECT_THAT(document, HasSubstr("| `" + check.at("id").get<std::string>() + "` |"));
  EXPECT_THAT(document, HasSubstr("| `ending` |"));
}

}  // namespace
}  // namespace lra::cli_test
