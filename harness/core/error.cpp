// What a broken assertion prints.
#include "core/error.h"

#include <cstdio>
#include <cstdlib>

namespace lra {

void assertion_failed(const char* condition, const char* file, int line) {
  std::fprintf(stderr, "lra: internal error: '%s' does not hold at %s:%d; please report it\n", condition, file, line);
  std::abort();
}

}  // namespace lra
