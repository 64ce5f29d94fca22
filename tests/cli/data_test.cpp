// lra-data: figures that records carry too, files that come back as they were written, and one line for a row that does
// not.
#include <gmock/gmock.h>

#include <algorithm>
#include <fstream>
#include <numeric>

#include "core/text.h"
#include "tests/cli/program.h"

namespace lra::cli_test {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

Result lra_data(const std::string& arguments) { return shell(std::string(LRA_DATA) + " " + arguments); }

const char* const kSmall = " --task-set train=6 --task-set validation=4 --task-set test=5 ";

std::vector<std::string> lines_of(const std::string& path) {
  std::vector<std::string> lines = split(read_file(path, 1 << 24), '\n');
  lines.pop_back();  // behind the last line end
  return lines;
}

void write_lines(const std::string& path, const std::vector<std::string>& lines) {
  std::ofstream(path) << join(lines, "\n") << "\n";
}

// ---- stats -------------------------------------------------------------------------------------------------------

TEST(LraDataStats, GivesTheHashAndTheBaselinesOfARecord) {
  const std::string out = fresh_folder("data-record");
  ASSERT_EQ(lra_run("--variant identity --task listops --preset smoke --steps 2 --out " + out).code, 0);
  const Json record = parse_json(read_file(record_below(out), 1 << 24), "record");
  const Result result = lra_data("stats --task listops --preset smoke --json");
  ASSERT_EQ(result.code, 0) << result.err;
  const Json stats = result.json();
  EXPECT_EQ(stats.at("hash"), record.at("hashes").at("data"));
  const Json& baselines = record.at("quality").at("baselines");
  for (const Json& one : stats.at("baselines"))
    EXPECT_EQ(baselines.at(one.at("name").get<std::string>()), one.at("accuracy"));
}

TEST(LraDataStats, CountsClassesLengthsAndOverlaps) {
  const Json stats = lra_data("stats --task listops --preset smoke --no-baselines --json").json();
  EXPECT_EQ(stats.at("baselines").size(), 0u);
  EXPECT_EQ(stats.at("overlap").at("test_in_train"), 0);
  for (const auto& [name, split] : stats.at("splits").items()) {
    const auto shares = split.at("class_shares").get<std::vector<double>>();
    EXPECT_NEAR(std::accumulate(shares.begin(), shares.end(), 0.0), 1.0, 1e-12) << name;
    std::vector<int64_t> quantiles;
    for (const char* key : {"min", "q05", "q25", "median", "q75", "q95", "max"})
      quantiles.push_back(split.at("length").at(key));
    EXPECT_TRUE(std::ranges::is_sorted(quantiles)) << name;
    EXPECT_GT(quantiles.front(), 4) << name;
    EXPECT_LT(quantiles.back(), 32) << name;
    EXPECT_NEAR(split.at("length").at("mean").get<double>() * split.at("examples").get<double>(),
                split.at("tokens").get<double>(), 1e-6);
  }
}

TEST(LraDataStats, SaysTheSameInWords) {
  EXPECT_THAT(lra_data("stats --task listops --preset smoke").out,
              AllOf(HasSubstr("preset smoke"), HasSubstr("median"), HasSubstr("baseline  root operator: "),
                    HasSubstr("test in train 0")));
  // Next tokens have no classes, and their baselines are bits.
  EXPECT_THAT(lra_data("stats --task lm --preset smoke").out,
              AllOf(HasSubstr("entropy of the source: 1."), HasSubstr(" bits"), Not(HasSubstr("class "))));
}

// ---- show --------------------------------------------------------------------------------------------------------

TEST(LraDataShow, PrintsExamplesWithTheirLabelsAndNoColourIntoAFile) {
  const Result result = lra_data("show --task listops --preset smoke -n 3 --first 2");
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_THAT(result.out,
              AllOf(StartsWith("test 2: "), HasSubstr("test 4: "), HasSubstr("["), Not(HasSubstr("\x1b["))));
  const Json json = lra_data("show --task listops --preset smoke -n 1 --first 2 --json").json();
  EXPECT_THAT(result.out, StartsWith("test 2: " + json.at(0).at("label").dump() + "\n" +
                                     json.at(0).at("sequences").at(0).at("text").get<std::string>() + "\n"));
}

TEST(LraDataShow, CutsLongSequencesAndSaysSo) {
  EXPECT_THAT(lra_data("show --task lm --preset smoke -n 1 --tokens 9").out, HasSubstr(" ... 120 more tokens\n"));
  EXPECT_THAT(lra_data("show --task lm --preset smoke -n 1 --tokens 0").out, Not(HasSubstr("more tokens")));
}

TEST(LraDataShow, DrawsASheetOfPictures) {
  const std::string path = fresh_folder("data-sheet") + "/sheet.png";
  const Result result = lra_data("show --task pathfinder --task-set resolution=32 -n 10 -q -o " + path);
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_EQ(result.err + result.out, "");
  const std::string png = read_file(path, 1 << 24);
  ASSERT_THAT(png, StartsWith("\x89PNG"));
  // Eight pictures of 96 pixels in a row, with 12 between them and around.
  EXPECT_EQ(static_cast<unsigned char>(png[18]) * 256 + static_cast<unsigned char>(png[19]), 12 + 8 * (96 + 12));
}

TEST(LraDataShow, MakesNoMoreThanItShowsUnlessAPresetIsNamed) {
  const Result result = lra_data("show --task listops -n 2 --tokens 5 --json");
  EXPECT_EQ(result.json().size(), 2u);
  EXPECT_THAT(lra_data("show --task pathfinder --preset smoke -n 1").out, StartsWith("test 0: "));
}

// ---- export and verify -------------------------------------------------------------------------------------------

struct Published {
  std::string task, settings;
  std::vector<std::string> files;  // of train, validation, test
  std::string form;
};

class LraDataExport : public testing::TestWithParam<Published> {};

TEST_P(LraDataExport, WritesThePublishedFilesWhichComeBackAsTheyWere) {
  const auto& [task, settings, files, form] = GetParam();
  const std::string folder = fresh_folder("export-" + task);
  const std::string what = " --task " + task + " --preset smoke" + kSmall + settings;
  const Result written = lra_data("export --split all -o " + folder + what);
  ASSERT_EQ(written.code, 0) << written.err;
  for (const auto& file : files) EXPECT_TRUE(std::filesystem::exists(folder + "/" + file)) << file;
  const Result verified = lra_data("verify --json " + folder);
  ASSERT_EQ(verified.code, 0) << verified.err;
  const Json manifests = verified.json();
  ASSERT_EQ(manifests.size(), 3u);
  const Json stats = lra_data("stats --json --no-baselines" + what).json();
  for (const Json& manifest : manifests) {
    EXPECT_EQ(manifest.at("data_hash"), stats.at("hash"));
    EXPECT_EQ(manifest.at("form"), form);
    EXPECT_EQ(manifest.at("examples"), stats.at("splits").at(manifest.at("split").get<std::string>()).at("examples"));
  }
}

const std::string kPathfinder = "pathfinder12/curv_contour_length_4/";
INSTANTIATE_TEST_SUITE_P(
    EachTask, LraDataExport,
    testing::Values(
        Published{"listops", "", {"basic_train.tsv", "basic_val.tsv", "basic_test.tsv"}, "listops-tsv"},
        Published{"pathfinder",
                  "",
                  {kPathfinder + "metadata/0.npy", kPathfinder + "imgs/0/sample_5.png",
                   kPathfinder + "imgs/10000/sample_3.png", kPathfinder + "imgs/20000/sample_4.png"},
                  "pathfinder-png"},
        Published{"pathx",
                  "--task-set difficulty=easy",
                  {"pathfinder128/curv_baseline/metadata/20000.npy", "pathfinder128/curv_baseline/imgs/0/sample_0.png"},
                  "pathfinder-png"},
        Published{"image",
                  "--task-set source=procedural",
                  {"train-images-idx3-ubyte.gz", "validation-labels-idx1-ubyte.gz", "t10k-images-idx3-ubyte.gz"},
                  "idx"},
        Published{"text", "", {"imdb_train.tsv", "imdb_validation.tsv", "imdb_test.tsv"}, "imdb-tsv"},
        Published{"retrieval",
                  "",
                  {"new_aan_pairs.train.tsv", "new_aan_pairs.eval.tsv", "new_aan_pairs.test.tsv"},
                  "aan-tsv"},
        Published{"recall", "", {"tokens_train.tsv", "tokens_test.tsv"}, "tokens-tsv"},
        Published{"lm", "", {"tokens_train.tsv", "tokens_test.tsv"}, "tokens-tsv"}),
    [](const auto& one) { return one.param.task; });

// Five examples of the test split in a new folder.
std::string exported(const std::string& task, const std::string& settings = "") {
  const std::string folder = fresh_folder("bad-" + task);
  const Result result = lra_data("export -q -o " + folder + " --task " + task + " --preset smoke" + kSmall + settings);
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_EQ(lra_data("verify " + folder).code, 0);
  return folder;
}

void expect_refused(const std::string& folder, const std::vector<std::string>& words) {
  const Result result = lra_data("verify " + folder);
  EXPECT_EQ(result.code, 5) << result.out;
  EXPECT_EQ(result.out, "");
  EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
  for (const auto& word : words) EXPECT_THAT(result.err, HasSubstr(word));
}

TEST(LraDataExport, WritesListOpsAsTheGeneratorOfLongRangeArenaDoes) {
  const auto lines = lines_of(exported("listops") + "/basic_test.tsv");
  ASSERT_EQ(lines.size(), 6u);
  EXPECT_EQ(lines[0], "Source\tTarget");
  for (std::size_t i = 1; i < lines.size(); ++i)
    EXPECT_THAT(lines[i], testing::MatchesRegex("[^\t]*( \\) | )[^\t]*\\)\t[0-9]|[0-9]\t[0-9]")) << lines[i];
}

TEST(LraDataExport, WritesTheElevenColumnsOfPathfindersMetadata) {
  const auto lines = lines_of(exported("pathfinder", "--task-set resolution=32") +
                              "/pathfinder32/curv_contour_length_14/metadata/20000.npy");
  ASSERT_EQ(lines.size(), 5u);
  EXPECT_THAT(lines[2], testing::MatchesRegex("imgs/20000 sample_2.png 2 [01] 1.0 14 4 2 0.5 1 1"));
}

// Every example of every split comes back, whatever its place.
TEST(LraDataExport, WritesFilesThatTheTaskReads) {
  struct Form {
    std::string task, made, source;
  };
  for (const auto& [task, made, source] :
       {Form{"listops", "", "lra"}, Form{"retrieval", "", "aan"}, Form{"text", "", "imdb"},
        Form{"image", " --task-set source=procedural --task-set size=14", "idx --task-set size=0"},
        Form{"pathfinder", " --task-set balance=none", "lra --task-set balance=none --task-set resolution=12"}}) {
    const std::string folder = fresh_folder("back-" + task);
    const std::string what = " --task " + task + " --preset smoke" + kSmall;
    ASSERT_EQ(lra_data("export --split all -o " + folder + what + made).code, 0) << task;
    const Json wanted = lra_data("stats --no-baselines --json" + what + made).json();
    const Result read =
        lra_data("stats --no-baselines --json" + what + " --task-set path=" + folder + " --task-set source=" + source);
    ASSERT_EQ(read.code, 0) << read.err;
    EXPECT_EQ(read.json().at("splits"), wanted.at("splits")) << task;
    EXPECT_EQ(read.json().at("notes").at("rows_left_out"), 0) << task;
  }
}

TEST(LraDataExport, NeedsAFolderThatHoldsNothingElse) {
  const std::string folder = exported("listops");
  const Result again = lra_data("export -q -o " + folder + " --task listops --preset smoke" + kSmall);
  EXPECT_EQ(again.code, 2);
  EXPECT_THAT(again.err, HasSubstr("holds the test split already"));
  const Result other = lra_data("export -q --split train -o " + folder + " --task recall --preset smoke" + kSmall);
  EXPECT_EQ(other.code, 2);
  EXPECT_THAT(other.err, HasSubstr("holds the test split of other data (listops)"));
}

TEST(LraDataExport, RefusesTextsThatATableCannotHoldAndNamesTheFormThatCan) {
  const std::string folder = fresh_folder("tabs");
  std::filesystem::create_directories(folder);
  for (const char* part : {"train", "test"}) {
    for (const char* kind : {"pos", "neg"}) {
      std::filesystem::create_directories(folder + "/imdb/" + part + "/" + kind);
      for (const char* name : {"0_9", "1_9", "2_9"})
        std::ofstream(folder + "/imdb/" + part + "/" + kind + "/" + name + ".txt") << part << name << "\tand\n" << kind;
    }
  }
  const std::string what = "export -q --split test --task text --task-set source=imdb --task-set path=" + folder +
                           "/imdb --task-set train=2 --task-set validation=2 --task-set test=4 -o " + folder;
  const Result result = lra_data(what + "/a");
  EXPECT_EQ(result.code, 2) << result.err;
  EXPECT_THAT(result.err, AllOf(HasSubstr("text: test example 0 holds a tab"), HasSubstr("--format tokens-tsv")));
  ASSERT_EQ(lra_data(what + "/b --format tokens-tsv").code, 0);
  EXPECT_EQ(lra_data("verify " + folder + "/b").code, 0);
}

TEST(LraDataVerify, NamesTheRowOfAnExpressionWithAnotherValue) {
  const std::string folder = exported("listops"), file = folder + "/basic_test.tsv";
  auto lines = lines_of(file);
  char& digit = lines[3].back();
  digit = digit == '9' ? '0' : static_cast<char>(digit + 1);
  write_lines(file, lines);
  expect_refused(folder, {file + ", row 4: Target ", "but the expression is "});
}

TEST(LraDataVerify, NamesTheRowOfAnExpressionThatIsNone) {
  const std::string folder = exported("listops"), file = folder + "/basic_test.tsv";
  auto lines = lines_of(file);
  lines[2] = "( ( [MAX 2 ) FOUR ) ]\t4";
  write_lines(file, lines);
  expect_refused(folder, {file + ", row 3: ", "unknown word 'FOUR'"});
}

TEST(LraDataVerify, NamesTheRowOfATextWithOneByteChanged) {
  const std::string folder = exported("text"), file = folder + "/imdb_test.tsv";
  auto lines = lines_of(file);
  lines[1].back() = lines[1].back() == 'x' ? 'y' : 'x';
  write_lines(file, lines);
  expect_refused(folder, {file + ", row 2: is not example 1 as it was exported"});
}

TEST(LraDataVerify, NamesTheRowOfALabelThatIsNone) {
  const std::string folder = exported("text"), file = folder + "/imdb_test.tsv";
  auto lines = lines_of(file);
  lines[4][0] = '7';
  write_lines(file, lines);
  expect_refused(folder, {file + ", row 5: label '7'; 0 to 1 is wanted"});
}

TEST(LraDataVerify, NamesTheRowWithAColumnTooFew) {
  const std::string folder = exported("retrieval"), file = folder + "/new_aan_pairs.test.tsv";
  auto lines = lines_of(file);
  lines[2].resize(lines[2].rfind('\t'));
  write_lines(file, lines);
  expect_refused(folder, {file + ", row 3: has 4 columns; 5 are wanted: label, id1"});
}

TEST(LraDataVerify, NamesTheRowOfATokenOutsideTheVocabulary) {
  const std::string folder = exported("recall"), file = folder + "/tokens_test.tsv";
  auto lines = lines_of(file);
  lines[1] += " 70000";
  write_lines(file, lines);
  expect_refused(folder, {file + ", row 2: token '70000'; 0 to "});
}

TEST(LraDataVerify, MissesAnExampleAndSeesOneTooMany) {
  const std::string folder = exported("recall"), file = folder + "/tokens_test.tsv";
  const auto lines = lines_of(file);
  write_lines(file, {lines.begin(), lines.end() - 1});
  expect_refused(folder, {file + ": ends after 4 of 5 examples"});
  auto more = lines;
  more.push_back(lines[1]);
  write_lines(file, more);
  expect_refused(folder, {file + ", row 7: is more than the 5 examples"});
}

TEST(LraDataVerify, ReadsNothingOutsideTheFolder) {
  const std::string folder = exported("recall"), manifest = folder + "/test.manifest.json";
  Json json = parse_json(read_file(manifest, 1 << 20), manifest);
  for (const char* file : {"../tokens_test.tsv", "/dev/null", "a/../../b"}) {
    json["layout"]["file"] = file;
    std::ofstream(manifest) << json_text(json);
    expect_refused(folder, {"'" + std::string(file) + "'", "own folder"});
  }
}

TEST(LraDataVerify, NamesTheRowOfAPictureThatIsAnotherOrDamaged) {
  const std::string folder = exported("pathfinder"), set = folder + "/" + kPathfinder;
  const std::string table = set + "metadata/20000.npy", picture = set + "imgs/20000/sample_1.png";
  const std::string whole = read_file(picture, 1 << 20);
  std::ofstream(picture) << read_file(set + "imgs/20000/sample_3.png", 1 << 20);
  expect_refused(folder, {table + ", row 2: is not example 1 as it was exported"});
  std::ofstream(picture) << whole.substr(0, whole.size() - 30);
  expect_refused(folder, {table + ", row 2: " + picture + ": "});
  std::filesystem::remove(picture);
  expect_refused(folder, {table + ", row 2: " + picture + ": "});
  std::ofstream(picture) << whole;
  auto lines = lines_of(table);
  lines[3] = "imgs/20000 sample_3.png 3 2 1.0 4 1 3 0.5 0 1";
  write_lines(table, lines);
  expect_refused(folder, {table + ", row 4: label '2' in column 4"});
}

TEST(LraDataVerify, NamesThePictureAtWhichAnIdxFileBreaksOff) {
  const std::string folder = exported("image", "--task-set source=procedural");
  const std::string file = folder + "/t10k-images-idx3-ubyte.gz", whole = read_file(file, 1 << 20);
  std::ofstream(file) << whole.substr(0, whole.size() / 2);
  expect_refused(folder, {file + ", row ", "damaged or ends too early"});
  std::ofstream(file) << read_file(folder + "/t10k-labels-idx1-ubyte.gz", 1 << 20);
  expect_refused(folder, {file + ": starts with 0x00000801; 0x00000803 is wanted"});
}

TEST(LraDataVerify, RefusesAManifestOrAListThatIsDamaged) {
  const std::string folder = exported("listops"), manifest = folder + "/test.manifest.json";
  const std::string list = folder + "/test.rows", whole = read_file(list, 1 << 20);
  std::ofstream(list) << whole.substr(17);
  expect_refused(folder, {list + ": is not the list that " + manifest + " names"});
  std::ofstream(list) << whole;
  Json json = parse_json(read_file(manifest, 1 << 20), manifest);
  const Json good = json;
  json["form"] = "papyrus";
  std::ofstream(manifest) << json_text(json);
  expect_refused(folder, {manifest + ": form 'papyrus' is not known"});
  for (const char* gone : {"shape", "layout", "examples", "rows_hash", "schema"}) {
    json = good;
    json.erase(gone);
    std::ofstream(manifest) << json_text(json);
    expect_refused(folder, {"manifest"});
  }
  std::ofstream(manifest) << "{";
  expect_refused(folder, {manifest});
}

// ---- manners -----------------------------------------------------------------------------------------------------

struct Refusal {
  std::string arguments;
  int code;
  std::vector<std::string> words;
};

class LraDataRefusal : public testing::TestWithParam<Refusal> {};

TEST_P(LraDataRefusal, IsOneLineThatNamesTheFaultAndTheWayOut) {
  const Refusal& refusal = GetParam();
  const Result result = lra_data(refusal.arguments);
  EXPECT_EQ(result.code, refusal.code) << result.err;
  EXPECT_EQ(result.out, "");
  EXPECT_THAT(result.err, StartsWith("lra-data: "));
  EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
  for (const auto& word : refusal.words) EXPECT_THAT(result.err, HasSubstr(word));
}

INSTANTIATE_TEST_SUITE_P(
    All, LraDataRefusal,
    testing::Values(
        Refusal{"", 2, {"a command is missing; choose stats"}},
        Refusal{"stat", 2, {"no command is called 'stat'; did you mean 'stats'?"}},
        Refusal{"stats", 2, {"--task is missing", "pathx"}},
        Refusal{"stats --task listop", 2, {"did you mean 'listops'?"}},
        Refusal{"stats --task listops --preset smal", 2, {"did you mean 'small'?"}},
        Refusal{"stats --task listops --task-set depth=3", 2, {"no option 'depth'", "max_depth"}},
        Refusal{"stats --task listops --task-set text.pairs=3", 2, {"the task is 'listops', not 'text'"}},
        Refusal{"stats --task pathx --preset small", 2, {"preset 'small' has no settings for task 'pathx'"}},
        Refusal{"show --task listops --frist 2", 2, {"did you mean '--first'?"}},
        Refusal{"show --task listops --split tst", 2, {"did you mean 'test'?"}},
        Refusal{"show --task listops --split all", 2, {"show takes one split"}},
        Refusal{"show -q --task listops --preset smoke --first 400", 2, {"test has 400 examples, choose 0 to 399"}},
        Refusal{"show -q --task listops --preset smoke -o a.png", 2, {"no pictures", "leave -o out"}},
        Refusal{"show --task pathfinder --preset smoke -o a.jpg", 2, {"'a.jpg'", ".png"}},
        Refusal{"show -q --task pathfinder --preset smoke -o /dev/null/a.png", 7, {"/dev/null"}},
        Refusal{"export --task listops --preset smoke", 2, {"--out is missing"}},
        Refusal{"export -q --task listops --preset smoke -o /dev/null/d", 7, {"/dev/null/d"}},
        Refusal{"export --task listops --preset smoke -o d --format csv", 2, {"no format is called 'csv'"}},
        Refusal{"verify /nowhere/at/all", 7, {"/nowhere/at/all: is no folder"}},
        Refusal{"verify " LRA_GOLDEN_DIR, 5, {"manifest.json", "lra-data export writes one"}}));

TEST(LraDataOutput, SaysWhenItCannotBeWritten) {
  const Result result = shell(std::string(LRA_DATA) + " stats -q --task listops --preset smoke > /dev/full");
  EXPECT_EQ(result.code, 7);
  EXPECT_THAT(result.err, HasSubstr("standard output"));
}

}  // namespace
}  // namespace lra::cli_test
