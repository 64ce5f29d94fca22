// Entry to the gemm kernels and the count of FLOPs done.
#include "math/gemm.h"

#include <atomic>

#include "math/isa/gemm_table.h"

namespace lra::math {
namespace {
std::atomic<uint64_t> flops_done{0};
}  // namespace

uint64_t kernel_flops() { return flops_done.load(std::memory_order_relaxed); }

void count_flops(uint64_t flops) { flops_done.fetch_add(flops, std::memory_order_relaxed); }

template <class T>
void gemm(const Gemm<T>& g) {
  static const auto& table = LRA_PICK(gemm_table<T>);
  table.gemm(g);
  count_flops(2 * static_cast<uint64_t>(g.m) * static_cast<uint64_t>(g.n) * static_cast<uint64_t>(g.k));
}
template void gemm<float>(const Gemm<float>&);
template void gemm<double>(const Gemm<double>&);

}  // namespace lra::math
