// The header is parsed as what it is, a dictionary of three known keys; nothing in the file is trusted.
#include "core/npy.h"

#include <fmt/format.h>

#include <cctype>
#include <cstring>
#include <optional>
#include <string_view>

#include "core/error.h"
#include "core/file.h"

namespace lra {
namespace {

constexpr std::string_view kMagic = "\x93NUMPY";
constexpr std::size_t kBlock = 64;            // header and data start on multiples of it
constexpr std::size_t kMostHeader = 1 << 16;  // far beyond that of any plain array
constexpr std::size_t kMostAxes = 32;         // NumPy's own limit
constexpr int64_t kMostNumbers = int64_t{1} << 40;

[[noreturn]] void refuse(const std::string& path, const std::string& why) {
  throw Error(ErrorKind::kData, fmt::format("{}: {}", path, why));
}

struct Header {
  std::string descr;  // "" for a record type
  bool fortran = false;
  std::vector<int64_t> shape;
};

// The dictionary, word by word. Every failure is the same to the reader: not a header of NumPy.
class HeaderParser {
 public:
  explicit HeaderParser(std::string_view text) : text_(text) {}

  std::optional<Header> parse() {
    Header out;
    bool has_descr = false, has_order = false, has_shape = false;
    if (!take('{')) return std::nullopt;
    while (!take('}')) {
      const auto key = text();
      if (!key || !take(':')) return std::nullopt;
      bool good = false;
      if (*key == "descr" && !has_descr) {
        good = has_descr = descr(out.descr);
      } else if (*key == "fortran_order" && !has_order) {
        good = has_order = truth(out.fortran);
      } else if (*key == "shape" && !has_shape) {
        good = has_shape = shape(out.shape);
      }
      if (!good) return std::nullopt;
      if (!take(',')) {
        if (!take('}')) return std::nullopt;
        break;
      }
    }
    skip();
    if (at_ != text_.size() || !has_descr || !has_order || !has_shape) return std::nullopt;
    return out;
  }

