// How a check goes through its cases: settings times shapes, a module for each, refusals left out, errors caught.
#ifndef LRA_CHECK_CASES_H
#define LRA_CHECK_CASES_H

#include <algorithm>
#include <string>
#include <vector>

#include "check/checks.h"
#include "check/module.h"
#include "core/error.h"

namespace lra::check {

// For results of a few hundred operations on numbers around 1, relative to the largest of them.
inline constexpr double kRounding = kDouble ? 1e-10 : 1e-4;

// One row, two, a prime, an odd number in a longer instance, and D that is not H dh. The ordinary shape is none of
// them.
inline const std::vector<Shape>& awkward_shapes() {
  static const std::vector<Shape> shapes{
      {.rows = 1, .dim = 8, .heads = 2, .head_dim = 4},
      {.rows = 2, .dim = 8, .heads = 2, .head_dim = 4, .layer = 1, .bias = false},
      {.rows = 7, .dim = 12, .heads = 2, .head_dim = 6, .layer = 1},
      {.rows = 33, .max_len = 48, .dim = 16, .heads = 4, .head_dim = 4},
      {.rows = 21, .dim = 10, .heads = 1, .head_dim = 8, .bias = false},
  };
  return shapes;
}

// body(module) for each of the settings in each shape.
template <class Body>
void each_case(const Candidate& candidate, Report& report, const std::vector<Setting>& settings,
               const std::vector<Shape>& shapes, const Memory& memory, Body&& body) {
  for (const Setting& chosen : settings) {
    for (const Shape& shape : shapes) {
      Setting setting = chosen;
      setting.shape = shape;
      setting.shape.layer_count = chosen.shape.layer_count;
      setting.shape.layer = std::min(shape.layer, setting.shape.layer_count - 1);
      set_where(setting.text());
      report.begin(setting.text());
      bool made = false;
      try {
        Module module(candidate.variant, setting, memory);
        made = true;
        body(module);
      } catch (const Error& error) {
        if (made || error.kind() != ErrorKind::kUsage) {
          report.fail("a call", error.what(), "no error");
        } else {
          report.forget();
          report.leave_out(error.what());
        }
      }
    }
  }
}

// Every option value in the ordinary shape, then the main settings in the awkward ones.
template <class Body>
void every_case(const Candidate& candidate, Report& report, const Memory& memory, Body&& body) {
  each_case(candidate, report, candidate.catalogue.accepted, {Shape{}}, memory, body);
  each_case(candidate, report, candidate.catalogue.main, awkward_shapes(), memory, body);
}

// Forward and backward of one sequence.
struct Pass {
  Numbers y, dx, grads;
};
inline Pass pass(const Module& module, Seat& seat, const Numbers& x, const Numbers& dy) {
  Pass out;
  module.clear_grads(seat);
  out.y = module.forward(seat, x);
  out.dx = module.backward(seat, x, dy);
  out.grads = module.grads(seat);
  return out;
}
inline Pass pass(const Module& module, Seat& seat) { return pass(module, seat, module.input("x"), module.input("dy")); }

// Fails unless both have the same bytes. `when` ends the sentence: "y, the second time".
inline void require_same_bytes(Report& report, const Pass& a, const Pass& b, const std::string& when) {
  const auto one = [&](const char* name, const Numbers& left, const Numbers& right) {
    if (same_bytes(left, right)) return;
    const double apart = largest_difference(left, right);
    report.fail(std::string(name) + when, "differs by " + std::to_string(apart), "the same bytes");
  };
  one("y", a.y, b.y);
  one("dx", a.dx, b.dx);
  one("the parameter gradients", a.grads, b.grads);
}

}  // namespace lra::check

#endif  // LRA_CHECK_CASES_H
