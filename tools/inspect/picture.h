// Matrices as pictures: one heat map, or a sheet of many with their names.
#ifndef LRA_TOOLS_INSPECT_PICTURE_H
#define LRA_TOOLS_INSPECT_PICTURE_H

#include <array>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "core/real.h"

namespace lra::inspect {

using Colour = std::array<unsigned char, 3>;

struct Image {
  int64_t width = 0, height = 0;
  std::vector<unsigned char> rgb;  // row by row, three bytes a pixel

  Image(int64_t pixels_wide, int64_t pixels_high, Colour fill);
  void set(int64_t x, int64_t y, Colour colour);
  Colour at(int64_t x, int64_t y) const;
};

// Colour of t in [0, 1], dark to bright.
Colour colour_of(double t);
// Brightness of a weight beside the largest one of its matrix: 0 for nothing at all; the rest on a scale of logarithms
// over three decades, from kFaintest to 1.
inline constexpr double kFaintest = 0.15;
double brightness(double weight, double most);

// matrix: [rows, rows], row i above row i + 1; each weight is `cell` x `cell` pixels, by its size without the sign.
Image heat_map(const std::vector<Real>& matrix, int64_t rows, int64_t cell);
// Pixels of a cell for a picture of about `side` pixels.
int64_t cell_for(int64_t rows, int64_t side);

// Pictures of one size in a grid, each with its name (a-z, 0-9, _) below it.
Image contact_sheet(const std::vector<std::pair<std::string, Image>>& pictures, int64_t columns);

// Throws Error(kIo).
void write_png(const std::string& path, const Image& image);

}  // namespace lra::inspect

#endif  // LRA_TOOLS_INSPECT_PICTURE_H
