// A small host for tests of single variants: loads them as the programs do, owns every block with guard bytes behind
// it, fills what must be overwritten with NaN, and checks gradients by central differences.
#ifndef LRA_TESTS_VARIANTS_VARIANT_FIXTURE_H
#define LRA_TESTS_VARIANTS_VARIANT_FIXTURE_H

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "blas/blas.h"
#include "core/plan.h"
#include "core/real.h"
#include "core/rng.h"
#include "plugin/instance.h"
#include "plugin/registry.h"

namespace lra::test {

inline constexpr bool kDouble = sizeof(Real) == 8;
// For results of a few hundred operations on numbers around 1.
inline constexpr double kTolerance = kDouble ? 1e-11 : 2e-5;

using Numbers = std::vector<Real>;
using Settings = std::map<std::string, std::string>;

// The variants of this build.
inline const PluginRegistry& registry() {
  static const PluginRegistry all({LRA_VARIANTS_DIR});
  return all;
}

// What to instantiate. Sizes are small and awkward on purpose.
struct Case {
  std::string variant;
  Settings set = {};
  int64_t len = 23, dim = 12, heads = 2, head_dim = 6;
  int64_t max_len = 0;  // 0: len
  bool causal = false, bias = false;
  int threads = 1;
  uint64_t seed = 1;
  int64_t layer = 0, layer_count = 1;
};

// 64-byte aligned memory with guard bytes behind it.
class GuardedBlock {
 public:
  explicit GuardedBlock(std::size_t bytes, int fill = 0xFF)
      : bytes_(bytes), memory_(new (std::align_val_t(64)) unsigned char[bytes + kGuard]) {
    std::memset(memory_.get(), fill, bytes);
    std::memset(memory_.get() + bytes, kMark, kGuard);
  }
  void* data() const { return memory_.get(); }
  Real* numbers() const { return static_cast<Real*>(data()); }
  std::size_t bytes() const { return bytes_; }
  void fill(int byte) { std::memset(memory_.get(), byte, bytes_); }
  bool intact() const {
    for (std::size_t i = bytes_; i < bytes_ + kGuard; ++i) {
      if (memory_.get()[i] != kMark) return false;
    }
    return true;
  }

 private:
  static constexpr std::size_t kGuard = 64;
  static constexpr unsigned char kMark = 0xA5;
  struct Free {
    void operator()(unsigned char* p) const { ::operator delete[](p, std::align_val_t(64)); }
  };
  std::size_t bytes_;
  std::unique_ptr<unsigned char[], Free> memory_;
};

// n numbers from N(0, scale^2), the same for the same key.
inline Numbers normal_numbers(int64_t n, uint64_t key, double scale = 1) {
  Numbers out(static_cast<std::size_t>(n));
  for (std::size_t i = 0; i < out.size(); ++i) out[i] = static_cast<Real>(scale * normal_at(key, i));
  return out;
}

inline double dot(const Numbers& a, const Numbers& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += static_cast<double>(a[i]) * static_cast<double>(b[i]);
  return sum;
}

inline double largest_difference(const Numbers& a, const Numbers& b) {
  if (a.size() != b.size()) return std::numeric_limits<double>::infinity();
  double most = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const double difference = std::abs(static_cast<double>(a[i]) - static_cast<double>(b[i]));
    if (!(difference <= most)) most = difference;  // NaN counts
  }
  return most;
}

// One attention module with parameters drawn by their declared rule, and its memory.
class Module {
 public:
  explicit Module(const Case& c)
      : shape_(c),
        workers_(c.threads),
        host_(workers_, c.seed, c.layer),
        variant_(registry().find(c.variant)),
        instance_(variant_, host_,
                  {.max_len = c.max_len == 0 ? c.len : c.max_len,
                   .dim = c.dim,
                   .heads = c.heads,
                   .head_dim = c.head_dim,
                   .layer = c.layer,
                   .layer_count = c.layer_count,
                   .causal = c.causal,
                   .bias = c.bias},
                  Options(c.variant, variant_.options, c.set).values()) {
    const Declarations& d = instance_.declarations();
    for (const auto& p : d.params) {
      const auto bytes = static_cast<std::size_t>(p.rows * p.cols) * sizeof(Real);
      params_.emplace_back(bytes, 0);
      grads_.emplace_back(bytes, 0);
      initialise(p, params_.back());
    }
    for (const auto& s : d.saved) saved_.emplace_back(s.bytes);
    for (std::size_t i = 0; i < d.scratch.size(); ++i) scratch_.emplace_back(d.scratch_bytes(i, c.threads));
    after_step(0);
  }

