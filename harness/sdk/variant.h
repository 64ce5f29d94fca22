// Everything a variant is written with: describe the idea, declare memory, compute one sequence, mirror it backwards.
//
//   class Mine {
//    public:
//     explicit Mine(sdk::Setup& setup);                                  // reads options, declares every block
//     void forward(const sdk::Step& step, sdk::Real* y, sdk::Real& aux) const;          // y: [N, D], overwritten
//     void backward(const sdk::Step& step, const sdk::Real* dy, sdk::Real* dx, sdk::Grads grads) const;
//     sdk::Cost cost(int64_t len) const;
//     void after_step(const sdk::Step& step, sdk::Buffers buffers) const;               // only if buffers are moved
//     void mix_values(const sdk::Step& step, const sdk::Real* v, sdk::Real* o) const;   // optional, see lra_plugin
//   };
//   constexpr sdk::Info kInfo{.id = "mine", ...};
//   LRA_VARIANT(Mine, kInfo)
//
// The five rules of abi/attention.h hold; this header adds types to them and nothing else. An object of the class is
// immutable after construction and used by several threads at once. Whatever it throws becomes a status and a sentence:
// sdk::Refusal for what the caller can mend, any other exception is reported as a bug of the variant.
#ifndef LRA_SDK_VARIANT_H
#define LRA_SDK_VARIANT_H

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <new>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>

#include "abi/attention.h"
#include "math/gemm.h"

namespace lra::sdk {

using Real = lra_real;

// ---- What a variant says about itself --------------------------------------------------------------------------

// See lra_plugin for the meaning of each field. Strings are literals.
struct Info {
  const char* id;       // [a-z0-9_]+
  const char* title;    // "Linformer"
  const char* paper;    // "Wang et al. 2020, arXiv:2006.04768"
  const char* formula;  // a few lines
  const char* notes = "";
  const char* time;    // "O(N k D)"
  const char* memory;  // "O(N (D + k))"
  double time_exponent, memory_exponent;
  uint32_t flags;  // LRA_CAUSAL | LRA_BIDIRECTIONAL | LRA_OWN_POSITIONS
  std::span<const lra_option> options = {};
  const char* limits = "";  // settings that make it full softmax attention, one a line: "window={N}"
};

constexpr lra_option number(const char* name, const char* help, double value, double min, double max) {
  return {name, help, value, min, max, nullptr, LRA_OPTION_NUMBER};
}
constexpr lra_option integer(const char* name, const char* help, int64_t value, int64_t min, int64_t max) {
  return {name, help, double(value), double(min), double(max), nullptr, LRA_OPTION_INTEGER};
}
// choices: "relu|softmax"; value: index of the default.
constexpr lra_option choice(const char* name, const char* help, const char* choices, int64_t value = 0) {
  const std::string_view text = choices;
  return {name, help, double(value), 0, double(std::count(text.begin(), text.end(), '|')), choices, LRA_OPTION_CHOICE};
}

// ---- Errors ------------------------------------------------------------------------------------------------------

// A request that the caller can change: an impossible combination of options, a shape the idea does not cover.
// The message says what was found, what is wanted and what to do; the host puts the variant's name in front.
class Refusal : public std::runtime_error {
 public:
  explicit Refusal(const std::string& message, lra_status status = LRA_INVALID_ARGUMENT)
      : std::runtime_error(message), status_(status) {}
  lra_status status() const { return status_; }

 private:
  lra_status status_;
};

// ---- Host services -----------------------------------------------------------------------------------------------

// A view of a row-major matrix, or of its transpose. rows and cols are those of the view; stride is the distance
// between stored rows, in elements. Owns nothing.
template <class T>
struct Matrix {
  T* data;
  int64_t rows, cols, stride;
  bool transposed = false;

