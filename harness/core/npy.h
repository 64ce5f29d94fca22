// NumPy's file of one array (.npy): magic, version, a header written as a Python dictionary, the numbers.
//   "\x93NUMPY" major minor length {'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), } padding '\n' data
#ifndef LRA_CORE_NPY_H
#define LRA_CORE_NPY_H

#include <cstdint>
#include <string>
#include <vector>

namespace lra {

struct NpyArray {
  std::vector<int64_t> shape;   // {} for a single number
  std::vector<double> numbers;  // row by row (C order), whatever the file's order
  std::string type;             // of the file's numbers: "float32" or "float64"
};

// float32 and float64, little-endian, C or Fortran order, format versions 1 to 3. Throws Error(kData), one sentence
// that opens with the path, for anything else or a damaged file; Error(kIo) for a file that cannot be read.
NpyArray read_npy(const std::string& path);

// Numbers row by row, as many as the product of `shape`; replaces the file atomically. Throws Error(kIo).
void write_npy(const std::string& path, const std::vector<int64_t>& shape, const float* numbers);
void write_npy(const std::string& path, const std::vector<int64_t>& shape, const double* numbers);

// "(3, 4)", "(3,)", "()"
std::string shape_text(const std::vector<int64_t>& shape);

}  // namespace lra

#endif  // LRA_CORE_NPY_H