  const Instance& instance() const { return instance_; }
  const Variant& variant() const { return variant_; }
  Host& host() { return host_; }

  // Parameter or gradient by name; fails the test if there is none.
  Numbers param(const std::string& name) const { return copy(params_[index_of(name)]); }
  void set_param(const std::string& name, const Numbers& values) {
    const GuardedBlock& block = params_[index_of(name)];
    ASSERT_EQ(block.bytes(), values.size() * sizeof(Real)) << name;
    std::memcpy(block.data(), values.data(), block.bytes());
  }
  Numbers grad(const std::string& name) const { return copy(grads_[index_of(name)]); }
  bool has_param(const std::string& name) const {
    for (const auto& p : instance_.declarations().params) {
      if (p.name == name) return true;
    }
    return false;
  }

  // x: [N, D] -> y: [N, D]; N = x.size() / dim. Adds what the variant adds to `aux`.
  Numbers forward(const Numbers& x, Real* aux = nullptr, bool training = true) {
    for (auto& s : saved_) s.fill(0xFF);
    return run(
        x,
        [&](const lra_step& step, Real* y) {
          Real loss = 0;
          instance_.forward(step, y, aux == nullptr ? &loss : aux);
        },
        training);
  }
  // After forward of the same x. Gradients of parameters are added to grad(); returns dx.
  Numbers backward(const Numbers& x, const Numbers& dy) {
    std::vector<Real*> dparams;
    const auto& declared = instance_.declarations().params;
    for (std::size_t i = 0; i < grads_.size(); ++i) {
      dparams.push_back(declared[i].kind == LRA_PARAM_BUFFER ? nullptr : grads_[i].numbers());
    }
    return run(
        x, [&](const lra_step& step, Real* dx) { instance_.backward(step, dy.data(), dx, dparams.data()); }, true);
  }
  void clear_grads() {
    for (auto& g : grads_) g.fill(0);
  }
  // Moves buffers as after optimiser step `step`; 0 fills them.
  void after_step(uint64_t step) {
    std::vector<Real*> buffers;
    const auto& declared = instance_.declarations().params;
    for (std::size_t i = 0; i < declared.size(); ++i) {
      buffers.push_back(declared[i].kind == LRA_PARAM_TRAINABLE ? nullptr
                        : declared[i].kind == LRA_PARAM_BUFFER  ? params_[i].numbers()
                                                                : grads_[i].numbers());
    }
    Pointers pointers(*this);
    lra_step s = pointers.step(nullptr, 0, false);
    s.step = step_ = step;
    instance_.after_step(s, buffers.data());
  }
  void set_example(uint64_t example) { example_ = example; }

  lra_cost cost(int64_t len) const { return instance_.cost(len); }
  // FLOPs counted so far: products of the host and kernels of the variant.
  double counted_flops() const { return static_cast<double>(blas::flops() + variant_.table.kernel_flops()); }

 private:
  // The arrays of pointers of one lra_step.
  struct Pointers {
    explicit Pointers(const Module& m) : owner(m) {
      for (const auto& p : m.params_) params.push_back(p.numbers());
      for (const auto& s : m.saved_) saved.push_back(s.data());
      for (const auto& s : m.scratch_) scratch.push_back(s.data());
    }
    lra_step step(const Real* x, int64_t len, bool training) const {
      lra_step s{};
      s.struct_size = sizeof(s);
      s.len = len;
      s.prefix = len == 0 ? 0 : owner.instance_.declarations().prefix_rows;
      s.x = x;
      s.params = params.data();
      s.saved = saved.data();
      s.scratch = scratch.data();
      s.training = training;
      s.step = owner.step_;
      s.example = owner.example_;
      return s;
    }
    const Module& owner;
    std::vector<const Real*> params;
    std::vector<void*> saved, scratch;
  };

