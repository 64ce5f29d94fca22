// The scalar type of this build: float, or double in the f64 preset.
#ifndef LRA_CORE_REAL_H
#define LRA_CORE_REAL_H

#ifndef LRA_REAL
#define LRA_REAL float
#endif

namespace lra {
using Real = LRA_REAL;
}  // namespace lra

#endif  // LRA_CORE_REAL_H
