// Every call gets fresh poison, and the call itself is the only thing between two reads of the allocation probe.
#include "check/module.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <limits>

#include "blas/blas.h"
#include "core/plan.h"
#include "core/rng.h"

namespace lra::check {
namespace {

char where_text[512];
std::atomic<const char*> where_call{""};
AllocationProbe allocation_probe = nullptr;

// Rounded to float, so that both builds start from the same numbers.
Real rounded(double value) { return static_cast<Real>(static_cast<float>(value)); }

Numbers copy(const Block& block) { return {block.numbers(), block.numbers() + block.count()}; }

}  // namespace

void set_where(const std::string& text) {
  where_call = "";
  std::snprintf(where_text, sizeof(where_text), "%s", text.c_str());
}

const char* where() {
  static char out[640];
  const char* call = where_call.load();
  std::snprintf(out, sizeof(out), "%s%s%s", where_text, *call == '\0' ? "" : ": ", call);
  return out;
}

void set_allocation_probe(AllocationProbe probe) { allocation_probe = probe; }
bool counts_allocations() { return allocation_probe != nullptr; }

Numbers normal_numbers(int64_t n, uint64_t key, double scale) {
  Numbers out(static_cast<std::size_t>(n));
  for (std::size_t i = 0; i < out.size(); ++i) out[i] = rounded(scale * normal_at(key, i));
  return out;
}

double dot(const Numbers& a, const Numbers& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += static_cast<double>(a[i]) * static_cast<double>(b[i]);
  return sum;
}

double largest(const Numbers& a) {
  double most = 0;
  for (const Real value : a) {
    const double size = std::abs(static_cast<double>(value));
    if (!(size <= most)) most = size;  // NaN stays
    if (std::isnan(most)) return most;
  }
  return most;
}

double norm(const Numbers& a) { return std::sqrt(dot(a, a)); }

double largest_difference(const Numbers& a, const Numbers& b) {
  if (a.size() != b.size()) return std::numeric_limits<double>::infinity();
  Numbers difference(a.size());
  for (std::size_t i = 0; i < a.size(); ++i) difference[i] = a[i] - b[i];
  return largest(difference);
}

bool same_bytes(const Numbers& a, const Numbers& b) {
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(Real)) == 0);
}

bool all_finite(const Numbers& a) {
  return std::all_of(a.begin(), a.end(), [](Real value) { return std::isfinite(value); });
}

Module::Module(const Variant& variant, const Setting& setting, const Memory& memory)
    : setting_(setting),
      memory_(memory),
      workers_(setting.threads),
      host_(workers_, setting.seed, setting.shape.layer),
      prefix_(prefix_rows_of(variant, host_, setting)),
      instance_(variant, host_, setting.instance_shape(prefix_), values_of(variant, setting)) {
  for (const auto& declared : declarations().params) {
    const auto count = static_cast<std::size_t>(declared.rows * declared.cols);
    params_.emplace_back("parameter '" + declared.name + "'", count * sizeof(Real), memory_.edge, 0);
    Numbers values(count);
    draw(declared, values);
    std::copy(values.begin(), values.end(), params_.back().numbers());
  }
  after_step(nullptr, 0);
}

Numbers Module::input(const std::string& key, int64_t rows) const {
  return normal_numbers(rows * setting_.shape.dim, key_of({setting_.seed, name_key(key)}));
}

void Module::draw(const DeclaredParam& declared, Numbers& out) const {
  constexpr double kInsteadOfZero = 0.3, kAroundOne = 0.1;
  const uint64_t key = key_of({setting_.seed, name_key(declared.name)});
  const bool kept_by_variant = declared.kind != LRA_PARAM_TRAINABLE;
  for (std::size_t i = 0; i < out.size(); ++i) {
    const double z = normal_at(key, i);
    double value = 0;
    switch (declared.init) {
      case LRA_INIT_ZERO:
        value = kept_by_variant ? 0 : kInsteadOfZero * z;
        break;
      case LRA_INIT_ONE:
        value = kept_by_variant ? 1 : 1 + kAroundOne * z;
        break;
      case LRA_INIT_NORMAL:
        value = declared.init_scale * z;
        break;
      case LRA_INIT_UNIFORM:
        value = declared.init_scale * (2 * uniform_at(key, i) - 1);
        break;
      default:
        value = z / std::sqrt(static_cast<double>(declared.rows));
    }
    out[i] = rounded(value);
  }
}

