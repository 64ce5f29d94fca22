// Durable writes (temporary file, fsync, rename, fsync of the folder), locks, maps and hashes.
#include "core/file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "core/error.h"

namespace lra {
namespace {

[[noreturn]] void fail(const std::string& path, const char* action) {
  throw Error(ErrorKind::kIo, fmt::format("{}: cannot {}: {}", path, action, std::strerror(errno)));
}

// Owns a descriptor.
class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }

 private:
  int fd_;
};

void write_all(int fd, const void* data, std::size_t size, const std::string& path) {
  const auto* bytes = static_cast<const unsigned char*>(data);
  while (size > 0) {
    const ssize_t written = write(fd, bytes, size);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) fail(path, "write");
    bytes += written;
    size -= static_cast<std::size_t>(written);
  }
}

}  // namespace

std::string read_file(const std::string& path, std::size_t limit) {
  const Descriptor file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (file.get() < 0) fail(path, "read");
  struct stat info {};
  if (fstat(file.get(), &info) != 0) fail(path, "read");
  if (S_ISDIR(info.st_mode)) throw Error(ErrorKind::kIo, fmt::format("{}: is a folder; a file is wanted", path));
  std::string text;
  std::array<char, 65536> buffer{};
  for (;;) {
    const ssize_t got = read(file.get(), buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail(path, "read");
    if (got == 0) return text;
    text.append(buffer.data(), static_cast<std::size_t>(got));
    if (text.size() > limit)
      throw Error(ErrorKind::kData, fmt::format("{}: larger than {} bytes; not a file of ours", path, limit));
  }
}

void write_file_atomically(const std::string& path, const std::vector<Bytes>& parts) {
  const std::filesystem::path target(path);
  const std::filesystem::path folder = target.has_parent_path() ? target.parent_path() : std::filesystem::path(".");
  std::error_code code;
  std::filesystem::create_directories(folder, code);
  if (code)
    throw Error(ErrorKind::kIo, fmt::format("{}: cannot create the folder: {}", folder.string(), code.message()));
  const std::string temporary = fmt::format("{}.tmp.{}", path, getpid());
  try {
    {
      const Descriptor file(open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666));
      if (file.get() < 0) fail(temporary, "write");
      std::size_t total = 0;
      for (const Bytes& part : parts) {
        write_all(file.get(), part.data, part.size, temporary);
        total += part.size;
      }
      struct stat info {};
      if (fsync(file.get()) != 0 || fstat(file.get(), &info) != 0) fail(temporary, "write");
      if (static_cast<std::size_t>(info.st_size) != total) {
        throw Error(ErrorKind::kIo,
                    fmt::format("{}: {} of {} bytes arrived on the disk", temporary, info.st_size, total));
      }
    }
    if (rename(temporary.c_str(), path.c_str()) != 0) fail(path, "write");
  } catch (...) {
    unlink(temporary.c_str());
    throw;
  }
  const Descriptor directory(open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (directory.get() < 0 || fsync(directory.get()) != 0) fail(folder.string(), "sync");
}

void write_file_atomically(const std::string& path, const std::string& text) {
  write_file_atomically(path, {Bytes{text.data(), text.size()}});
}

void require_writable_folder(const std::string& folder) {
  std::error_code code;
  std::filesystem::create_directories(folder, code);
  if (code || !std::filesystem::is_directory(folder) || access(folder.c_str(), W_OK | X_OK) != 0) {
    throw Error(ErrorKind::kIo,
                fmt::format("{}: not a folder that can be written to; choose another with --out", folder));
  }
}

std::string hash_hex(const void* data, std::size_t size) {
  const XXH128_hash_t hash = XXH3_128bits(data, size);
  return fmt::format("{:016x}{:016x}", hash.high64, hash.low64);
}

std::string hash_hex(const std::string& text) { return hash_hex(text.data(), text.size()); }

uint64_t hash64(const void* data, std::size_t size) { return XXH3_64bits(data, size); }

FileLock::FileLock(const std::string& path, bool wait) {
  std::error_code code;
  std::filesystem::create_directories(std::filesystem::path(path).parent_path(), code);
  descriptor_ = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  if (descriptor_ < 0) fail(path, "lock");
  while (flock(descriptor_, LOCK_EX | (wait ? 0 : LOCK_NB)) != 0) {
    if (errno == EINTR) continue;
    std::array<char, 32> holder{};
    const ssize_t got = pread(descriptor_, holder.data(), holder.size() - 1, 0);
    close(descriptor_);
    throw Error(ErrorKind::kIo, fmt::format("{}: in use by process {}; wait for it or choose another --out", path,
                                            got > 0 ? holder.data() : "unknown"));
  }
  const std::string self = fmt::format("{}\n", getpid());
  if (ftruncate(descriptor_, 0) != 0 || pwrite(descriptor_, self.data(), self.size(), 0) < 0) fail(path, "lock");
}

FileLock::~FileLock() {
  if (descriptor_ >= 0) close(descriptor_);
}

MappedFile::MappedFile(const std::string& path) {
  const Descriptor file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (file.get() < 0) fail(path, "read");
  struct stat info {};
  if (fstat(file.get(), &info) != 0) fail(path, "read");
  size_ = static_cast<std::size_t>(info.st_size);
  if (size_ == 0) return;
  void* base = mmap(nullptr, size_, PROT_READ, MAP_SHARED, file.get(), 0);
  if (base == MAP_FAILED) fail(path, "map");
  data_ = static_cast<const unsigned char*>(base);
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) munmap(const_cast<unsigned char*>(data_), size_);
}

std::string cache_folder() {
  if (const char* set = std::getenv("LRA_CACHE"); set != nullptr && *set != '\0') return set;
  if (const char* xdg = std::getenv("XDG_CACHE_HOME"); xdg != nullptr && *xdg != '\0') return std::string(xdg) + "/lra";
  if (const char* home = std::getenv("HOME"); home != nullptr && *home != '\0')
    return std::string(home) + "/.cache/lra";
  return (std::filesystem::temp_directory_path() / "lra-cache").string();
}

}  // namespace lra
