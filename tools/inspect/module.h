// One attention module outside of a model: a variant for one shape, its parameters as a run would draw them, and the
// memory that it declared.
#ifndef LRA_TOOLS_INSPECT_MODULE_H
#define LRA_TOOLS_INSPECT_MODULE_H

#include <cstdint>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <vector>

#include "core/options.h"
#include "core/parallel.h"
#include "core/plan.h"
#include "core/real.h"
#include "nn/parameters.h"
#include "plugin/host.h"
#include "plugin/instance.h"

namespace lra::inspect {

// Memory as the contract promises it: starts on a 64-byte boundary.
template <class T>
struct CacheLines {
  using value_type = T;
  CacheLines() = default;
  template <class U>
  explicit CacheLines(const CacheLines<U>&) {}
  T* allocate(std::size_t n) { return static_cast<T*>(::operator new (n * sizeof(T), std::align_val_t{kAlignment})); }
  void deallocate(T* p, std::size_t) { ::operator delete (p, std::align_val_t{kAlignment}); }
  bool operator==(const CacheLines&) const { return true; }
};
using Numbers = std::vector<Real, CacheLines<Real>>;

// n numbers of N(0, scale^2), the same for the same key.
Numbers normal_numbers(int64_t n, uint64_t key, double scale);

// Where the module stands: which layer of which model, how long its sequences are, what seeds its draws.
struct Place {
  nn::ModelSpec model;  // dim, heads, qkv_dim, layers, causal, bias, and the rule of the starting values
  int64_t max_len = 0;  // N at most, prefix rows included
  int64_t layer = 0;
  uint64_t seed = 0;
};

enum class Mode { kEvaluation, kTraining };

class Module {
 public:
  // variant and workers are borrowed. Trainable parameters start with the bytes that they have in a run of that seed,
  // buffers as after_step fills them before the first step. Throws what the variant refuses.
  Module(const Variant& variant, const Options& options, const Place& place, Workers& workers);

  const Variant& variant() const { return instance_.variant(); }
  const Options& options() const { return options_; }
  const Place& place() const { return place_; }
  int64_t dim() const { return place_.model.dim; }
  int64_t inner() const { return place_.model.inner(); }
  int64_t head_dim() const { return place_.model.inner() / place_.model.heads; }
  int64_t prefix_rows() const { return instance_.declarations().prefix_rows; }

  const std::vector<DeclaredParam>& params() const { return instance_.declarations().params; }
  std::vector<std::string> param_names() const;
  std::optional<std::size_t> find(const std::string& name) const;
  Real* value(std::size_t param);     // [rows, cols]; null for a statistic
  Real* gradient(std::size_t param);  // [rows, cols]; null for a buffer
  void clear_gradients();

  // Of the calls that follow. prefix: rows at the front that are not of the sequence.
  void stand_at(uint64_t step, uint64_t example, int64_t prefix);

  // x, y, dy, dx: [rows, D]. forward returns the auxiliary loss; backward follows a forward of the same x in training
  // and adds to the gradients.
  double forward(const Numbers& x, Mode mode, Numbers& y);
  void backward(const Numbers& x, const Numbers& dy, Numbers& dx);
  // v, o: [rows, Q].
  bool mixes_values() const { return variant().table.mix_values != nullptr; }
  void mix_values(const Numbers& x, const Numbers& v, Numbers& o);

 private:
  int64_t rows_of(const Numbers& x) const;
  lra_step step_of(const Numbers& x, Mode mode);

  Options options_;
  Place place_;
  Host host_;
  Instance instance_;
  nn::Parameters parameters_;  // in the order of params()
  Block values_, gradients_;
  std::unique_ptr<Arena> arena_;
  std::vector<const Real*> param_pointers_;
  std::vector<Real*> gradient_pointers_;
  std::vector<void*> saved_, scratch_;
  uint64_t step_ = 0, example_ = 0;
  int64_t prefix_ = 0;
};

}  // namespace lra::inspect

#endif  // LRA_TOOLS_INSPECT_MODULE_H
