// Image: name the thing in a gray picture that is read as a sequence of pixels, row by row.
//   pooled = mean of k x k pixels, k = 28 / size;   token = floor(pooled * levels / 256)
// Pictures: Fashion-MNIST (Xiao et al. 2017; 70,000 of 28 x 28, 10 kinds of clothes) where its files are installed,
// else drawn here: 10 shapes and textures of random place, size, angle, contrast and noise.
#include <fmt/format.h>
#include <zlib.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <numbers>

#include "core/error.h"
#include "core/json.h"
#include "core/rng.h"
#include "data/dataset.h"
#include "data/logistic.h"

namespace lra::tasks {
namespace {

using data::Baseline;
using data::Dataset;
using data::DatasetBuilder;
using data::Row;
using data::Shape;
using data::SplitName;
using data::Token;

constexpr std::size_t kSide = 28;
constexpr std::size_t kPixels = kSide * kSide;
constexpr int kClasses = 10;
using Picture = std::span<const unsigned char, kPixels>;

// The four files of the data set, as the distribution ships them.
constexpr std::array kFiles{"train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz", "t10k-images-idx3-ubyte.gz",
                            "t10k-labels-idx1-ubyte.gz"};

// A gzip-compressed IDX file of bytes: magic 00 00 08 <dimensions>, sizes as 32-bit big-endian numbers, then the bytes.
class IdxFile {
 public:
  explicit IdxFile(const std::string& path) : path_(path), file_(gzopen(path.c_str(), "rb"), gzclose) {
    if (file_ == nullptr) refuse("cannot be opened");
  }

  // Reads a file with sizes [n, row...]; returns the n rows one after the other.
  std::vector<unsigned char> read(std::span<const uint32_t> row) {
    const uint32_t magic = 0x0800 + static_cast<uint32_t>(row.size()) + 1;
    const uint32_t found = number();
    if (found != magic) refuse(fmt::format("starts with {:#010x}; {:#010x} is wanted", found, magic));
    const std::size_t rows = number();
    std::size_t row_bytes = 1;
    for (const uint32_t wanted : row) {
      const uint32_t size = number();
      if (size != wanted) refuse(fmt::format("has rows of {}; {} is wanted", size, wanted));
      row_bytes *= size;
    }
    if (rows < 1 || rows > 10'000'000) refuse(fmt::format("claims {} rows", rows));
    std::vector<unsigned char> bytes;
    // Grows with what is really there: a header that lies costs no memory.
    constexpr std::size_t kBlock = std::size_t{1} << 20;
    while (bytes.size() < rows * row_bytes) {
      const std::size_t before = bytes.size();
      bytes.resize(std::min(before + kBlock, rows * row_bytes));
      take(std::span(bytes).subspan(before));
    }
    unsigned char beyond = 0;
    if (gzread(file_.get(), &beyond, 1) != 0) refuse(fmt::format("does not end after its {} rows", rows));
    return bytes;
  }

 private:
  [[noreturn]] void refuse(const std::string& reason) const {
    throw Error(ErrorKind::kData,
                fmt::format("{}: {}; install it again or use --task-set source=procedural", path_, reason));
  }
  void take(std::span<unsigned char> to) {
    const int got = gzread(file_.get(), to.data(), static_cast<unsigned>(to.size()));
    if (got < 0 || static_cast<std::size_t>(got) < to.size()) {
      int code = Z_OK;
      const char* reason = gzerror(file_.get(), &code);
      refuse(code == Z_OK || code == Z_BUF_ERROR ? "is truncated" : fmt::format("cannot be read: {}", reason));
    }
  }
  uint32_t number() {
    std::array<unsigned char, 4> b{};
    take(b);
    return static_cast<uint32_t>(b[0]) << 24 | static_cast<uint32_t>(b[1]) << 16 | static_cast<uint32_t>(b[2]) << 8 |
           b[3];
  }

