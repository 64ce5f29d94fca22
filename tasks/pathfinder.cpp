// Pathfinder: do the two markers sit on the ends of one winding contour (1) or of two (0)? Pixels, row by row. Path-X
// is the same at 128 x 128 pixels and more.
//   token = floor(pixel * gray_levels / 256)
// tasks/pathfinder/snakes.h holds the generator. Example i of a split is a function of (seed, split, i) alone.
//
// Shortcuts, each measured by a baseline: the ends of one snake tend to lie closer together, or further apart, than
// ends of two ("marker distance"); where the markers lie in the window may say which snakes they belong to ("marker
// places"); and so may pixels that are looked at one by one ("logistic regression on pixels"). balance=distance closes
// the first one, by keeping only pairs of snakes whose two far ends are equally far from the first marker, so that the
// second marker's distance says nothing about the snake that it sits on.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <string>
#include <vector>

#include "core/error.h"
#include "core/json.h"
#include "core/rng.h"
#include "data/bag.h"
#include "data/dataset.h"
#include "data/logistic.h"
#include "data/rows.h"
#include "tasks/pathfinder/pictures.h"
#include "tasks/pathfinder/release.h"
#include "tasks/pathfinder/snakes.h"

namespace lra::tasks {
namespace pathfinder {

// An example's distances differ by at most window / kBalanceGrain where they are balanced.
constexpr double kBalanceGrain = 24;

Geometry geometry_of(const Options& options) {
  const std::string& name = options.choice("difficulty");
  const int window = std::stoi(options.choice("resolution"));
  Geometry g = Geometry::of(window, name == "easy"           ? Difficulty::kEasy
                                    : name == "intermediate" ? Difficulty::kIntermediate
                                                             : Difficulty::kHard);
  if (options.integer("contour_length") > 0) {
    g.contour_length = static_cast<int>(options.integer("contour_length"));
    g.distractor_length = std::max(1, g.contour_length / 3);
  }
  if (options.integer("distractors") >= 0) g.distractors = static_cast<int>(options.integer("distractors"));
  if (options.choice("balance") == "distance") g.distance_gap = window / kBalanceGrain;
  return g;
}

}  // namespace pathfinder

namespace {

using data::Baseline;
using data::Dataset;
using data::DatasetBuilder;
using data::Row;
using data::Shape;
using data::SplitName;
using data::Token;
using pathfinder::Geometry;
using pathfinder::Sample;

constexpr int64_t kTries = 200'000;  // pairs of snakes before an example is given up
constexpr int64_t kProbeTries = 50'000;
constexpr int64_t kProbes = 16;  // examples tried before a data set is begun
constexpr std::size_t kDistanceBins = 16;

class PathfinderGenerator {
 public:
  explicit PathfinderGenerator(const Options& options)
      : snakes_(pathfinder::geometry_of(options)),
        seed_(static_cast<uint64_t>(options.integer("seed"))),
        levels_(static_cast<int>(options.integer("gray_levels"))) {}

  int window() const { return snakes_.geometry().window; }

  // Empty if no pair of snakes was found. `sample` is working memory and afterwards says how the example was drawn.
  Row row(SplitName split, uint64_t index, Sample& sample, int64_t tries = kTries) const {
    const uint64_t key = key_of({seed_, name_key("pathfinder"), static_cast<uint64_t>(split), index});
    Row row;
    if (!snakes_.draw(key, tries, sample)) return row;
    row.label = sample.label;
    row.tokens.reserve(sample.image.pixels().size());
    for (const uint8_t pixel : sample.image.pixels()) row.tokens.push_back(static_cast<Token>(pixel * levels_ / 256));
    return row;
  }

  // Throws Error(kUsage) if not one of the first examples can be drawn.
  void probe(const std::string& owner, Workers& workers) const {
    std::atomic<bool> found{false};
    workers.for_chunks(kProbes, 1, [&](int64_t begin, int64_t end, int) {
      Sample sample;
      for (int64_t i = begin; i < end; ++i) {
        if (!found && !row(SplitName::kTrain, static_cast<uint64_t>(i), sample, kProbeTries).tokens.empty())
          found = true;
      }
    });
    if (found) return;
    const Geometry& g = snakes_.geometry();
    throw Error(ErrorKind::kUsage,
                fmt::format("{}: two contours of {} paddles did not fit into {}x{} pixels in {} tries; choose a "
                            "smaller contour_length or a larger resolution",
                            owner, g.contour_length, g.window, g.window, kProbes * kProbeTries));
  }

