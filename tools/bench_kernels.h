// The kernel benchmarks of lra-bench.
#ifndef LRA_TOOLS_BENCH_KERNELS_H
#define LRA_TOOLS_BENCH_KERNELS_H

namespace lra {

// Registers with google-benchmark: gemm/<shape>/<own|onednn|eigen_sse>, attention/<forward|backward>/..., exp. Every
// line carries
//   GFLOP/s (or Gexp/s)   of the fastest repetition
//   of_peak               the same as a share of the FMA peak of the cores used, measured just before and just after
// Call once, before benchmark::RunSpecifiedBenchmarks().
void register_kernel_benchmarks();

}  // namespace lra

#endif  // LRA_TOOLS_BENCH_KERNELS_H
