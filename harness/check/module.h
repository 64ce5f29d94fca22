// One attention module on its own: a variant's instance, its parameters, and the memory of the sequences that run
// through it.
#ifndef LRA_CHECK_MODULE_H
#define LRA_CHECK_MODULE_H

#include <cstdint>
#include <string>
#include <vector>

#include "check/block.h"
#include "check/setting.h"
#include "core/parallel.h"
#include "plugin/instance.h"

namespace lra::check {

inline constexpr bool kDouble = sizeof(Real) == 8;
using Numbers = std::vector<Real>;

// n numbers from N(0, scale^2), the same for the same key, in float and double builds alike.
Numbers normal_numbers(int64_t n, uint64_t key, double scale = 1);
double dot(const Numbers& a, const Numbers& b);
double largest(const Numbers& a);  // max |a|, NaN if one is
double norm(const Numbers& a);
// max |a - b|, infinite if the sizes differ, NaN if one is.
double largest_difference(const Numbers& a, const Numbers& b);
bool same_bytes(const Numbers& a, const Numbers& b);
bool all_finite(const Numbers& a);

// How the memory of a module is laid out and filled.
struct Memory {
  Edge edge = Edge::kNone;
  int poison = 0xFF;       // what saved, scratch and results are filled with before each call: NaN
  bool read_only = false;  // parameters, x and dy cannot be written during forward and backward
};

// The memory of one sequence at a time.
struct Seat {
  std::vector<Block> saved, scratch, grads;
  Block x, dy, result;  // of the last call's size
  uint64_t step = 0, example = 0;
  uint64_t allocations = 0;  // requests for heap memory during the last call, if a probe is set
};

class Module {
 public:
  // Throws what Instance throws. Parameters are drawn by their declared rule, those that start at zero too; buffers are
  // filled by after_step(0).
  Module(const Variant& variant, const Setting& setting, const Memory& memory = {});

  const Setting& setting() const { return setting_; }
  const Declarations& declarations() const { return instance_.declarations(); }
  const Instance& instance() const { return instance_; }
  int64_t rows() const { return setting_.shape.rows + prefix_; }  // N
  int64_t inner() const { return setting_.shape.heads * setting_.shape.head_dim; }

  // [rows, D]; the same for the same key.
  Numbers input(const std::string& key, int64_t rows) const;
  Numbers input(const std::string& key) const { return input(key, rows()); }

  // -1 if there is none of this name.
  int find(const std::string& name) const;
  Numbers param(int index) const;
  void set_param(int index, const Numbers& values);
  bool trainable(int index) const;
  int params() const { return static_cast<int>(params_.size()); }

  Seat seat() const;
  void clear_grads(Seat& seat) const;
  Numbers grad(const Seat& seat, int index) const;
  // All of them, one after the other; buffers have none.
  Numbers grads(const Seat& seat) const;

  // y of x: [N, D]; adds what the variant adds to `aux`.
  Numbers forward(Seat& seat, const Numbers& x, double* aux = nullptr, bool training = true) const;
  // dx, after forward of the same x in the same seat; parameter gradients are added to the seat's.
  Numbers backward(Seat& seat, const Numbers& x, const Numbers& dy) const;
  // o: [N, Q] of values v: [N, Q].
  Numbers mix_values(Seat& seat, const Numbers& x, const Numbers& v) const;
  bool shows_mixing() const { return instance_.variant().table.mix_values != nullptr; }
  // Buffers and statistics move as after optimiser step `step`; 0 fills them.
  void after_step(Seat* seat, uint64_t step);

  // FLOPs counted so far: products of the host and kernels of the variant.
  uint64_t counted_flops() const;
  // "" or what was written next to a block, as far as that can be seen.
  std::string overrun(const Seat& seat) const;

 private:
  void draw(const DeclaredParam& declared, Numbers& out) const;
  template <class Call>
  Numbers run(Seat& seat, const Numbers& x, const Numbers* dy, std::size_t results, const char* what, bool training,
              Call&& call) const;

  Setting setting_;
  Memory memory_;
  Workers workers_;
  Host host_;
  int64_t prefix_;
  Instance instance_;
  std::vector<Block> params_;
};

// What runs now, for the report of a crash: set by checks, read by a signal handler.
void set_where(const std::string& text);
const char* where();

// Counts requests for heap memory so far, in the whole process; null if nobody counts. Set once, before anything runs.
using AllocationProbe = uint64_t (*)();
void set_allocation_probe(AllocationProbe probe);
bool counts_allocations();

}  // namespace lra::check

#endif  // LRA_CHECK_MODULE_H