 private:
  pathfinder::SnakeGenerator snakes_;
  uint64_t seed_;
  int levels_;
};

// What is known of the markers of an example.
struct Observation {
  double distance = 0;          // from one to the other
  double inner = 0, outer = 0;  // from the centre of the window to the nearer and to the further one
  int32_t label = 0;
};

Observation observation_of(const Sample& sample, int window) {
  const auto radius = [&](pathfinder::Point p) {
    return std::hypot(p.y - (window - 1) / 2.0, p.x - (window - 1) / 2.0);
  };
  const auto [inner, outer] = std::minmax({radius(sample.markers[0]), radius(sample.markers[1])});
  return {sample.marker_distance(), inner, outer, sample.label};
}

// The markers of the first examples of a split. They are not stored: the generator draws its first candidates again,
// and those whose tokens are the next example of the split are that example; the others were dropped as repeats.
std::vector<Observation> observe(const PathfinderGenerator& generator, SplitName name, const data::Split& split,
                                 int64_t wanted, Workers& workers) {
  const int64_t count = std::min(wanted, split.size());
  std::vector<Row> rows(static_cast<std::size_t>(count));
  std::vector<Observation> drawn(rows.size());
  workers.for_chunks(count, 8, [&](int64_t begin, int64_t end, int) {
    Sample sample;
    for (int64_t i = begin; i < end; ++i) {
      rows[static_cast<std::size_t>(i)] = generator.row(name, static_cast<uint64_t>(i), sample);
      drawn[static_cast<std::size_t>(i)] = observation_of(sample, generator.window());
    }
  });
  std::vector<Observation> seen;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const auto next = static_cast<int64_t>(seen.size());
    if (!std::ranges::equal(rows[i].tokens, split.tokens(next))) continue;
    LRA_ASSERT(rows[i].label == split.label(next));
    seen.push_back(drawn[i]);
  }
  return seen;
}

// The majority label in each of kDistanceBins ranges of distance with equally many training examples.
double distance_accuracy(std::vector<Observation> train, const std::vector<Observation>& test) {
  std::ranges::sort(train, {}, &Observation::distance);
  std::array<double, kDistanceBins - 1> edges;
  for (std::size_t b = 0; b + 1 < kDistanceBins; ++b) edges[b] = train[(b + 1) * train.size() / kDistanceBins].distance;
  const auto bin = [&](double distance) {
    return static_cast<std::size_t>(std::ranges::upper_bound(edges, distance) - edges.begin());
  };
  std::array<int64_t, kDistanceBins> lead{};  // of label 1 over label 0
  for (const Observation& o : train) lead[bin(o.distance)] += o.label == 1 ? 1 : -1;
  int64_t hits = 0;
  for (const Observation& o : test) hits += (lead[bin(o.distance)] > 0) == (o.label == 1);
  return static_cast<double>(hits) / static_cast<double>(test.size());
}

// Logistic regression on the three lengths of an observation, their squares and products.
double places_accuracy(const std::vector<Observation>& train, const std::vector<Observation>& test, Workers& workers) {
  constexpr int64_t kFeatures = 9;
  const auto rows = [](const std::vector<Observation>& seen) {
    return data::LabelledRows{std::ssize(seen),
                              [&seen](int64_t i, std::span<float> x) {
                                const Observation& o = seen[static_cast<std::size_t>(i)];
                                const std::array lengths{o.distance, o.inner, o.outer};
                                std::size_t next = 0;
                                for (std::size_t a = 0; a < lengths.size(); ++a) {
                                  x[next++] = static_cast<float>(lengths[a]);
                                  for (std::size_t b = 0; b <= a; ++b)
                                    x[next++] = static_cast<float>(lengths[a] * lengths[b]);
                                }
                              },
                              [&seen](int64_t i) { return seen[static_cast<std::size_t>(i)].label; }};
  };
  const data::LogisticRegression model(rows(train), kFeatures, 2, {.epochs = 100}, workers);
  return model.accuracy(rows(test), workers);
}

// What pixels say one by one. Small windows: which of kPixelLevels grays stands at which place; larger ones: how bright
// each of kMostCells x kMostCells cells is.
double pixel_accuracy(const Dataset& data, Workers& workers) {
  constexpr int64_t kLargestSmall = 24, kPixelLevels = 16, kMostCells = 32;
  const int64_t window = data.shape().width;
  const bool small = window <= kLargestSmall;
  const int64_t side = small ? window : std::min(window, kMostCells), step = window / side;
  const int64_t grays = data.shape().vocab, levels = small ? std::min(grays, kPixelLevels) : 1;
  const auto rows = [&](SplitName name, int64_t most) {
    const data::Split& split = data.split(name);
    return data::labelled_rows(
        split,
        [=, &split](int64_t i, std::span<float> x) {
          std::ranges::fill(x, 0.0f);
          const auto tokens = split.tokens(i);
          for (int64_t p = 0; p < std::ssize(tokens); ++p) {
            const auto token = static_cast<int64_t>(tokens[static_cast<std::size_t>(p)]);
            const int64_t cell = p / window / step * side + p % window / step;
            if (small) {
              x[static_cast<std::size_t>(cell * levels + token * levels / grays)] = 1;
            } else {
              x[static_cast<std::size_t>(cell)] += static_cast<float>(token);
            }
          }
        },
        most);
  };
  const data::LogisticRegression model(rows(SplitName::kTrain, data::kBaselineRows), side * side * levels, 2,
                                       {.rate = 1e-3, .l2 = 1e-3}, workers);
  return model.accuracy(rows(SplitName::kTest, data.split(SplitName::kTest).size()), workers);
}

// What tells the tasks of one generator apart.
struct Kind {
  std::string id, title, summary;
  std::vector<std::string> resolutions;
  std::string resolution;  // unless the user says otherwise
};

data::TaskInfo info_of(const Kind& kind) {
  return {
      kind.id,
      kind.title,
      kind.summary,
      "Linsley et al. 2018, Kim et al. 2020; parameters of Long Range Arena (Tay et al. 2020), section 2.2",
      data::with_splits(
          {OptionSpec::choice("source", {"synthetic", "lra"}, "synthetic",
                              "drawn here, or the user's copy of the release"),
           OptionSpec::text_value("path", "", "of lra: the folder of pathfinder32, pathfinder128, ..."),
           OptionSpec::choice("resolution", kind.resolutions, kind.resolution,
                              "width and height of the image in pixels"),
           OptionSpec::choice("difficulty", {"easy", "intermediate", "hard"}, "hard",
                              "length of the contours and number of distractors; LRA uses hard"),
           OptionSpec::integer("contour_length", 0, 0, 64, "paddles of each contour; 0: as the difficulty says"),
           OptionSpec::integer("distractors", -1, -1, 200, "short distractor contours; -1: as the difficulty says"),
           OptionSpec::integer("gray_levels", 256, 2, 256, "brightness is cut into this many levels, one token each"),
           OptionSpec::choice("balance", {"none", "distance"}, "none",
                              "distance: the marker distance says nothing about the label"),
           data::bad_rows_option()},
          {160000, 20000, 20000}),
      2};
}

class PathfinderKind : public data::Task {
 public:
  explicit PathfinderKind(const Kind& kind) : info_(info_of(kind)) {}