  operator Matrix<const T>() const  // NOLINT: a view that may be written may be read
      requires(!std::is_const_v<T>) {
    return {data, rows, cols, stride, transposed};
  }
};

template <class T>
Matrix<T> matrix(T* data, int64_t rows, int64_t cols) {
  return {data, rows, cols, cols};
}
template <class T>
Matrix<T> matrix(T* data, int64_t rows, int64_t cols, int64_t stride) {
  return {data, rows, cols, stride};
}
template <class T>
Matrix<T> t(const Matrix<T>& m) {
  return {m.data, m.cols, m.rows, m.stride, !m.transposed};
}

struct GemmTerms {
  Real alpha = 1;
  Real beta = 0;               // 1: C is added to
  const Real* bias = nullptr;  // [C.cols], added to every row
};

// The services of abi lra_host, typed. Copies are cheap; valid as long as the instance.
class Host {
 public:
  explicit Host(const lra_host* host) : host_(host) {}

  // C = alpha A B + beta C (+ bias). C is not transposed.
  void gemm(const Matrix<Real>& c, const Matrix<const Real>& a, const Matrix<const Real>& b,
            GemmTerms terms = {}) const {
    if (c.transposed || a.rows != c.rows || b.cols != c.cols || a.cols != b.rows) {
      throw std::logic_error("the shapes of a matrix product do not fit");
    }
    const lra_gemm g{sizeof(lra_gemm), c.rows,       c.cols,      a.cols,     a.data,
                     b.data,           c.data,       a.stride,    b.stride,   c.stride,
                     a.transposed,     b.transposed, terms.alpha, terms.beta, terms.bias};
    host_->gemm(host_->ctx, &g);
  }

  // body(begin, end, worker) once for each chunk of `grain` rows of [0, n); chunks do not depend on the thread count.
  template <class Body>
  void parallel_for(int64_t n, int64_t grain, Body&& body) const {
    struct Call {
      std::remove_reference_t<Body>* body;
      std::atomic_flag failed;
      std::exception_ptr error;
    } call{&body, {}, nullptr};
    const auto run = [](void* user, int64_t begin, int64_t end, int32_t worker) {
      auto& c = *static_cast<Call*>(user);
      try {
        (*c.body)(begin, end, worker);
      } catch (...) {
        if (!c.failed.test_and_set()) c.error = std::current_exception();
      }
    };
    host_->parallel_for(host_->ctx, n, grain, run, &call);
    if (call.error) std::rethrow_exception(call.error);
  }

  // n standard normals, or uniforms in [0, 1), that depend only on (run seed, layer, stream, offset).
  void normal(uint64_t stream, uint64_t offset, int64_t n, Real* out) const {
    host_->normal(host_->ctx, stream, offset, n, out);
  }
  void uniform(uint64_t stream, uint64_t offset, int64_t n, Real* out) const {
    host_->uniform(host_->ctx, stream, offset, n, out);
  }

  void set_error(const char* message) const { host_->set_error(host_->ctx, message); }

 private:
  const lra_host* host_;
};

// ---- Declaring ---------------------------------------------------------------------------------------------------

// Handles: what a declaration returns and a Step or Grads gives memory for.
struct Param {
  int32_t index = -1;
  int64_t rows = 0, cols = 0;
};
template <class T = Real>
struct Saved {  // written by forward, read by backward of the same sequence
  int32_t index = -1;
};
template <class T = Real>
struct Scratch {  // dead when the call returns
  int32_t index = -1;
};
template <class T = Real>
struct WorkerScratch {  // the same, one block for each worker of parallel_for
  int32_t index = -1;
  size_t stride = 0;  // bytes from one worker's block to the next
};

struct Init {
  int32_t init = LRA_INIT_LINEAR;
  double scale = 0;              // of LRA_INIT_NORMAL (std) and LRA_INIT_UNIFORM (half width)
  const Param* align = nullptr;  // keys towards queries, see lra_param_spec.align_with
  bool shared = false;           // one array for all layers, see lra_param_spec.shared
};

// What the host tells a variant, and where it declares its memory. Lives during the constructor only.
class Setup {
 public:
  Setup(const lra_host* services, const lra_config* config, const lra_declarer* declare,
        std::span<const lra_option> options)
      : host(services),
        max_len(config->max_len),
        dim(config->dim),
        heads(config->heads),
        head_dim(config->head_dim),
        inner(config->heads * config->head_dim),
        layer(config->layer),
        layer_count(config->layer_count),
        causal(config->causal != 0),
        bias(config->bias != 0),
        workers(config->worker_count),
        declare_(declare),
        values_(config->options),
        options_(options) {}

