// Which copy of the kernels runs: the best instruction set this machine has, or the one that LRA_ISA=v2|v3|v4 asks for.
//
// A kernel family has a table of function pointers, `template <class T> struct GemmTable`, in isa/gemm_table.h,
// followed by
//   LRA_DECLARE_TABLE(GemmTable, gemm_table)
// which declares `const GemmTable<T>& gemm_table<T>()` in namespaces v2, v3, v4; isa/gemm.cpp defines it in namespace
// LRA_ISA. Its public functions call
//   static const auto& table = LRA_PICK(gemm_table<T>);
#ifndef LRA_MATH_DISPATCH_H
#define LRA_MATH_DISPATCH_H

namespace lra::math {

enum class Isa { kV2 = 2, kV3 = 3, kV4 = 4 };

// Decided once per process. An unknown or unsupported LRA_ISA falls back to the best supported one at or below it.
Isa active_isa();
// "x86-64-v4 (AVX-512)"
const char* isa_name(Isa isa);

}  // namespace lra::math

#define LRA_DECLARE_TABLE(Table, name) \
  namespace v2 {                       \
  template <class T>                   \
  const Table<T>& name();              \
  }                                    \
  namespace v3 {                       \
  template <class T>                   \
  const Table<T>& name();              \
  }                                    \
  namespace v4 {                       \
  template <class T>                   \
  const Table<T>& name();              \
  }

#define LRA_PICK(table)                                                            \
  (::lra::math::active_isa() == ::lra::math::Isa::kV4   ? ::lra::math::v4::table() \
   : ::lra::math::active_isa() == ::lra::math::Isa::kV3 ? ::lra::math::v3::table() \
                                                        : ::lra::math::v2::table())

#endif  // LRA_MATH_DISPATCH_H