 private:
  void skip() {
    while (at_ < text_.size() && std::isspace(static_cast<unsigned char>(text_[at_])) != 0) ++at_;
  }
  bool take(char c) {
    skip();
    if (at_ >= text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  bool take_word(std::string_view word) {
    skip();
    if (text_.substr(at_, word.size()) != word) return false;
    at_ += word.size();
    return true;
  }
  std::optional<std::string> text() {
    skip();
    if (at_ >= text_.size() || (text_[at_] != '\'' && text_[at_] != '"')) return std::nullopt;
    const std::size_t end = text_.find(text_[at_], at_ + 1);
    if (end == std::string_view::npos) return std::nullopt;
    std::string out(text_.substr(at_ + 1, end - at_ - 1));
    at_ = end + 1;
    return out;
  }
  // A name of a type; a list of fields is passed over and leaves `out` empty.
  bool descr(std::string& out) {
    skip();
    if (at_ < text_.size() && text_[at_] == '[') {
      int depth = 0;
      for (; at_ < text_.size(); ++at_) {
        if (text_[at_] == '[') ++depth;
        if (text_[at_] == ']' && --depth == 0) break;
      }
      return take(']');
    }
    const auto name = text();
    if (name) out = *name;
    return name.has_value() && !out.empty();
  }
  bool truth(bool& out) {
    out = take_word("True");
    return out || take_word("False");
  }
  bool shape(std::vector<int64_t>& out) {
    if (!take('(')) return false;
    while (!take(')')) {
      skip();
      int64_t value = 0;
      std::size_t digits = 0;
      for (; at_ < text_.size() && std::isdigit(static_cast<unsigned char>(text_[at_])) != 0; ++at_, ++digits) {
        value = value * 10 + (text_[at_] - '0');
        if (value > kMostNumbers) return false;
      }
      if (digits == 0 || out.size() == kMostAxes) return false;
      out.push_back(value);
      if (!take(',')) return take(')');
    }
    return true;
  }

  std::string_view text_;
  std::size_t at_ = 0;
};

// The number of elements, or nothing if it is beyond any file.
std::optional<int64_t> count_of(const std::vector<int64_t>& shape) {
  int64_t count = 1;
  for (const int64_t length : shape) {
    if (length > 0 && count > kMostNumbers / length) return std::nullopt;
    count *= length;
  }
  return count;
}

template <class T>
void copy_numbers(const unsigned char* from, std::vector<double>& to) {
  for (std::size_t i = 0; i < to.size(); ++i) {
    T value;
    std::memcpy(&value, from + i * sizeof(T), sizeof(T));
    to[i] = static_cast<double>(value);
  }
}

// Fortran order is the C order of the reversed axes.
std::vector<double> from_fortran_order(const std::vector<double>& in, const std::vector<int64_t>& shape) {
  std::vector<double> out(in.size());
  std::vector<int64_t> index(shape.size(), 0);
  for (double& value : out) {
    int64_t at = 0;
    for (std::size_t axis = shape.size(); axis-- > 0;) at = at * shape[axis] + index[axis];
    value = in[static_cast<std::size_t>(at)];
    for (std::size_t axis = shape.size(); axis-- > 0 && ++index[axis] == shape[axis];) index[axis] = 0;
  }
  return out;
}

template <class T>
void write(const std::string& path, const char* descr, const std::vector<int64_t>& shape, const T* numbers) {
  const auto count = count_of(shape);
  LRA_ASSERT(count.has_value());
  std::string header =
      fmt::format("{{'descr': '{}', 'fortran_order': False, 'shape': {}, }}", descr, shape_text(shape));
  const std::size_t front = kMagic.size() + 4;  // magic, version, length
  header.append(kBlock - (front + header.size() + 1) % kBlock, ' ');
  header += '\n';
  const auto length = static_cast<uint16_t>(header.size());
  std::string start(kMagic);
  start += {'\x01', '\x00', static_cast<char>(length & 0xFF), static_cast<char>(length >> 8)};
  write_file_atomically(path, {{start.data(), start.size()},
                               {header.data(), header.size()},
                               {numbers, static_cast<std::size_t>(*count) * sizeof(T)}});
}

}  // namespace

std::string shape_text(const std::vector<int64_t>& shape) {
  return shape.size() == 1 ? fmt::format("({},)", shape[0]) : fmt::format("({})", fmt::join(shape, ", "));
}

NpyArray read_npy(const std::string& path) {
  const MappedFile file(path);
  const std::size_t size = file.size();
  const unsigned char* data = file.data();
  if (size < kMagic.size() + 4 || std::memcmp(data, kMagic.data(), kMagic.size()) != 0) {
    refuse(path, "not a .npy file; write it with numpy.save");
  }
  const unsigned major = data[kMagic.size()];
  if (major < 1 || major > 3) refuse(path, fmt::format("a .npy file of version {}; 1 to 3 are known", major));
  const std::size_t length_bytes = major == 1 ? 2 : 4;
  const std::size_t front = kMagic.size() + 2 + length_bytes;
  if (size < front) refuse(path, "ends within its header; write it again");
  std::size_t length = 0;
  for (std::size_t i = length_bytes; i-- > 0;) length = length << 8 | data[kMagic.size() + 2 + i];
  if (length > kMostHeader || length > size - front) refuse(path, "ends within its header; write it again");

  const auto header = HeaderParser({reinterpret_cast<const char*>(data) + front, length}).parse();
  if (!header) refuse(path, "its header is damaged; write it again with numpy.save");
  NpyArray out;
  out.shape = header->shape;
  if (header->descr == "<f4") out.type = "float32";
  if (header->descr == "<f8") out.type = "float64";
  if (out.type.empty()) {
    refuse(path, fmt::format("holds {}; little-endian float32 ('<f4') or float64 ('<f8') is wanted: convert it with "
                             "array.astype('<f4')",
                             header->descr.empty() ? "records" : fmt::format("numbers of type '{}'", header->descr)));
  }
  const auto count = count_of(out.shape);
  const std::size_t width = out.type == "float32" ? sizeof(float) : sizeof(double);
  const std::size_t rest = size - front - length;
  if (!count || static_cast<std::size_t>(*count) > rest / width || static_cast<std::size_t>(*count) * width != rest) {
    refuse(path, fmt::format("its header says shape {} of {}, but {} bytes of numbers follow; write it again",
                             shape_text(out.shape), out.type, rest));
  }
  out.numbers.resize(static_cast<std::size_t>(*count));
  const unsigned char* numbers = data + front + length;
  width == sizeof(float) ? copy_numbers<float>(numbers, out.numbers) : copy_numbers<double>(numbers, out.numbers);
  if (header->fortran && out.shape.size() > 1) out.numbers = from_fortran_order(out.numbers, out.shape);
  return out;
}

void write_npy(const std::string& path, const std::vector<int64_t>& shape, const float* numbers) {
  write(path, "<f4", shape, numbers);
}

void write_npy(const std::string& path, const std::vector<int64_t>& shape, const double* numbers) {
  write(path, "<f8", shape, numbers);
}

}  // namespace lra