  template <class Call>
  Numbers run(const Numbers& x, Call&& call, bool training) {
    const GuardedBlock in(x.size() * sizeof(Real)), out(x.size() * sizeof(Real));
    std::memcpy(in.data(), x.data(), in.bytes());
    for (auto& s : scratch_) s.fill(0xFF);
    const Pointers pointers(*this);
    call(pointers.step(in.numbers(), static_cast<int64_t>(x.size()) / shape_.dim, training), out.numbers());
    EXPECT_EQ(copy(in), x) << "the input was written to";
    EXPECT_TRUE(out.intact()) << "written beyond the result";
    const auto& d = instance_.declarations();
    for (std::size_t i = 0; i < params_.size(); ++i) {
      EXPECT_TRUE(params_[i].intact() && grads_[i].intact()) << "written beyond parameter " << d.params[i].name;
    }
    for (std::size_t i = 0; i < saved_.size(); ++i) EXPECT_TRUE(saved_[i].intact()) << "beyond " << d.saved[i].name;
    for (std::size_t i = 0; i < scratch_.size(); ++i)
      EXPECT_TRUE(scratch_[i].intact()) << "beyond " << d.scratch[i].name;
    return copy(out);
  }

  static Numbers copy(const GuardedBlock& block) {
    return {block.numbers(), block.numbers() + block.bytes() / sizeof(Real)};
  }

  void initialise(const DeclaredParam& p, GuardedBlock& block) const {
    const auto count = static_cast<std::size_t>(p.rows * p.cols);
    const uint64_t key = key_of({shape_.seed, name_key(p.name)});
    for (std::size_t i = 0; i < count; ++i) {
      double value = 0;
      if (p.init == LRA_INIT_ONE) value = 1;
      if (p.init == LRA_INIT_NORMAL) value = p.init_scale * normal_at(key, i);
      if (p.init == LRA_INIT_UNIFORM) value = p.init_scale * (2 * uniform_at(key, i) - 1);
      if (p.init >= LRA_INIT_LINEAR) value = normal_at(key, i) / std::sqrt(static_cast<double>(p.rows));
      block.numbers()[i] = static_cast<Real>(value);
    }
  }

  std::size_t index_of(const std::string& name) const {
    const auto& params = instance_.declarations().params;
    for (std::size_t i = 0; i < params.size(); ++i) {
      if (params[i].name == name) return i;
    }
    ADD_FAILURE() << shape_.variant << " has no parameter " << name;
    throw std::out_of_range(name);
  }

  Case shape_;
  Workers workers_;
  Host host_;
  const Variant& variant_;
  Instance instance_;
  std::vector<GuardedBlock> params_, grads_, saved_, scratch_;
  uint64_t step_ = 0, example_ = 0;
};

// Input of a case: [len, dim].
inline Numbers input_of(const Case& c) { return normal_numbers(c.len * c.dim, key_of({c.seed, name_key("x")})); }

// y of a case.
inline Numbers output_of(const Case& c) { return Module(c).forward(input_of(c)); }

