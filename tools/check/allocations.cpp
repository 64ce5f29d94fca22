// Symbols of a program come before those of its libraries, so these are the ones that everybody calls; operator new
// ends in them too.
#include "tools/check/allocations.h"

#include <atomic>
#include <cerrno>
#include <cstddef>

#if defined(__GLIBC__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define LRA_COUNTS_ALLOCATIONS
#endif

#ifdef LRA_COUNTS_ALLOCATIONS

namespace {
std::atomic<uint64_t> requests{0};
void count() { requests.fetch_add(1, std::memory_order_relaxed); }
}  // namespace

extern "C" {
void* libc_malloc(std::size_t bytes) __asm__("__libc_malloc");
void* libc_calloc(std::size_t count, std::size_t bytes) __asm__("__libc_calloc");
void* libc_realloc(void* old, std::size_t bytes) __asm__("__libc_realloc");
void* libc_memalign(std::size_t alignment, std::size_t bytes) __asm__("__libc_memalign");

[[gnu::visibility("default")]] void* malloc(std::size_t bytes) noexcept {
  count();
  return libc_malloc(bytes);
}
[[gnu::visibility("default")]] void* calloc(std::size_t number, std::size_t bytes) noexcept {
  count();
  return libc_calloc(number, bytes);
}
[[gnu::visibility("default")]] void* realloc(void* old, std::size_t bytes) noexcept {
  count();
  return libc_realloc(old, bytes);
}
[[gnu::visibility("default")]] void* memalign(std::size_t alignment, std::size_t bytes) noexcept {
  count();
  return libc_memalign(alignment, bytes);
}
[[gnu::visibility("default")]] void* aligned_alloc(std::size_t alignment, std::size_t bytes) noexcept {
  count();
  return libc_memalign(alignment, bytes);
}
[[gnu::visibility("default")]] int posix_memalign(void** out, std::size_t alignment, std::size_t bytes) noexcept {
  count();
  void* const made = libc_memalign(alignment, bytes);
  if (made == nullptr) return ENOMEM;
  *out = made;
  return 0;
}
}

namespace lra::check {
AllocationCount allocation_count() {
  return [] { return requests.load(std::memory_order_relaxed); };
}
}  // namespace lra::check

#else

namespace lra::check {
AllocationCount allocation_count() { return nullptr; }
}  // namespace lra::check

#endif