  const data::TaskInfo& info() const override { return info_; }

  Shape shape(const Options& options) const override {
    const Geometry g = pathfinder::geometry_of(options);
    if (g.contour_length < 2) {
      throw Error(
          ErrorKind::kUsage,
          fmt::format("{}: contour_length 1 gives a contour of one paddle with nothing to follow; choose 2 or more",
                      info_.id));
    }
    // Every paddle takes its length and a gap of a one-pixel line at least.
    const int longest = g.window * g.window / (2 * (g.paddle_length + 2 * g.margins.front()));
    if (g.contour_length > longest) {
      throw Error(ErrorKind::kUsage, fmt::format("{}: two contours of {} paddles cannot fit into {}x{} pixels; "
                                                 "choose contour_length of at most {}",
                                                 info_.id, g.contour_length, g.window, g.window, longest));
    }
    const int64_t window = g.window;
    if (is_real(options)) {
      const data::BadRows checked(options.text("bad_rows"));
      if (options.text("path").empty() || options.choice("balance") != "none" || options.integer("distractors") >= 0) {
        throw Error(ErrorKind::kUsage,
                    fmt::format("{}: source=lra reads files as they are; give --task-set path=FOLDER, and neither "
                                "balance nor distractors",
                                info_.id));
      }
    }
    return {options.integer("gray_levels"), 2, window * window, window, window, false};
  }

