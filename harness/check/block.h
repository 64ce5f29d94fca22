// Memory whose edges are watched: a block of numbers between two pages that cannot be touched, or, unwatched, between
// two pages of slack, so that an overrun stops the process in the check that looks for it and harms no other.
#ifndef LRA_CHECK_BLOCK_H
#define LRA_CHECK_BLOCK_H

#include <cstddef>
#include <string>
#include <utility>

#include "core/real.h"

namespace lra::check {

// Which end of a block touches an unreadable page.
enum class Edge { kNone, kBegin, kEnd };

class Block {
 public:
  Block() = default;
  // 64-byte aligned, filled with `fill`. `name` is what a fault report calls it. Throws Error(kIo) if the system
  // refuses.
  Block(const std::string& name, std::size_t bytes, Edge edge, int fill);
  ~Block();
  Block(Block&& other) noexcept { swap(other); }
  Block& operator=(Block&& other) noexcept {
    swap(other);
    return *this;
  }

  void* data() const { return data_; }
  Real* numbers() const { return static_cast<Real*>(data_); }
  std::size_t bytes() const { return bytes_; }
  std::size_t count() const { return bytes_ / sizeof(Real); }
  void fill(int byte) const;
  // From now on a write stops the process / is possible again.
  void forbid_writing() const;
  void allow_writing() const;
  // The few bytes between the block and the unreadable page, which alignment asks for, are as they were.
  bool intact() const;

 private:
  void swap(Block& other) noexcept {
    std::swap(region_, other.region_);
    std::swap(data_, other.data_);
    std::swap(bytes_, other.bytes_);
  }

  struct Region* region_ = nullptr;
  void* data_ = nullptr;
  std::size_t bytes_ = 0;
};

// Where a fault at `address` lies, in words: "behind the saved block 'lse'"; "" if no block is near. Callable from a
// signal handler; the text is overwritten by the next call.
const char* block_near(const void* address);

}  // namespace lra::check

#endif  // LRA_CHECK_BLOCK_H