  std::string path_;
  std::unique_ptr<gzFile_s, int (*)(gzFile)> file_;
};

struct LabelledPictures {
  std::vector<unsigned char> pixels;  // [n, 28, 28]
  std::vector<unsigned char> labels;  // [n], 0..9
  int64_t size() const { return static_cast<int64_t>(labels.size()); }
  Picture picture(int64_t i) const { return Picture(&pixels[static_cast<std::size_t>(i) * kPixels], kPixels); }
};

LabelledPictures read_pictures(const std::string& folder, const char* images, const char* labels) {
  constexpr std::array<uint32_t, 2> kPictureSize{kSide, kSide};
  const std::string label_path = fmt::format("{}/{}", folder, labels);
  LabelledPictures found{IdxFile(fmt::format("{}/{}", folder, images)).read(kPictureSize),
                         IdxFile(label_path).read({})};
  const std::size_t pictures = found.pixels.size() / kPixels;
  if (pictures != found.labels.size()) {
    throw Error(ErrorKind::kData,
                fmt::format("{}: {} labels for {} pictures", label_path, found.labels.size(), pictures));
  }
  const auto most = *std::max_element(found.labels.begin(), found.labels.end());
  if (most >= kClasses) throw Error(ErrorKind::kData, fmt::format("{}: label {}; 0 to 9 are known", label_path, most));
  return found;
}

// Mean pooling, then fewer gray levels.
std::vector<Token> tokens_of(Picture picture, std::size_t size, std::size_t levels) {
  const std::size_t k = kSide / size;
  LRA_ASSERT(k >= 1);
  std::vector<Token> tokens;
  tokens.reserve(size * size);
  for (std::size_t row = 0; row < size; ++row) {
    for (std::size_t column = 0; column < size; ++column) {
      std::size_t sum = 0;
      for (std::size_t y = row * k; y < (row + 1) * k; ++y) {
        for (std::size_t x = column * k; x < (column + 1) * k; ++x) sum += picture[y * kSide + x];
      }
      const std::size_t mean = (sum + k * k / 2) / k / k;
      tokens.push_back(static_cast<Token>(mean * levels / 256));
    }
  }
  return tokens;
}

// How much of class `kind` covers the point (u, v): 1 inside, 0 outside; the figure fills about [-1, 1]^2.
bool covers(int kind, double u, double v) {
  const double radius = std::hypot(u, v);
  const double square = std::max(std::abs(u), std::abs(v));
  const auto stripe = [](double position) { return std::fmod(position + 16.0, 0.8) < 0.4; };
  switch (kind) {
    case 0:  // disk
      return radius < 0.9;
    case 1:  // ring
      return radius < 1.0 && radius > 0.6;
    case 2:  // square
      return square < 0.8;
    case 3:  // frame
      return square < 0.9 && square > 0.55;
    case 4:  // triangle
      return v > -0.8 && v < 0.9 && std::abs(u) < 0.55 * (0.9 - v);
    case 5:  // plus
      return square < 0.95 && std::min(std::abs(u), std::abs(v)) < 0.25;
    case 6:  // two disks
      return std::hypot(u - 0.55, v) < 0.4 || std::hypot(u + 0.55, v) < 0.4;
    case 7:  // lying stripes
      return square < 1.0 && stripe(v);
    case 8:  // standing stripes
      return square < 1.0 && stripe(u);
    default:  // checkerboard
      return square < 1.0 && stripe(u) != stripe(v);
  }
}

// Picture `index`: the class goes round, everything else is random.
std::array<unsigned char, kPixels> draw(uint64_t seed, uint64_t index) {
  Rng rng{seed, name_key("image"), index};
  const int kind = static_cast<int>(index % kClasses);
  const double angle = (rng.uniform() - 0.5) * 0.6;  // stays below the angle at which stripes change their name
  const double size = kSide * (0.22 + 0.2 * rng.uniform());
  const double centre_x = kSide / 2.0 + (rng.uniform() - 0.5) * 0.3 * kSide;
  const double centre_y = kSide / 2.0 + (rng.uniform() - 0.5) * 0.3 * kSide;
  const double ground = 20.0 + 60.0 * rng.uniform();
  const double ink = ground + 60.0 + 100.0 * rng.uniform();
  const double noise = 10.0 + 25.0 * rng.uniform();
  std::array<unsigned char, kPixels> pixels{};
  for (std::size_t y = 0; y < kSide; ++y) {
    for (std::size_t x = 0; x < kSide; ++x) {
      const double dx = (static_cast<double>(x) + 0.5 - centre_x) / size;
      const double dy = (static_cast<double>(y) + 0.5 - centre_y) / size;
      const bool inside =
          covers(kind, std::cos(angle) * dx + std::sin(angle) * dy, std::cos(angle) * dy - std::sin(angle) * dx);
      const double gray = (inside ? ink : ground) + noise * rng.normal();
      pixels[y * kSide + x] = static_cast<unsigned char>(std::clamp(gray, 0.0, 255.0));
    }
  }
  return pixels;
}

class Image final : public data::Task {
 public:
  const data::TaskInfo& info() const override {
    static const data::TaskInfo info{
        "image",
        "Image",
        "Class of a gray picture given as a sequence of pixels: Fashion-MNIST if it is installed, else drawn shapes. "
        "Logistic regression on the pixels already knows most of it.",
        "Fashion-MNIST: Xiao, Rasul and Vollgraf 2017; pixels as a sequence: Long Range Arena (Tay et al. 2020)",
        data::with_splits(
            {OptionSpec::choice("source", {"auto", "fashion_mnist", "procedural"}, "auto",
                                "auto takes Fashion-MNIST if its files are in `path`, else drawn shapes"),
             OptionSpec::text_value("path", "/usr/share/datasets/fashion-mnist",
                                    "folder of the four idx .gz files (Debian: dataset-fashion-mnist)"),
             OptionSpec::integer("size", 28, 1, kSide, "side of the picture after mean pooling; divides 28"),
             OptionSpec::integer("levels", 256, 2, 256, "gray levels; the vocabulary")},
            {55000, 5000, 10000}, "seed of the drawn shapes; real pictures ignore it"),
        1};
    return info;
  }