  std::string origin(const Options& options) const override {
    return is_real(options) ? pathfinder::release_state(options) : "";
  }

  void generate(const Options& options, Workers& workers, DatasetBuilder& builder) const override {
    if (is_real(options)) return pathfinder::read_release(info_.id, options, workers, builder);
    const PathfinderGenerator generator(options);
    generator.probe(info_.id, workers);
    const std::array<int64_t, 3> sizes = data::split_sizes(options);
    std::atomic<int64_t> untraceable{0}, drawn{0};
    const int64_t window = pathfinder::geometry_of(options).window;
    for (const SplitName split : {SplitName::kTrain, SplitName::kValidation, SplitName::kTest}) {
      const int64_t size = sizes[static_cast<std::size_t>(split)];
      builder.reserve(split, size, size * window * window);
      const auto make = [&](uint64_t index) {
        Sample sample;
        Row row = generator.row(split, index, sample);
        untraceable += sample.untraceable;
        ++drawn;
        return row;
      };
      data::generate_rows(workers, size, make,
                          [&](const Row& row) { return builder.add_unique(split, row.tokens, row.label); });
    }
    builder.note("source", "generated by the rules of the 2019 Pathfinder generator");
    builder.note("images_drawn", drawn.load());
    builder.note("untraceable_pairs_dropped", untraceable.load());
  }

  std::vector<Baseline> baselines(const Options& options, const Dataset& data, Workers& workers) const override {
    std::vector<Baseline> found;
    if (!is_real(options)) {  // where the markers are is not stored with published images
      const PathfinderGenerator generator(options);
      const int64_t wanted = generator.window() <= 32 ? 4000 : 500;  // seconds of drawing at any size
      const auto seen = [&](SplitName name) { return observe(generator, name, data.split(name), wanted, workers); };
      const std::vector<Observation> train = seen(SplitName::kTrain), test = seen(SplitName::kTest);
      found = {{"marker distance", distance_accuracy(train, test)},
               {"marker places", places_accuracy(train, test, workers)}};
    }
    found.push_back({"logistic regression on pixels", pixel_accuracy(data, workers)});
    return found;
  }

 private:
  static bool is_real(const Options& options) { return options.choice("source") == "lra"; }

  data::TaskInfo info_;
};

class Pathfinder final : public PathfinderKind {
 public:
  Pathfinder()
      : PathfinderKind(
            {"pathfinder",
             "Pathfinder",
             "Are the two markers on the ends of the same winding contour? Known shortcut: the distance between the "
             "markers (balance=distance removes it). Windows of 32 to 256 as published; 12 to 24 are quick ones of "
             "this project, with unbroken contours that do not touch.",
             {"12", "16", "20", "24", "32", "64", "128", "256"},
             "32"}) {}
};

class PathX final : public PathfinderKind {
 public:
  PathX()
      : PathfinderKind(
            {"pathx",
             "Path-X",
             "Pathfinder as a sequence of 16,384 pixels: are the two markers on the ends of the same winding "
             "contour? No transformer of Long Range Arena's tables learned it. Known shortcut: the distance "
             "between the markers (balance=distance removes it).",
             {"128", "256"},
             "128"}) {}
};

LRA_REGISTER_TASK(Pathfinder)
LRA_REGISTER_TASK(PathX)

}  // namespace
}  // namespace lra::tasks
