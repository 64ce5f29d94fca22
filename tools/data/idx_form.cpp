// MNIST's idx files, compressed: magic 00 00 08 <dimensions>, sizes as 32-bit big-endian numbers, then bytes.
#include <fmt/format.h>
#include <zlib.h>

#include <array>
#include <cstdio>
#include <memory>
#include <span>

#include "core/error.h"
#include "core/file.h"
#include "tools/data/forms.h"

namespace lra::datatool {
namespace {

using Handle = std::unique_ptr<gzFile_s, int (*)(gzFile)>;

uint32_t magic_of(std::size_t dimensions) { return 0x0800 + static_cast<uint32_t>(dimensions); }

class IdxWriter {
 public:
  IdxWriter(std::string path, std::span<const int64_t> sizes)
      : path_(std::move(path)), file_(gzopen((path_ + ".part").c_str(), "wb"), gzclose) {
    if (file_ == nullptr) refuse();
    number(magic_of(sizes.size()));
    for (const int64_t size : sizes) number(static_cast<uint32_t>(size));
  }
  void bytes(std::span<const unsigned char> what) {
    if (gzwrite(file_.get(), what.data(), static_cast<unsigned>(what.size())) != std::ssize(what)) refuse();
  }
  void close() {
    if (gzclose(file_.release()) != Z_OK || std::rename((path_ + ".part").c_str(), path_.c_str()) != 0) refuse();
  }

 private:
  [[noreturn]] void refuse() const { throw Error(ErrorKind::kIo, path_ + ": cannot be written"); }
  void number(uint32_t n) {
    const std::array<unsigned char, 4> b{static_cast<unsigned char>(n >> 24), static_cast<unsigned char>(n >> 16),
                                         static_cast<unsigned char>(n >> 8), static_cast<unsigned char>(n)};
    bytes(b);
  }

  std::string path_;
  Handle file_;
};

class IdxReader {
 public:
  // Throws Error(kData) for a file whose head does not say `sizes`.
  IdxReader(const std::string& path, std::span<const int64_t> sizes)
      : path_(path), file_(gzopen(path.c_str(), "rb"), gzclose) {
    if (file_ == nullptr) bad_row({path_}, "cannot be opened");
    const uint32_t magic = number(), wanted = magic_of(sizes.size());
    if (magic != wanted) bad_row({path_}, fmt::format("starts with {:#010x}; {:#010x} is wanted", magic, wanted));
    for (std::size_t d = 0; d < sizes.size(); ++d) {
      const uint32_t size = number();
      if (size != sizes[d])
        bad_row({path_}, fmt::format("says {} along dimension {}; {} is wanted", size, d, sizes[d]));
    }
  }
  // The bytes of the next row.
  void row(std::span<unsigned char> to) {
    ++row_;
    take(to);
  }
  void end() {
    unsigned char beyond = 0;
    if (gzread(file_.get(), &beyond, 1) != 0) bad_row({path_}, fmt::format("does not end after row {}", row_));
  }
  Place place() const { return {path_, row_}; }

 private:
  void take(std::span<unsigned char> to) {
    if (gzread(file_.get(), to.data(), static_cast<unsigned>(to.size())) != std::ssize(to))
      bad_row(place(), "the file is damaged or ends too early");
  }
  uint32_t number() {
    std::array<unsigned char, 4> b{};
    take(b);
    return static_cast<uint32_t>(b[0]) << 24 | static_cast<uint32_t>(b[1]) << 16 | static_cast<uint32_t>(b[2]) << 8 |
           b[3];
  }

  std::string path_;
  Handle file_;
  int64_t row_ = 0;
};

class Idx final : public Form {
 public:
  const char* name() const override { return "idx"; }

  Json write(const Source& source, const std::string& folder) const override {
    constexpr std::array kNames{"train", "validation", "t10k"};
    const std::string stem = kNames[static_cast<std::size_t>(source.split)];
    const std::string images = stem + "-images-idx3-ubyte.gz", labels = stem + "-labels-idx1-ubyte.gz";
    const data::Shape& shape = source.data.shape();
    const data::Split& split = source.data.split(source.split);
    require_writable_folder(folder);
    IdxWriter image_file(folder + "/" + images, std::array{split.size(), shape.height, shape.width});
    IdxWriter label_file(folder + "/" + labels, std::array{split.size()});
    std::vector<unsigned char> gray(static_cast<std::size_t>(shape.max_len));
    for (int64_t i = 0; i < split.size(); ++i) {
      const auto tokens = split.tokens(i);
      for (std::size_t p = 0; p < gray.size(); ++p) gray[p] = gray_of(tokens[p], shape.vocab);
      image_file.bytes(gray);
      label_file.bytes(std::array{static_cast<unsigned char>(split.label(i))});
    }
    image_file.close();
    label_file.close();
    return {{"images", images}, {"labels", labels}};
  }

  void read(const Stored& stored, const Take& take) const override {
    const data::Shape& shape = stored.shape;
    IdxReader images(stored.folder + "/" + file_in(stored.layout, "images"),
                     std::array{stored.examples, shape.height, shape.width});
    IdxReader labels(stored.folder + "/" + file_in(stored.layout, "labels"), std::array{stored.examples});
    std::vector<unsigned char> gray(static_cast<std::size_t>(shape.max_len));
    std::array<unsigned char, 1> label{};
    for (int64_t i = 0; i < stored.examples; ++i) {
      images.row(gray);
      labels.row(label);
      if (label[0] >= shape.classes)
        bad_row(labels.place(), fmt::format("label {}; 0 to {} is wanted", label[0], shape.classes - 1));
      Example example{label[0], {{}}};
      for (const unsigned char pixel : gray) example.parts[0].push_back(token_of(pixel, shape.vocab));
      take(images.place(), example);
    }
    images.end();
    labels.end();
  }
};

}  // namespace

const Form& idx() {
  static const Idx form;
  return form;
}

}  // namespace lra::datatool