int Module::find(const std::string& name) const {
  const auto& declared = declarations().params;
  for (std::size_t i = 0; i < declared.size(); ++i) {
    if (declared[i].name == name) return static_cast<int>(i);
  }
  return -1;
}

Numbers Module::param(int index) const { return copy(params_[static_cast<std::size_t>(index)]); }

void Module::set_param(int index, const Numbers& values) {
  std::copy(values.begin(), values.end(), params_[static_cast<std::size_t>(index)].numbers());
}

bool Module::trainable(int index) const {
  return declarations().params[static_cast<std::size_t>(index)].kind == LRA_PARAM_TRAINABLE;
}

Seat Module::seat() const {
  Seat out;
  const Declarations& d = declarations();
  for (const auto& block : d.saved)
    out.saved.emplace_back("saved block '" + block.name + "'", block.bytes, memory_.edge, memory_.poison);
  for (std::size_t i = 0; i < d.scratch.size(); ++i) {
    // The last worker's block ends where it was declared to end.
    const std::size_t bytes = d.scratch[i].per_worker
                                  ? aligned(d.scratch[i].bytes) * std::size_t(setting_.threads - 1) + d.scratch[i].bytes
                                  : d.scratch[i].bytes;
    out.scratch.emplace_back("scratch block '" + d.scratch[i].name + "'", bytes, memory_.edge, memory_.poison);
  }
  for (std::size_t i = 0; i < d.params.size(); ++i)
    out.grads.emplace_back("gradient of '" + d.params[i].name + "'", params_[i].bytes(), memory_.edge, 0);
  return out;
}

void Module::clear_grads(Seat& seat) const {
  for (const auto& grad : seat.grads) grad.fill(0);
}

Numbers Module::grad(const Seat& seat, int index) const { return copy(seat.grads[static_cast<std::size_t>(index)]); }

Numbers Module::grads(const Seat& seat) const {
  Numbers out;
  for (std::size_t i = 0; i < seat.grads.size(); ++i) {
    if (declarations().params[i].kind == LRA_PARAM_BUFFER) continue;
    const Numbers one = copy(seat.grads[i]);
    out.insert(out.end(), one.begin(), one.end());
  }
  return out;
}

template <class Call>
Numbers Module::run(Seat& seat, const Numbers& x, const Numbers* dy, std::size_t results, const char* what,
                    bool training, Call&& call) const {
  const auto fit = [&](Block& block, const char* name, std::size_t count) {
    if (block.data() == nullptr || block.count() != count)
      block = Block(name, count * sizeof(Real), memory_.edge, memory_.poison);
  };
  fit(seat.x, "x", x.size());
  fit(seat.result, what, results);
  std::copy(x.begin(), x.end(), seat.x.numbers());
  if (dy != nullptr) {
    fit(seat.dy, "dy", dy->size());
    std::copy(dy->begin(), dy->end(), seat.dy.numbers());
  }
  seat.result.fill(memory_.poison);
  for (const auto& block : seat.scratch) block.fill(memory_.poison);

  std::vector<const Real*> params;
  std::vector<void*> saved, scratch;
  for (const auto& block : params_) params.push_back(block.numbers());
  for (const auto& block : seat.saved) saved.push_back(block.data());
  for (const auto& block : seat.scratch) scratch.push_back(block.data());
  lra_step step{};
  step.struct_size = sizeof(step);
  step.len = static_cast<int64_t>(x.size()) / setting_.shape.dim;
  step.prefix = prefix_;
  step.x = seat.x.numbers();
  step.params = params.data();
  step.saved = saved.data();
  step.scratch = scratch.data();
  step.training = training ? 1 : 0;
  step.step = seat.step;
  step.example = seat.example;

  const auto each_input = [&](void (Block::*change)() const) {
    if (!memory_.read_only) return;
    for (const auto& block : params_) (block.*change)();
    (seat.x.*change)();
    if (dy != nullptr) (seat.dy.*change)();
  };
  each_input(&Block::forbid_writing);
  const uint64_t before = allocation_probe == nullptr ? 0 : allocation_probe();
  call(step);
  seat.allocations = allocation_probe == nullptr ? 0 : allocation_probe() - before;
  each_input(&Block::allow_writing);
  return copy(seat.result);
}

