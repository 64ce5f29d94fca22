// Colours, letters, and libpng's simplified interface.
#include "tools/inspect/picture.h"

#include <fmt/format.h>
#include <png.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "core/error.h"
#include "core/file.h"

namespace lra::inspect {
namespace {

constexpr double kDecades = 3;

// Lightness rises in equal steps (0.16 to 0.96 in Oklab) while the hue turns from violet over green to yellow, each
// with as much colour as a screen can show up to chroma 0.15.
constexpr Colour kColours[] = {{0x14, 0x00, 0x2B}, {0x1A, 0x00, 0x4B}, {0x18, 0x09, 0x6A}, {0x00, 0x25, 0x7A},
                               {0x00, 0x3E, 0x70}, {0x00, 0x50, 0x75}, {0x01, 0x62, 0x7C}, {0x00, 0x73, 0x84},
                               {0x01, 0x85, 0x8A}, {0x02, 0x97, 0x8E}, {0x03, 0xAA, 0x8E}, {0x19, 0xBE, 0x85},
                               {0x61, 0xCB, 0x7C}, {0x90, 0xD7, 0x74}, {0xBB, 0xE2, 0x6E}, {0xE3, 0xEB, 0x6D},
                               {0xFF, 0xF4, 0xB1}};

constexpr Colour kPaper = {255, 255, 255}, kInk = {32, 32, 32};
constexpr int64_t kGap = 12;  // pixels between pictures

// Letters of five by seven dots; a row is five bits, the leftmost the highest.
constexpr int64_t kLetterWidth = 5, kLetterHeight = 7;
struct Letter {
  char letter;
  unsigned char rows[kLetterHeight];
};
constexpr Letter kLetters[] = {
    {'0', {0x0C, 0x12, 0x16, 0x1A, 0x12, 0x0C, 0x00}}, {'1', {0x08, 0x18, 0x08, 0x08, 0x08, 0x1C, 0x00}},
    {'2', {0x1C, 0x02, 0x04, 0x08, 0x10, 0x1E, 0x00}}, {'3', {0x1C, 0x02, 0x0C, 0x02, 0x02, 0x1C, 0x00}},
    {'4', {0x12, 0x12, 0x1E, 0x02, 0x02, 0x02, 0x00}}, {'5', {0x1E, 0x10, 0x1C, 0x02, 0x02, 0x1C, 0x00}},
    {'6', {0x0C, 0x10, 0x1C, 0x12, 0x12, 0x0C, 0x00}}, {'7', {0x1E, 0x02, 0x04, 0x04, 0x08, 0x08, 0x00}},
    {'8', {0x0C, 0x12, 0x0C, 0x12, 0x12, 0x0C, 0x00}}, {'9', {0x0C, 0x12, 0x12, 0x0E, 0x02, 0x0C, 0x00}},
    {'a', {0x00, 0x00, 0x0C, 0x12, 0x12, 0x0E, 0x00}}, {'b', {0x10, 0x10, 0x1C, 0x12, 0x12, 0x1C, 0x00}},
    {'c', {0x00, 0x00, 0x0E, 0x10, 0x10, 0x0E, 0x00}}, {'d', {0x02, 0x02, 0x0E, 0x12, 0x12, 0x0E, 0x00}},
    {'e', {0x00, 0x0C, 0x12, 0x1E, 0x10, 0x0E, 0x00}}, {'f', {0x06, 0x08, 0x1C, 0x08, 0x08, 0x08, 0x00}},
    {'g', {0x00, 0x0E, 0x12, 0x12, 0x0E, 0x02, 0x0C}}, {'h', {0x10, 0x10, 0x1C, 0x12, 0x12, 0x12, 0x00}},
    {'i', {0x08, 0x00, 0x18, 0x08, 0x08, 0x1C, 0x00}}, {'j', {0x04, 0x00, 0x0C, 0x04, 0x04, 0x04, 0x18}},
    {'k', {0x10, 0x12, 0x14, 0x18, 0x14, 0x12, 0x00}}, {'l', {0x18, 0x08, 0x08, 0x08, 0x08, 0x1C, 0x00}},
    {'m', {0x00, 0x00, 0x1E, 0x15, 0x15, 0x15, 0x00}}, {'n', {0x00, 0x00, 0x1C, 0x12, 0x12, 0x12, 0x00}},
    {'o', {0x00, 0x00, 0x0C, 0x12, 0x12, 0x0C, 0x00}}, {'p', {0x00, 0x00, 0x1C, 0x12, 0x12, 0x1C, 0x10}},
    {'q', {0x00, 0x00, 0x0E, 0x12, 0x12, 0x0E, 0x02}}, {'r', {0x00, 0x00, 0x16, 0x18, 0x10, 0x10, 0x00}},
    {'s', {0x00, 0x00, 0x0E, 0x18, 0x06, 0x1C, 0x00}}, {'t', {0x08, 0x08, 0x1C, 0x08, 0x08, 0x06, 0x00}},
    {'u', {0x00, 0x00, 0x12, 0x12, 0x12, 0x0E, 0x00}}, {'v', {0x00, 0x00, 0x12, 0x12, 0x14, 0x08, 0x00}},
    {'w', {0x00, 0x00, 0x11, 0x15, 0x15, 0x0A, 0x00}}, {'x', {0x00, 0x00, 0x12, 0x0C, 0x0C, 0x12, 0x00}},
    {'y', {0x00, 0x00, 0x12, 0x12, 0x0E, 0x02, 0x0C}}, {'z', {0x00, 0x00, 0x1E, 0x04, 0x08, 0x1E, 0x00}},
    {'_', {0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x1E}},
};

void paste(const Image& picture, int64_t x, int64_t y, Image& onto) {
  for (int64_t row = 0; row < picture.height; ++row) {
    const unsigned char* from = picture.rgb.data() + 3 * row * picture.width;
    std::copy(from, from + 3 * picture.width, onto.rgb.data() + 3 * ((y + row) * onto.width + x));
  }
}

void write_name(const std::string& name, int64_t x, int64_t y, int64_t dot, Image& onto) {
  for (const char c : name) {
    for (const Letter& letter : kLetters) {
      if (letter.letter != c) continue;
      for (int64_t row = 0; row < kLetterHeight * dot; ++row) {
        for (int64_t column = 0; column < kLetterWidth * dot; ++column) {
          if ((letter.rows[row / dot] >> (kLetterWidth - 1 - column / dot) & 1) != 0) {
            onto.set(x + column, y + row, kInk);
          }
        }
      }
    }
    x += (kLetterWidth + 1) * dot;
  }
}

}  // namespace

Image::Image(int64_t pixels_wide, int64_t pixels_high, Colour fill)
    : width(pixels_wide), height(pixels_high), rgb(static_cast<std::size_t>(3 * pixels_wide * pixels_high)) {
  for (std::size_t i = 0; i < rgb.size(); ++i) rgb[i] = fill[i % 3];
}

void Image::set(int64_t x, int64_t y, Colour colour) {
  if (x < 0 || y < 0 || x >= width || y >= height) return;
  std::copy(colour.begin(), colour.end(), rgb.begin() + 3 * (y * width + x));
}

Colour Image::at(int64_t x, int64_t y) const {
  const auto i = static_cast<std::size_t>(3 * (y * width + x));
  return {rgb[i], rgb[i + 1], rgb[i + 2]};
}

Colour colour_of(double t) {
  const double place = std::clamp(t, 0.0, 1.0) * static_cast<double>(std::size(kColours) - 1);
  const auto below = std::min(static_cast<std::size_t>(place), std::size(kColours) - 2);
  const double part = place - static_cast<double>(below);
  Colour out{};
  for (std::size_t c = 0; c < out.size(); ++c) {
    out[c] = static_cast<unsigned char>(std::lround((1 - part) * kColours[below][c] + part * kColours[below + 1][c]));
  }
  return out;
}

double brightness(double weight, double most) {
  if (weight == 0 || most == 0 || !std::isfinite(weight)) return 0;
  const double decades = std::log10(std::abs(weight) / most) / kDecades;  // 0 for the largest, -1 for the faintest
  return kFaintest + (1 - kFaintest) * std::clamp(1 + decades, 0.0, 1.0);
}

Image heat_map(const std::vector<Real>& matrix, int64_t rows, int64_t cell) {
  double most = 0;
  for (const Real value : matrix) {
    const double size = std::abs(static_cast<double>(value));
    if (std::isfinite(size)) most = std::max(most, size);
  }
  Image out(rows * cell, rows * cell, colour_of(0));
  for (int64_t y = 0; y < out.height; ++y) {
    for (int64_t x = 0; x < out.width; ++x) {
      const auto value = static_cast<double>(matrix[static_cast<std::size_t>(y / cell * rows + x / cell)]);
      out.set(x, y, colour_of(brightness(value, most)));
    }
  }
  return out;
}

int64_t cell_for(int64_t rows, int64_t side) { return std::max<int64_t>(1, side / rows); }

Image contact_sheet(const std::vector<std::pair<std::string, Image>>& pictures, int64_t columns) {
  LRA_ASSERT(!pictures.empty() && columns >= 1);
  const auto count = static_cast<int64_t>(pictures.size());
  columns = std::min(columns, count);
  const int64_t lines = (count + columns - 1) / columns;
  int64_t wide = 0, high = 0;
  for (const auto& [name, picture] : pictures) {
    wide = std::max(wide, picture.width);
    high = std::max(high, picture.height);
  }
  const int64_t dot = std::max<int64_t>(1, wide / 96);
  const int64_t label = (kLetterHeight + 3) * dot;
  Image sheet(kGap + columns * (wide + kGap), kGap + lines * (high + label + kGap), kPaper);
  for (int64_t i = 0; i < count; ++i) {
    const auto& [name, picture] = pictures[static_cast<std::size_t>(i)];
    const int64_t x = kGap + i % columns * (wide + kGap);
    const int64_t y = kGap + i / columns * (high + label + kGap);
    paste(picture, x, y, sheet);
    write_name(name, x, y + high + 3 * dot, dot, sheet);
  }
  return sheet;
}

void write_png(const std::string& path, const Image& image) {
  png_image header;
  std::memset(&header, 0, sizeof(header));
  header.version = PNG_IMAGE_VERSION;
  header.width = static_cast<png_uint_32>(image.width);
  header.height = static_cast<png_uint_32>(image.height);
  header.format = PNG_FORMAT_RGB;
  std::vector<unsigned char> file(PNG_IMAGE_PNG_SIZE_MAX(header));
  png_alloc_size_t size = file.size();
  if (png_image_write_to_memory(&header, file.data(), &size, 0, image.rgb.data(), 0, nullptr) == 0) {
    throw Error(ErrorKind::kIo, fmt::format("{}: the picture cannot be made: {}", path, header.message));
  }
  write_file_atomically(path, {{file.data(), size}});
}

}  // namespace lra::inspect
