// Decompression as a stream of blocks, cut into rows.
#include "data/rows.h"

#include <fmt/format.h>
#include <lzma.h>
#include <zlib.h>

#include <array>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <filesystem>

#include "core/error.h"

namespace lra::data {
namespace {

constexpr std::size_t kBlock = std::size_t{1} << 18;
constexpr uint64_t kXzMemory = uint64_t{256} << 20;  // a dictionary larger than this is an attack or a mistake

[[noreturn]] void refuse(const std::string& path, const std::string& reason) {
  throw Error(ErrorKind::kData, fmt::format("{}: {}", path, reason));
}

}  // namespace

BadRows::BadRows(const std::string& policy) {
  constexpr std::string_view kSkip = "skip:";
  if (policy == "fail") return;
  const char* end = policy.data() + policy.size();
  if (policy.starts_with(kSkip)) {
    const auto [stop, error] = std::from_chars(policy.data() + kSkip.size(), end, allowed_);
    if (error == std::errc() && stop == end && allowed_ >= 1 && allowed_ <= 1'000'000'000) return;
  }
  throw Error(ErrorKind::kUsage,
              fmt::format("bad_rows is '{}'; choose fail, or skip:N with N rows that may be left out", policy));
}

void BadRows::reject(const std::string& path, int64_t row, const std::string& reason) {
  if (skipped_ < allowed_) {
    ++skipped_;
    return;
  }
  const std::string place = row > 0 ? fmt::format("{}, row {}", path, row) : path;
  const std::string next =
      allowed_ > 0
          ? fmt::format("{} rows were left out before it, as many as bad_rows=skip:{} allows", allowed_, allowed_)
          : "mend it, or leave such rows out with --task-set bad_rows=skip:N";
  throw Error(ErrorKind::kData, fmt::format("{}: {}; {}", place, reason, next));
}

OptionSpec bad_rows_option() {
  return OptionSpec::text_value("bad_rows", "fail",
                                "of real data: fail at a row that cannot be used, or skip:N to leave out up to N");
}

// Bytes of the file, decompressed on the way. zlib passes plain files through.
class RowReader::Source {
 public:
  explicit Source(const std::string& path) : path_(path), buffer_(kBlock) {
    std::error_code trouble;
    if (!std::filesystem::is_regular_file(path, trouble)) refuse(path, "is not there, or is no file");
    constexpr std::array<unsigned char, 6> kXzMagic{0xfd, '7', 'z', 'X', 'Z', 0};
    std::array<unsigned char, 6> start{};
    file_.reset(std::fopen(path.c_str(), "rb"));
    if (file_ == nullptr) refuse(path, fmt::format("cannot be opened: {}", std::strerror(errno)));
    is_xz_ = std::fread(start.data(), 1, start.size(), file_.get()) == start.size() && start == kXzMagic;
    if (is_xz_) {
      std::rewind(file_.get());
      packed_.resize(kBlock);
      if (lzma_stream_decoder(&xz_, kXzMemory, LZMA_CONCATENATED) != LZMA_OK) refuse(path, "xz cannot start");
      return;
    }
    file_.reset();
    gz_ = gzopen(path.c_str(), "rb");
    if (gz_ == nullptr) refuse(path, "cannot be opened");
  }
  ~Source() {
    lzma_end(&xz_);
    if (gz_ != nullptr) gzclose(gz_);
  }
  Source(const Source&) = delete;
  Source& operator=(const Source&) = delete;

  // The bytes not handed out yet, more of them if there are none; empty at the end.
  std::string_view ahead() {
    if (used_ == filled_) {
      used_ = 0;
      filled_ = is_xz_ ? unpack_xz() : unpack_gz();
    }
    return {buffer_.data() + used_, filled_ - used_};
  }
  void use(std::size_t bytes) { used_ += bytes; }

 private:
  std::size_t unpack_gz() {
    const int got = gzread(gz_, buffer_.data(), static_cast<unsigned>(buffer_.size()));
    int code = Z_OK;
    const char* reason = gzerror(gz_, &code);
    if (got < 0) refuse(path_, fmt::format("cannot be unpacked: {}", reason));
    if (code == Z_BUF_ERROR) refuse(path_, "is truncated");
    return static_cast<std::size_t>(got);
  }
  std::size_t unpack_xz() {
    if (xz_ended_) return 0;
    xz_.next_out = reinterpret_cast<uint8_t*>(buffer_.data());
    xz_.avail_out = buffer_.size();
    while (xz_.avail_out > 0 && !xz_ended_) {
      if (xz_.avail_in == 0 && !packed_ended_) {
        xz_.avail_in = std::fread(packed_.data(), 1, packed_.size(), file_.get());
        xz_.next_in = packed_.data();
        packed_ended_ = xz_.avail_in < packed_.size();
        if (std::ferror(file_.get()) != 0) refuse(path_, "cannot be read");
      }
      const lzma_ret result = lzma_code(&xz_, packed_ended_ ? LZMA_FINISH : LZMA_RUN);
      if (result == LZMA_STREAM_END) {
        xz_ended_ = true;
      } else if (result == LZMA_BUF_ERROR) {
        refuse(path_, "is truncated");
      } else if (result != LZMA_OK) {
        refuse(path_, fmt::format("cannot be unpacked: xz reports error {}", static_cast<int>(result)));
      }
    }
    return buffer_.size() - xz_.avail_out;
  }

  std::string path_;
  std::vector<char> buffer_;
  std::size_t used_ = 0, filled_ = 0;
  gzFile gz_ = nullptr;
  bool is_xz_ = false, xz_ended_ = false, packed_ended_ = false;
  std::unique_ptr<std::FILE, int (*)(std::FILE*)> file_{nullptr, std::fclose};
  lzma_stream xz_ = LZMA_STREAM_INIT;
  std::vector<uint8_t> packed_;
};

RowReader::RowReader(const std::string& path, std::size_t most)
    : source_(std::make_unique<Source>(path)), most_(most) {}
RowReader::~RowReader() = default;

bool RowReader::next() {
  row_.clear();
  is_cut_ = false;
  std::string_view ahead = source_->ahead();
  if (ahead.empty()) return false;
  ++number_;
  for (; !ahead.empty(); ahead = source_->ahead()) {
    const std::size_t end = std::min(ahead.find('\n'), ahead.size());
    const std::size_t room = most_ - row_.size();
    is_cut_ = is_cut_ || end > room;
    row_.append(ahead.substr(0, std::min(end, room)));
    source_->use(std::min(end + 1, ahead.size()));
    if (end == ahead.size()) continue;
    break;
  }
  if (!is_cut_ && row_.ends_with('\r')) row_.pop_back();
  return true;
}

std::string find_file(const std::string& path) {
  for (const char* ending : {"", ".gz", ".xz"}) {
    std::error_code missing;
    if (std::filesystem::is_regular_file(path + ending, missing)) return path + ending;
  }
  return {};
}

std::string file_state(const std::string& path) {
  std::error_code missing;
  const auto bytes = std::filesystem::file_size(path, missing);
  const auto time = std::filesystem::last_write_time(path, missing);
  return missing ? "?" : fmt::format("{} {}", bytes, time.time_since_epoch().count());
}

}  // namespace lra::data