  const Host host;
  const int64_t max_len;             // upper bound of N
  const int64_t dim;                 // D
  const int64_t heads, head_dim;     // H, dh
  const int64_t inner;               // Q = H dh
  const int64_t layer, layer_count;  // this layer, from 0, and how many there are
  const bool causal, bias;
  const int32_t workers;  // upper bound of the worker index in parallel_for, exclusive

  // Values of the options, by name.
  double number(std::string_view name) const { return values_[find(name)]; }
  int64_t integer(std::string_view name) const { return int64_t(values_[find(name)]); }
  template <class Enum>
  Enum choice(std::string_view name) const {
    return Enum(integer(name));
  }

  // A trainable [rows, cols] array. One row: a bias or gain, kept out of weight decay.
  Param param(const char* name, int64_t rows, int64_t cols, Init init = {}) {
    return declare_param(name, rows, cols, LRA_PARAM_TRAINABLE, init);
  }
  // Saved in checkpoints, no gradient; only after_step writes it.
  Param buffer(const char* name, int64_t rows, int64_t cols, Init init = {.init = LRA_INIT_ZERO}) {
    return declare_param(name, rows, cols, LRA_PARAM_BUFFER, init);
  }
  // Zero at the start of each step; backward adds to it through Grads, after_step reads the sum over the batch.
  Param statistic(const char* name, int64_t rows, int64_t cols) {
    return declare_param(name, rows, cols, LRA_PARAM_STATISTIC, {.init = LRA_INIT_ZERO});
  }
  template <class T = Real>
  Saved<T> saved(const char* name, int64_t count) {
    return {checked(declare_->saved(declare_->ctx, name, size_t(count) * sizeof(T)))};
  }
  template <class T = Real>
  Scratch<T> scratch(const char* name, int64_t count) {
    return {checked(declare_->scratch(declare_->ctx, name, size_t(count) * sizeof(T), LRA_SCRATCH_SHARED))};
  }
  template <class T = Real>
  WorkerScratch<T> scratch_per_worker(const char* name, int64_t count) {
    const size_t bytes = size_t(count) * sizeof(T);
    return {checked(declare_->scratch(declare_->ctx, name, bytes, LRA_SCRATCH_PER_WORKER)), (bytes + 63) / 64 * 64};
  }
  // Asks for `count` learned rows in front of every sequence.
  void prefix_rows(int64_t count) { declare_->prefix_rows(declare_->ctx, count); }

 private:
  Param declare_param(const char* name, int64_t rows, int64_t cols, int32_t kind, const Init& init) {
    const int32_t align = init.align ? init.align->index : -1;
    const lra_param_spec spec{sizeof(spec), name,       rows,  cols,     kind,
                              init.init,    init.scale, align, rows > 1, init.shared};
    return {checked(declare_->param(declare_->ctx, &spec)), rows, cols};
  }
  // The host has said what was wrong; an empty message leaves its sentence standing.
  static int32_t checked(int32_t index) {
    if (index < 0) throw Refusal("");
    return index;
  }
  size_t find(std::string_view name) const {
    for (size_t i = 0; i < options_.size(); ++i) {
      if (name == options_[i].name) return i;
    }
    throw std::logic_error("it reads the option '" + std::string(name) + "', which it does not declare");
  }

