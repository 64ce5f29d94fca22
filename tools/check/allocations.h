// Counts requests for heap memory of the whole process, plugins included: this program has its own malloc, which counts
// and passes on to the C library's.
#ifndef LRA_TOOLS_CHECK_ALLOCATIONS_H
#define LRA_TOOLS_CHECK_ALLOCATIONS_H

#include <cstdint>

namespace lra::check {

// So far; null where a sanitizer has replaced malloc already.
using AllocationCount = uint64_t (*)();
AllocationCount allocation_count();

}  // namespace lra::check

#endif  // LRA_TOOLS_CHECK_ALLOCATIONS_H
