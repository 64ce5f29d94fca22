// Files: written whole or not at all, locked while in use, hashed.
#ifndef LRA_CORE_FILE_H
#define LRA_CORE_FILE_H

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace lra {

// Whole content. Throws Error(kIo) if it cannot be read, Error(kData) if it is larger than `limit` bytes.
std::string read_file(const std::string& path, std::size_t limit);

// Part of a file to write.
struct Bytes {
  const void* data = nullptr;
  std::size_t size = 0;
};
// Writes `parts` one after the other to a temporary file beside `path`, syncs it, renames it over `path` and syncs the
// folder: at every instant the old or the new content is there. Creates missing folders. Throws Error(kIo) with path
// and reason.
void write_file_atomically(const std::string& path, const std::vector<Bytes>& parts);
void write_file_atomically(const std::string& path, const std::string& text);

// Throws Error(kIo) unless `folder` exists (it is made) and can be written to.
void require_writable_folder(const std::string& folder);

// XXH3-128 of the bytes, 32 hex digits.
std::string hash_hex(const void* data, std::size_t size);
std::string hash_hex(const std::string& text);
uint64_t hash64(const void* data, std::size_t size);

// Exclusive advisory lock on a file, held until destroyed; the holder's process id is written into it.
class FileLock {
 public:
  // Waits for it, or with `wait` false throws Error(kIo) naming the holder.
  FileLock(const std::string& path, bool wait);
  ~FileLock();
  FileLock(const FileLock&) = delete;
  FileLock& operator=(const FileLock&) = delete;

 private:
  int descriptor_ = -1;
};

// A file mapped read-only; empty for an empty file. Throws Error(kIo).
class MappedFile {
 public:
  explicit MappedFile(const std::string& path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;
  const unsigned char* data() const { return data_; }
  std::size_t size() const { return size_; }

 private:
  const unsigned char* data_ = nullptr;
  std::size_t size_ = 0;
};

// $LRA_CACHE, else $XDG_CACHE_HOME/lra, else $HOME/.cache/lra, else a folder under the system's temporary one.
std::string cache_folder();

}  // namespace lra

#endif  // LRA_CORE_FILE_H