  const lra_declarer* declare_;
  const double* values_;
  std::span<const lra_option> options_;
};

// ---- One sequence ------------------------------------------------------------------------------------------------

// The memory of one sequence: step[handle] is the block that the handle was declared for.
class Step {
 public:
  Step(const Host& services, const lra_step* step) : host(services), len(step->len), x(step->x), step_(step) {}

  const Host& host;
  const int64_t len;    // N, prefix rows included
  const Real* const x;  // [N, D]

  int64_t prefix() const { return step_->prefix; }
  bool training() const { return step_->training != 0; }  // false: backward will not follow
  uint64_t number() const { return step_->step; }         // optimiser steps done so far
  // A stream for Host::normal and uniform that is new for every step and example; purpose keeps two uses apart.
  uint64_t noise_stream(uint64_t purpose) const {
    return (step_->step * 0x9E3779B97F4A7C15u) ^ (step_->example * 0xC2B2AE3D27D4EB4Fu) ^ (purpose << 56);
  }

  const Real* operator[](const Param& p) const { return step_->params[p.index]; }
  template <class T>
  T* operator[](const Saved<T>& s) const {
    return static_cast<T*>(step_->saved[s.index]);
  }
  template <class T>
  T* operator[](const Scratch<T>& s) const {
    return static_cast<T*>(step_->scratch[s.index]);
  }
  template <class T>
  T* at(const WorkerScratch<T>& s, int32_t worker) const {
    return reinterpret_cast<T*>(static_cast<std::byte*>(step_->scratch[s.index]) + size_t(worker) * s.stride);
  }

 private:
  const lra_step* step_;
};

// Gradients of the parameters (and sums of statistics): every write is +=.
class Grads {
 public:
  explicit Grads(Real* const* blocks) : blocks_(blocks) {}
  Real* operator[](const Param& p) const { return blocks_[p.index]; }

 private:
  Real* const* blocks_;
};

// In after_step: buffers to write, statistics to read.
using Buffers = Grads;

// See lra_cost.
struct Cost {
  double forward_flops = 0, backward_flops = 0, pairs = 0;

  Cost& operator+=(const Cost& other) {
    forward_flops += other.forward_flops;
    backward_flops += other.backward_flops;
    pairs += other.pairs;
    return *this;
  }
};

// ---- From a class to a plugin ------------------------------------------------------------------------------------

template <class V>
concept HasAfterStep = requires(const V& v, const Step& step, Buffers buffers) {
  v.after_step(step, buffers);
};

template <class V>
concept HasMixValues = requires(const V& v, const Step& step, const Real* in, Real* out) {
  v.mix_values(step, in, out);
};

template <class V, const Info& info>
struct Plugin {
  struct Instance {
    Host host;
    V variant;
  };

  // Runs body; an exception becomes a status and a sentence.
  template <class Body>
  static lra_status guard(const Host& host, Body&& body) {
    try {
      body();
      return LRA_OK;
    } catch (const Refusal& e) {
      if (*e.what() != '\0') host.set_error(e.what());
      return e.status();
    } catch (const std::bad_alloc&) {
      host.set_error("out of memory");
      return LRA_OUT_OF_MEMORY;
    } catch (const std::exception& e) {
      host.set_error(e.what());
      return LRA_INTERNAL;
    } catch (...) {
      host.set_error("an exception of unknown type");
      return LRA_INTERNAL;
    }
  }
  static const Instance& self(const lra_instance* p) { return *reinterpret_cast<const Instance*>(p); }