// Compares backward with central differences of L = sum c o y + aux along one random direction for the input and one
// for each trainable parameter. Biases, which start at zero, are made non-zero first.
inline void expect_gradients(const Case& c) {
  Module m(c);
  for (const auto& p : m.instance().declarations().params) {
    if (p.init == LRA_INIT_ZERO && p.kind == LRA_PARAM_TRAINABLE) {
      m.set_param(p.name, normal_numbers(p.rows * p.cols, name_key(p.name), 0.3));
    }
  }
  const Numbers x = input_of(c);
  const Numbers dy = normal_numbers(c.len * c.dim, key_of({c.seed, name_key("dy")}));
  const auto loss = [&](const Numbers& at) {
    Real aux = 0;
    const Numbers y = m.forward(at, &aux);
    return dot(dy, y) + static_cast<double>(aux);
  };
  const auto moved = [](Numbers values, const Numbers& direction, double by) {
    for (std::size_t i = 0; i < values.size(); ++i)
      values[i] += static_cast<Real>(by * static_cast<double>(direction[i]));
    return values;
  };
  const double epsilon = kDouble ? 1e-5 : 1e-2;
  const double tolerance = kDouble ? 1e-7 : 2e-2;
  const auto compare = [&](const std::string& name, double analytic, double difference) {
    EXPECT_NEAR(analytic, difference, tolerance * std::max(1.0, std::abs(difference))) << c.variant << ": d" << name;
  };

  m.clear_grads();
  m.forward(x);
  const Numbers dx = m.backward(x, dy);
  const Numbers u = normal_numbers(c.len * c.dim, key_of({c.seed, name_key("u")}));
  compare("x", dot(dx, u), (loss(moved(x, u, epsilon)) - loss(moved(x, u, -epsilon))) / (2 * epsilon));
  for (const auto& p : m.instance().declarations().params) {
    if (p.kind != LRA_PARAM_TRAINABLE) continue;
    const Numbers before = m.param(p.name);
    const Numbers direction = normal_numbers(p.rows * p.cols, key_of({c.seed, name_key("u"), name_key(p.name)}));
    m.set_param(p.name, moved(before, direction, epsilon));
    const double above = loss(x);
    m.set_param(p.name, moved(before, direction, -epsilon));
    const double below = loss(x);
    m.set_param(p.name, before);
    compare(p.name, dot(m.grad(p.name), direction), (above - below) / (2 * epsilon));
  }
}

// Counted FLOPs of one forward and one backward equal cost().
inline void expect_counted_cost(const Case& c) {
  Module m(c);
  const Numbers x = input_of(c);
  const lra_cost cost = m.cost(c.len);
  const double start = m.counted_flops();
  m.forward(x);
  const double middle = m.counted_flops();
  m.backward(x, x);
  EXPECT_EQ(middle - start, cost.forward_flops) << c.variant << " forward";
  EXPECT_EQ(m.counted_flops() - middle, cost.backward_flops) << c.variant << " backward";
}

// y, dx and every gradient have the same bytes with one thread and with three; a second backward adds the same again.
inline void expect_same_bytes_for_any_threads(Case c) {
  const Numbers x = input_of(c);
  c.threads = 1;
  Module one(c);
  c.threads = 3;
  Module three(c);
  EXPECT_EQ(one.forward(x), three.forward(x)) << c.variant << ": y";
  EXPECT_EQ(one.backward(x, x), three.backward(x, x)) << c.variant << ": dx";
  for (const auto& p : one.instance().declarations().params) {
    if (p.kind == LRA_PARAM_BUFFER) continue;
    EXPECT_EQ(one.grad(p.name), three.grad(p.name)) << c.variant << ": d" << p.name;
  }
}

// A shorter sequence uses the first rows of everything: the same y as an instance made for that length.
inline void expect_length_does_not_leak(Case c) {
  const Numbers x = input_of(c);
  const Numbers exact = Module(c).forward(x);
  c.max_len = 2 * c.len + 5;
  EXPECT_EQ(Module(c).forward(x), exact) << c.variant;
}

// Changing row j of the input changes exactly the rows i with sees(i, j) of the output.
template <class Sees>
void expect_influence(const Case& c, Sees&& sees) {
  Module m(c);
  const Numbers x = input_of(c);
  const Numbers y = m.forward(x);
  for (int64_t j = 0; j < c.len; ++j) {
    Numbers changed = x;
    for (int64_t k = 0; k < c.dim; ++k) changed[static_cast<std::size_t>(j * c.dim + k)] += Real(0.25);
    const Numbers z = m.forward(changed);
    for (int64_t i = 0; i < c.len; ++i) {
      const auto row = static_cast<std::ptrdiff_t>(i * c.dim);
      const bool same = std::equal(y.begin() + row, y.begin() + row + c.dim, z.begin() + row);
      EXPECT_EQ(!same, sees(i, j)) << c.variant << ": row " << j << " changed, row " << i
                                   << (same ? " did not" : " did");
    }
  }
}

}  // namespace lra::test

#endif  // LRA_TESTS_VARIANTS_VARIANT_FIXTURE_H