Numbers Module::forward(Seat& seat, const Numbers& x, double* aux, bool training) const {
  for (const auto& block : seat.saved) block.fill(memory_.poison);
  Real loss = aux == nullptr ? Real(0) : static_cast<Real>(*aux);
  where_call = "forward";
  Numbers y = run(seat, x, nullptr, x.size(), "y", training,
                  [&](const lra_step& step) { instance_.forward(step, seat.result.numbers(), &loss); });
  where_call = "";
  if (aux != nullptr) *aux = static_cast<double>(loss);
  return y;
}

Numbers Module::backward(Seat& seat, const Numbers& x, const Numbers& dy) const {
  std::vector<Real*> grads;
  for (std::size_t i = 0; i < seat.grads.size(); ++i) {
    const bool buffer = declarations().params[i].kind == LRA_PARAM_BUFFER;
    grads.push_back(buffer ? nullptr : seat.grads[i].numbers());
  }
  where_call = "backward";
  Numbers dx = run(seat, x, &dy, x.size(), "dx", true, [&](const lra_step& step) {
    instance_.backward(step, seat.dy.numbers(), seat.result.numbers(), grads.data());
  });
  where_call = "";
  return dx;
}

Numbers Module::mix_values(Seat& seat, const Numbers& x, const Numbers& v) const {
  for (const auto& block : seat.saved) block.fill(memory_.poison);
  where_call = "mix_values";
  Numbers o = run(seat, x, &v, v.size(), "o", false,
                  [&](const lra_step& step) { instance_.mix_values(step, seat.dy.numbers(), seat.result.numbers()); });
  where_call = "";
  return o;
}

void Module::after_step(Seat* seat, uint64_t step) {
  if (instance_.variant().table.after_step == nullptr) return;
  std::vector<const Real*> params;
  std::vector<Real*> buffers;
  for (std::size_t i = 0; i < params_.size(); ++i) {
    const int32_t kind = declarations().params[i].kind;
    // Sums over the batch are where gradients are; before the first step there are none.
    Real* const sums = seat == nullptr ? nullptr : seat->grads[i].numbers();
    params.push_back(kind == LRA_PARAM_STATISTIC ? sums : params_[i].numbers());
    buffers.push_back(kind == LRA_PARAM_BUFFER ? params_[i].numbers() : kind == LRA_PARAM_STATISTIC ? sums : nullptr);
  }
  lra_step at{};
  at.struct_size = sizeof(at);
  at.params = params.data();
  at.step = step;
  at.training = 1;
  where_call = "after_step";
  instance_.after_step(at, buffers.data());
  where_call = "";
}

uint64_t Module::counted_flops() const { return blas::flops() + instance_.variant().table.kernel_flops(); }

std::string Module::overrun(const Seat& seat) const {
  const Declarations& d = declarations();
  for (std::size_t i = 0; i < params_.size(); ++i) {
    if (!params_[i].intact()) return "behind parameter '" + d.params[i].name + "'";
    if (!seat.grads[i].intact()) return "behind the gradient of '" + d.params[i].name + "'";
  }
  for (std::size_t i = 0; i < seat.saved.size(); ++i) {
    if (!seat.saved[i].intact()) return "behind saved block '" + d.saved[i].name + "'";
  }
  for (std::size_t i = 0; i < seat.scratch.size(); ++i) {
    if (!seat.scratch[i].intact()) return "behind scratch block '" + d.scratch[i].name + "'";
  }
  return seat.result.data() != nullptr && !seat.result.intact() ? "behind the result" : "";
}

}  // namespace lra::check