  static lra_status create(const lra_host* host, const lra_config* config, const lra_declarer* declare,
                           lra_instance** out) {
    return guard(Host(host), [&] {
      Setup setup(host, config, declare, info.options);
      *out = reinterpret_cast<lra_instance*>(new Instance{Host(host), V(setup)});
    });
  }
  static void destroy(lra_instance* p) { delete reinterpret_cast<Instance*>(p); }
  static lra_status forward(const lra_instance* p, const lra_step* step, lra_real* y, lra_real* aux) {
    return guard(self(p).host, [&] { self(p).variant.forward(Step(self(p).host, step), y, *aux); });
  }
  static lra_status backward(const lra_instance* p, const lra_step* step, const lra_real* dy, lra_real* dx,
                             lra_real* const* dparams) {
    return guard(self(p).host, [&] { self(p).variant.backward(Step(self(p).host, step), dy, dx, Grads(dparams)); });
  }
  static lra_status cost(const lra_instance* p, int64_t len, lra_cost* out) {
    return guard(self(p).host, [&] {
      const Cost c = self(p).variant.cost(len);
      *out = {sizeof(lra_cost), c.forward_flops, c.backward_flops, c.pairs};
    });
  }
  static lra_status after_step(const lra_instance* p, const lra_step* step,
                               lra_real* const* buffers) requires HasAfterStep<V> {
    return guard(self(p).host, [&] { self(p).variant.after_step(Step(self(p).host, step), Buffers(buffers)); });
  }
  static lra_status mix_values(const lra_instance* p, const lra_step* step, const lra_real* v,
                               lra_real* o) requires HasMixValues<V> {
    return guard(self(p).host, [&] { self(p).variant.mix_values(Step(self(p).host, step), v, o); });
  }

  static constexpr lra_plugin table() {
    lra_plugin t{};
    t.struct_size = sizeof(t);
    t.abi_major = LRA_ABI_MAJOR;
    t.abi_minor = LRA_ABI_MINOR;
    t.real_bytes = sizeof(Real);
    t.flags = info.flags;
    t.id = info.id;
    t.title = info.title;
    t.paper = info.paper;
    t.formula = info.formula;
    t.notes = info.notes;
    t.time = info.time;
    t.memory = info.memory;
    t.time_exponent = info.time_exponent;
    t.memory_exponent = info.memory_exponent;
    t.options = info.options.data();
    t.option_count = info.options.size();
    t.create = create;
    t.destroy = destroy;
    t.forward = forward;
    t.backward = backward;
    t.cost = cost;
    t.kernel_flops = math::kernel_flops;
    if constexpr (HasAfterStep<V>) t.after_step = after_step;
    t.limits = info.limits;
    if constexpr (HasMixValues<V>) t.mix_values = mix_values;
    return t;
  }
};

// The bytes that the harness reads before it runs anything.
consteval lra_descriptor descriptor(const Info& info, std::string_view build) {
  lra_descriptor d{};
  const auto copy = [](std::string_view text, std::span<char> to) { std::copy(text.begin(), text.end(), to.begin()); };
  copy(LRA_DESCRIPTOR_MAGIC, d.magic);
  d.struct_size = sizeof(d);
  d.abi_major = LRA_ABI_MAJOR;
  d.abi_minor = LRA_ABI_MINOR;
  d.real_bytes = sizeof(Real);
  copy(info.id, d.id);
  copy(build, d.build);
  copy(LRA_SANITIZER, d.sanitizer);
  return d;
}

}  // namespace lra::sdk

// "Release GNU 12.2.0"; set by lra_add_variant.
#ifndef LRA_BUILD
#define LRA_BUILD "unknown"
#endif

// Makes the library of `Class`; `info` names a constexpr sdk::Info at namespace scope. Once per library, outside
// namespaces.
#define LRA_VARIANT(Class, info)                                                                              \
  [[gnu::used, gnu::retain, gnu::section(LRA_DESCRIPTOR_SECTION)]] static constexpr lra_descriptor lra_self = \
      ::lra::sdk::descriptor(info, LRA_BUILD);                                                                \
  extern "C" LRA_EXPORT const lra_plugin* lra_plugin_entry(void) {                                            \
    static constexpr lra_plugin plugin = ::lra::sdk::Plugin<Class, info>::table();                            \
    return &plugin;                                                                                           \
  }

#endif  // LRA_SDK_VARIANT_H
