// Memory is declared before the run and handed out of one arena: every byte has a category and a name.
#ifndef LRA_CORE_PLAN_H
#define LRA_CORE_PLAN_H

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace lra {

enum class Memory { kParameters, kGradients, kOptimizer, kSaved, kScratch, kData };
inline constexpr std::size_t kMemoryCategories = 6;
// "parameters", "gradients", ...
const char* memory_name(Memory category);

inline constexpr std::size_t kAlignment = 64;
constexpr std::size_t aligned(std::size_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

// Where a block lies in the arena.
struct Block {
  std::size_t offset = 0;
  std::size_t bytes = 0;
};

class Plan {
 public:
  // Blocks start on 64-byte boundaries; zero bytes are allowed.
  Block reserve(Memory category, std::size_t bytes);
  std::size_t total() const { return total_; }
  std::size_t bytes(Memory category) const { return by_category_[static_cast<std::size_t>(category)]; }

 private:
  std::size_t total_ = 0;
  std::array<std::size_t, kMemoryCategories> by_category_{};
};

// One zeroed mapping of plan.total() bytes; pages cost memory only once written. Owns it; not copyable.
class Arena {
 public:
  explicit Arena(const Plan& plan);  // throws Error(kIo) if the system refuses
  ~Arena();
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  template <class T>
  T* at(Block block) const {
    return reinterpret_cast<T*>(base_ + block.offset);
  }
  // Bytes of the mapping that have ever been written, in whole pages.
  std::size_t high_water() const;

 private:
  unsigned char* base_ = nullptr;
  std::size_t bytes_ = 0;
};

}  // namespace lra

#endif  // LRA_CORE_PLAN_H