  Shape shape(const Options& options) const override {
    const int64_t size = options.integer("size");
    if (kSide % size != 0) {
      throw Error(ErrorKind::kUsage,
                  fmt::format("image: size {} does not divide {}; choose 28, 14, 7 or 4", size, kSide));
    }
    return {options.integer("levels"), kClasses, size * size, size, size, false};
  }

  // Which pictures are meant, and the sizes of the files they come from.
  std::string origin(const Options& options) const override {
    if (is_procedural(options)) return "procedural";
    std::string origin = "fashion_mnist";
    for (const char* file : kFiles) {
      std::error_code missing;
      const auto bytes = std::filesystem::file_size(options.text("path") + "/" + file, missing);
      origin += missing ? " ?" : fmt::format(" {}", bytes);
    }
    return origin;
  }

  void generate(const Options& options, Workers& workers, DatasetBuilder& builder) const override {
    const auto size = static_cast<std::size_t>(options.integer("size"));
    const auto levels = static_cast<std::size_t>(options.integer("levels"));
    if (!is_procedural(options)) {
      read_fashion_mnist(options, size, levels, builder);
      builder.note("source", "Fashion-MNIST");
      return;
    }
    const auto seed = static_cast<uint64_t>(options.integer("seed"));
    const auto make = [&](uint64_t index) {
      return Row{tokens_of(draw(seed, index), size, levels), static_cast<int32_t>(index % kClasses)};
    };
    data::generate_splits(workers, data::split_sizes(options), make, builder);
    builder.note("source", "procedural shapes, not Fashion-MNIST");
    if (options.choice("source") == "auto") {
      fmt::print(stderr, "image: no Fashion-MNIST in {}; drawing procedural shapes instead\n", options.text("path"));
    }
  }

  std::vector<Baseline> baselines(const Options&, const Dataset& data, Workers& workers) const override {
    const auto rows_of = [&](SplitName name) {
      const data::Split& split = data.split(name);
      return data::LabelledRows{split.size(),
                                [&split](int64_t i, std::span<float> x) {
                                  const auto tokens = split.tokens(i);
                                  std::copy(tokens.begin(), tokens.end(), x.begin());
                                },
                                [&split](int64_t i) { return split.label(i); }};
    };
    const data::LogisticRegression model(rows_of(SplitName::kTrain), data.shape().max_len, kClasses, {}, workers);
    return {{"logistic regression on pixels", model.accuracy(rows_of(SplitName::kTest), workers)}};
  }

 private:
  static bool is_procedural(const Options& options) {
    const std::string& source = options.choice("source");
    if (source != "auto") return source == "procedural";
    return !std::filesystem::exists(options.text("path") + "/" + kFiles[0]);
  }

  static void read_fashion_mnist(const Options& options, std::size_t size, std::size_t levels,
                                 DatasetBuilder& builder) {
    const std::string& folder = options.text("path");
    const LabelledPictures training = read_pictures(folder, kFiles[0], kFiles[1]);
    const LabelledPictures testing = read_pictures(folder, kFiles[2], kFiles[3]);
    const auto [train, validation, test] = data::split_sizes(options);
    if (train + validation > training.size() || test > testing.size()) {
      throw Error(ErrorKind::kUsage,
                  fmt::format("image: {} training + {} validation and {} test examples are more than the {} and {} of "
                              "Fashion-MNIST; ask for fewer",
                              train, validation, test, training.size(), testing.size()));
    }
    const auto add = [&](SplitName split, const LabelledPictures& from, int64_t first, int64_t count) {
      for (int64_t i = first; i < first + count; ++i) {
        builder.add(split, tokens_of(from.picture(i), size, levels), from.labels[static_cast<std::size_t>(i)]);
      }
    };
    add(SplitName::kTrain, training, 0, train);
    add(SplitName::kValidation, training, training.size() - validation, validation);
    add(SplitName::kTest, testing, 0, test);
  }
};

LRA_REGISTER_TASK(Image)

}  // namespace
}  // namespace lra::tasks
