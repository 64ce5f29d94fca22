// Kernels against the roof: matrix products of the encoder's shapes beside oneDNN and Eigen, attention, exp; single
// precision.
#include "bench_kernels.h"

#include <benchmark/benchmark.h>
#include <oneapi/dnnl/dnnl.h>

#include <Eigen/Core>
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/parallel.h"
#include "math/attention.h"
#include "math/elementwise.h"
#include "math/gemm.h"
#include "math/peak.h"

// libgomp's own function: oneDNN is to compute on the calling thread, like our kernel.
extern "C" void omp_set_num_threads(int);

namespace lra {
namespace {

using math::Attention;
using math::Gemm;
using math::KeyRange;
using math::Op;

// Plain values without structure, the same on every run.
std::vector<float> values(int64_t n) {
  std::vector<float> x(static_cast<size_t>(n));
  uint32_t state = 1;
  for (float& v : x) {
    state = state * 1664525u + 1013904223u;
    v = static_cast<float>(state >> 8) * 0x1p-23f - 1.0f;
  }
  return x;
}

// Repeats `work` as google-benchmark asks and reports the rate of the fastest repetition.
template <class Work>
void measure(benchmark::State& state, double flops, int threads, Work&& work) {
  using Clock = std::chrono::steady_clock;
  constexpr double kProbe = 0.01;  // seconds
  double peak = math::measure_fma_peak<float>(kProbe);
  double fastest = 1e300;
  work();
  for ([[maybe_unused]] auto _ : state) {
    const auto start = Clock::now();
    work();
    benchmark::ClobberMemory();
    fastest = std::min(fastest, std::chrono::duration<double>(Clock::now() - start).count());
  }
  peak = std::max(peak, math::measure_fma_peak<float>(kProbe));
  const double rate = flops / fastest * 1e-9;
  state.counters["GFLOP/s"] = rate;
  state.counters["of_peak"] = rate / (peak * threads);
}

// ---- matrix products
// -----------------------------------------------------------------------------------------------------

// Eigen is compiled for the instruction set that every machine has, hence its name; the other two choose at run time.
enum class Engine { kOwn, kOnednn, kEigen };
constexpr const char* kEngineNames[] = {"own", "onednn", "eigen_sse"};

struct Shape {
  const char* name;
  int64_t m, n, k;
  Op op_a = Op::kNone, op_b = Op::kNone;
};

// Linear layers forward, their data and weight gradients, and the products of random features; rows of one sequence or
// many.
constexpr Shape kShapes[] = {
    {"linear_32768x64x64", 32768, 64, 64},
    {"linear_32768x128x64", 32768, 128, 64},
    {"linear_32768x64x128", 32768, 64, 128},
    {"linear_2048x64x64", 2048, 64, 64},
    {"linear_2048x128x64", 2048, 128, 64},
    {"linear_2048x64x128", 2048, 64, 128},
    {"linear_196x64x64", 196, 64, 64},
    {"data_gradient_32768x64x64", 32768, 64, 64, Op::kNone, Op::kTranspose},
    {"weight_gradient_64x64x32768", 64, 64, 32768, Op::kTranspose, Op::kNone},
    {"weight_gradient_64x64x2048", 64, 64, 2048, Op::kTranspose, Op::kNone},
    {"features_1024x256x32", 1024, 256, 32},
    {"feature_sum_256x32x1024", 256, 32, 1024, Op::kTranspose, Op::kNone},
    {"linear_2048x512x512", 2048, 512, 512},
};

using Matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using MatrixView = Eigen::Map<const Matrix>;

void eigen_gemm(const Gemm<float>& g) {
  const bool a_t = g.op_a == Op::kTranspose, b_t = g.op_b == Op::kTranspose;
  const MatrixView a(g.a, a_t ? g.k : g.m, a_t ? g.m : g.k), b(g.b, b_t ? g.n : g.k, b_t ? g.k : g.n);
  Eigen::Map<Matrix> c(g.c, g.m, g.n);
  if (a_t) {
    c.noalias() = a.transpose() * b;
  } else if (b_t) {
    c.noalias() = a * b.transpose();
  } else {
    c.noalias() = a * b;
  }
}

void onednn_gemm(const Gemm<float>& g) {
  const auto flag = [](Op op) { return op == Op::kTranspose ? 'T' : 'N'; };
  dnnl_sgemm(flag(g.op_a), flag(g.op_b), g.m, g.n, g.k, 1.0f, g.a, g.lda, g.b, g.ldb, 0.0f, g.c, g.ldc);
}

void run_gemm(benchmark::State& state, const Shape& s, Engine engine) {
  omp_set_num_threads(1);
  const std::vector<float> a = values(s.m * s.k), b = values(s.k * s.n);
  std::vector<float> c(static_cast<size_t>(s.m * s.n));
  Gemm<float> g{.m = s.m, .n = s.n, .k = s.k, .a = a.data()};
  g.lda = s.op_a == Op::kTranspose ? s.m : s.k;
  g.op_a = s.op_a;
  g.b = b.data();
  g.ldb = s.op_b == Op::kTranspose ? s.k : s.n;
  g.op_b = s.op_b;
  g.c = c.data();
  g.ldc = s.n;
  const double flops = 2.0 * static_cast<double>(s.m) * static_cast<double>(s.n) * static_cast<double>(s.k);
  measure(state, flops, 1, [&] {
    switch (engine) {
      case Engine::kOwn:
        return math::gemm(g);
      case Engine::kOnednn:
        return onednn_gemm(g);
      case Engine::kEigen:
        return eigen_gemm(g);
    }
  });
}

// ---- attention
// -----------------------------------------------------------------------------------------------------------

enum class Pass { kForward, kBackward };

struct AttentionCase {
  const char* name;
  int64_t rows, head_dim;
  KeyRange range;
};

// `heads` heads side by side in rows of q, k, v as a layer has them; shared out over the threads.
void run_attention(benchmark::State& state, const AttentionCase& shape, int64_t heads, int threads, Pass pass) {
  const int64_t n = shape.rows, d = shape.head_dim, width = heads * d, ld = 3 * width;
  const std::vector<float> qkv = values(n * ld), d_o = values(n * width);
  std::vector<float> gradient(qkv.size()), o(d_o.size()), lse(static_cast<size_t>(n * heads));
  std::vector<Attention<float>> all(static_cast<size_t>(heads));
  for (int64_t h = 0; h < heads; ++h) {
    Attention<float>& a = all[static_cast<size_t>(h)];
    a.queries = n;
    a.head_dim = d;
    a.scale = 1 / std::sqrt(static_cast<float>(d));
    a.range = shape.range;
    a.q = qkv.data() + h * d;
    a.k = a.q + width;
    a.v = a.k + width;
    a.ldq = a.ldk = a.ldv = ld;
    a.o = o.data() + h * d;
    a.ldo = width;
    a.lse = lse.data() + h * n;
    a.d_o = d_o.data() + h * d;
    a.dq = gradient.data() + h * d;
    a.dk = a.dq + width;
    a.dv = a.dk + width;
  }
  constexpr size_t kLine = 64;
  size_t bytes = std::max(math::attention_forward_scratch(all[0]), math::attention_backward_scratch(all[0]));
  bytes = (bytes + kLine - 1) / kLine * kLine;
  std::vector<std::byte> memory(bytes * static_cast<size_t>(threads) + kLine);
  void* start = memory.data();
  size_t space = memory.size();
  std::align(kLine, bytes, start, space);
  const auto scratch = [&](int worker) { return static_cast<std::byte*>(start) + bytes * static_cast<size_t>(worker); };
  Workers workers(threads);
  const auto run = [&](Pass which) {
    workers.for_chunks(heads, 1, [&](int64_t begin, int64_t end, int worker) {
      for (int64_t h = begin; h < end; ++h) {
        const Attention<float>& a = all[static_cast<size_t>(h)];
        if (which == Pass::kForward) {
          math::attention_forward(a, 0, n, scratch(worker));
        } else {
          math::attention_backward(a, scratch(worker));
        }
      }
    });
  };
  run(Pass::kForward);
  // Counted over the pairs that the mask allows: work in masked parts of tiles earns nothing.
  const double products = pass == Pass::kForward ? 2 : 5;
  const double pairs = static_cast<double>(shape.range.pairs(n)) * static_cast<double>(heads);
  measure(state, 2 * products * static_cast<double>(d) * pairs, threads, [&] { run(pass); });
}

void run_exp(benchmark::State& state) {
  constexpr int64_t kCount = 4096;  // x and y stay in L1
  const std::vector<float> x = values(kCount);
  std::vector<float> y(x.size());
  constexpr int kTimes = 20;
  measure(state, static_cast<double>(kCount) * kTimes, 1, [&] {
    for (int i = 0; i < kTimes; ++i) math::exp(kCount, x.data(), y.data());
  });
  // One exponential is no FLOP: rename the rate and drop the share.
  state.counters["Gexp/s"] = state.counters["GFLOP/s"];
  state.counters.erase("GFLOP/s");
  state.counters.erase("of_peak");
}

}  // namespace

void register_kernel_benchmarks() {
  for (const Shape& shape : kShapes) {
    for (const Engine engine : {Engine::kOwn, Engine::kOnednn, Engine::kEigen}) {
      const std::string name = std::string("gemm/") + shape.name + "/" + kEngineNames[static_cast<int>(engine)];
      benchmark::RegisterBenchmark(name.c_str(), [=](benchmark::State& state) {
        run_gemm(state, shape, engine);
      })->UseRealTime();
    }
  }
  const AttentionCase cases[] = {
      {"n27_dh16", 27, 16, KeyRange::full(27)},
      {"n144_dh16", 144, 16, KeyRange::full(144)},
      {"n196_dh16", 196, 16, KeyRange::full(196)},
      {"n1024_dh32", 1024, 32, KeyRange::full(1024)},
      {"n1024_dh64", 1024, 64, KeyRange::full(1024)},
      {"n2048_dh32", 2048, 32, KeyRange::full(2048)},
      {"n2048_dh64", 2048, 64, KeyRange::full(2048)},
      {"n4096_dh32", 4096, 32, KeyRange::full(4096)},
      {"n4096_dh64", 4096, 64, KeyRange::full(4096)},
      {"n4096_dh64_causal", 4096, 64, KeyRange::causal(4096)},
      {"n4096_dh64_band128", 4096, 64, {.keys = 4096, .left = 127, .right = 0}},
  };
  constexpr int64_t kHeads = 8;
  for (const AttentionCase& shape : cases) {
    for (const Pass pass : {Pass::kForward, Pass::kBackward}) {
      for (const int threads : {1, 2}) {
        if (threads > available_cores()) continue;
        const std::string name = std::string("attention/") + (pass == Pass::kForward ? "forward/" : "backward/") +
                                 shape.name + "/threads" + std::to_string(threads);
        benchmark::RegisterBenchmark(name.c_str(), [=](benchmark::State& state) {
          run_attention(state, shape, kHeads, threads, pass);
        })->UseRealTime();
      }
    }
  }
  benchmark::RegisterBenchmark("exp/4096", run_exp);
}

}  // namespace lra
