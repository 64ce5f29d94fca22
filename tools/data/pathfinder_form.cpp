// Long Range Arena's folders of Pathfinder: PNG files in batches, and for each batch a table of text (its name ends in
// .npy, as published) whose rows are
//   imgs/<batch> sample_<i>.png <i> <label> continuity contour_length distractor_length paddle_length paddle_thickness
//   paddle_margin n_contrasts
// The margin of an image is drawn where several are allowed, and not kept: then -1 stands there.
#include <fmt/format.h>
#include <png.h>

#include <algorithm>
#include <cstring>

#include "core/error.h"
#include "core/file.h"
#include "core/text.h"
#include "data/rows.h"
#include "tasks/pathfinder/pictures.h"
#include "tools/data/forms.h"
#include "tools/data/table_file.h"

namespace lra::datatool {
namespace {

constexpr int64_t kBatch = 1000;  // images of a folder
// The published set is not split. Splits in one folder keep apart by the numbers of their batches.
constexpr int64_t kBatchesOfSplit = 10'000;
constexpr std::size_t kColumns = 11;
constexpr std::size_t kLongestMetadataRow = 4096;

png_image png_header() {
  png_image header;
  std::memset(&header, 0, sizeof(header));
  header.version = PNG_IMAGE_VERSION;
  return header;
}

// Not synced: the manifest, written last, says that all are there.
void write_gray(const std::string& path, const std::vector<unsigned char>& pixels, int64_t height, int64_t width) {
  png_image header = png_header();
  header.width = static_cast<png_uint_32>(width);
  header.height = static_cast<png_uint_32>(height);
  header.format = PNG_FORMAT_GRAY;
  if (png_image_write_to_file(&header, path.c_str(), 0, pixels.data(), 0, nullptr) == 0)
    throw Error(ErrorKind::kIo, fmt::format("{}: cannot be written: {}", path, header.message));
}

// Refuses the row of `place` for a file that is no such picture.
std::vector<unsigned char> read_gray(const std::string& path, int64_t height, int64_t width, const Place& place) {
  png_image header = png_header();
  if (png_image_begin_read_from_file(&header, path.c_str()) == 0)
    bad_row(place, fmt::format("{}: {}", path, header.message));
  if (header.width != width || header.height != height) {
    const std::string found = fmt::format("{}x{}", header.width, header.height);
    png_image_free(&header);
    bad_row(place, fmt::format("{}: {} pixels; {}x{} are wanted", path, found, width, height));
  }
  header.format = PNG_FORMAT_GRAY;
  std::vector<unsigned char> pixels(static_cast<std::size_t>(height * width));
  if (png_image_finish_read(&header, nullptr, pixels.data(), 0, nullptr) == 0)
    bad_row(place, fmt::format("{}: {}", path, header.message));
  return pixels;
}

class PathfinderFolders final : public Form {
 public:
  const char* name() const override { return "pathfinder-png"; }

  Json write(const Source& source, const std::string& folder) const override {
    const tasks::pathfinder::Geometry g = tasks::pathfinder::geometry_of(source.chosen.options);
    const bool is_baseline =
        source.chosen.options.choice("difficulty") == "easy" && source.chosen.options.integer("contour_length") == 0;
    const std::string set =
        fmt::format("pathfinder{}/{}", g.window,
                    is_baseline ? "curv_baseline" : fmt::format("curv_contour_length_{}", g.contour_length));
    const std::string rest = fmt::format("{:.1f} {} {} {} {} {} 1", g.continuity, g.contour_length, g.distractor_length,
                                         g.paddle_length, g.thickness, g.margins.size() == 1 ? g.margins.front() : -1);
    const data::Shape& shape = source.data.shape();
    const data::Split& split = source.data.split(source.split);
    const int64_t first = static_cast<int64_t>(source.split) * kBatchesOfSplit;
    for (int64_t begin = 0, batch = first; begin < split.size(); begin += kBatch, ++batch) {
      const int64_t count = std::min(kBatch, split.size() - begin);
      const std::string images = fmt::format("{}/{}/imgs/{}", folder, set, batch);
      require_writable_folder(images);
      source.workers.for_chunks(count, 16, [&](int64_t from, int64_t to, int) {
        std::vector<unsigned char> gray(static_cast<std::size_t>(shape.max_len));
        for (int64_t i = from; i < to; ++i) {
          const auto tokens = split.tokens(begin + i);
          for (std::size_t p = 0; p < gray.size(); ++p) gray[p] = gray_of(tokens[p], shape.vocab);
          write_gray(fmt::format("{}/sample_{}.png", images, i), gray, shape.height, shape.width);
        }
      });
      TableFile table(fmt::format("{}/{}/metadata/{}.npy", folder, set, batch));
      for (int64_t i = 0; i < count; ++i)
        table.row(fmt::format("imgs/{} sample_{}.png {} {} {}", batch, i, i, split.label(begin + i), rest));
      table.close();
    }
    return {{"folder", set}, {"first_batch", first}, {"batch", kBatch}};
  }

  void read(const Stored& stored, const Take& take) const override {
    const std::string set = stored.folder + "/" + file_in(stored.layout, "folder");
    const int64_t size = std::max<int64_t>(1, number_in(stored.layout, "batch"));
    int64_t batch = number_in(stored.layout, "first_batch");
    for (int64_t begin = 0; begin < stored.examples; begin += size, ++batch) {
      const int64_t wanted = std::min(size, stored.examples - begin);
      const std::string table = fmt::format("{}/metadata/{}.npy", set, batch);
      data::RowReader rows(table, kLongestMetadataRow);
      while (rows.next()) take_row(stored, set, {table, rows.number()}, std::string(rows.row()), take);
      if (rows.number() != wanted) bad_row({table}, fmt::format("has {} rows; {} are wanted", rows.number(), wanted));
    }
  }

 private:
  static void take_row(const Stored& stored, const std::string& set, const Place& place, const std::string& row,
                       const Take& take) {
    const std::vector<std::string> words = split(row, ' ');
    if (words.size() != kColumns) bad_row(place, fmt::format("has {} columns; {} are wanted", words.size(), kColumns));
    if (words[3] != "0" && words[3] != "1")
      bad_row(place, fmt::format("label '{}' in column 4; 0 or 1 is wanted", words[3].substr(0, 20)));
    const data::Shape& shape = stored.shape;
    Example example{words[3] == "1" ? 1 : 0, {{}}};
    const std::string picture = fmt::format("{}/{}/{}", set, words[0], words[1]);
    for (const unsigned char gray : read_gray(picture, shape.height, shape.width, place))
      example.parts[0].push_back(token_of(gray, shape.vocab));
    take(place, example);
  }
};

}  // namespace

const Form& pathfinder_png() {
  static const PathfinderFolders form;
  return form;
}

}  // namespace lra::datatool
