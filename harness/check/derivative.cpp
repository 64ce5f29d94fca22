// Checks of backward against differences of L = sum dy o y + aux along random directions u:
//   D(h) = (L(theta + h u) - L(theta - h u)) / 2h,     dL/dtheta . u = (4 D(h/2) - D(h)) / 3 + O(h^4)
// A selection (top-w, hashing, a maximum) may change within one step h, where the difference is no derivative; so a
// direction that disagrees is tried again with much smaller steps. A wrong derivative is wrong in all of them.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "check/cases.h"
#include "core/rng.h"

namespace lra::check {
namespace {

// Relative error allowed, and what counts as a difference when one is wanted.
constexpr double kAllowed = kDouble ? 1e-6 : 5e-2;
constexpr double kSeen = kDouble ? 1e-3 : 0.1;
// Gradients below this are rounding, which differences magnify.
constexpr double kFloor = kDouble ? 1e-2 : 0.2;
constexpr int kDirections = 2;
// In float the smallest useful step is so large that some jump or pole lies within it, at some inputs: a case then has
// several, and each derivative must agree at one of them.
constexpr int kPoints = kDouble ? 1 : 6;
constexpr double kSteps[] = {kDouble ? 1e-3 : 4e-2, kDouble ? 1e-4 : 1e-2, kDouble ? 1e-5 : 2e-3,
                             kDouble ? 1e-6 : 5e-4};

Numbers moved(const Numbers& at, const Numbers& direction, double by) {
  Numbers out(at.size());
  for (std::size_t i = 0; i < at.size(); ++i) out[i] = static_cast<Real>(double(at[i]) + by * double(direction[i]));
  return out;
}

// The least error over the steps, relative to the derivative or, if larger, to the length of the whole gradient (the
// size of a derivative along a random direction).
template <class Loss>
double disagreement(double analytic, double length, const Loss& loss) {
  double least = INFINITY;
  for (const double h : kSteps) {
    const double wide = (loss(h) - loss(-h)) / (2 * h), narrow = (loss(h / 2) - loss(-h / 2)) / h;
    const double difference = (4 * narrow - wide) / 3;
    const double error = std::abs(difference - analytic) / std::max({std::abs(difference), length, kFloor});
    if (!(error >= least)) least = error;
    if (least <= kAllowed / 100) break;
  }
  return std::isfinite(analytic) ? least : INFINITY;
}

// visit(name, error) for x and every trainable parameter; with the whole loss, then with the auxiliary loss alone.
// Inputs are number `point` of several.
template <class Visit>
void each_derivative(Module& m, int point, Visit&& visit) {
  Seat seat = m.seat();
  // Buffers and statistics as in the middle of a training run.
  pass(m, seat, m.input("x before"), m.input("dy before"));
  m.after_step(&seat, 1);
  seat.step = 1;

  const Numbers x = m.input(fmt::format("x {}", point)), ordinary = m.input(fmt::format("dy {}", point));
  const Numbers none(x.size(), Real(0));
  for (const Numbers* dy : {&ordinary, &none}) {
    const auto loss = [&](const Numbers& at) {
      double aux = 0;
      const Numbers y = m.forward(seat, at, &aux);
      return dot(*dy, y) + aux;
    };
    double aux = 0;
    m.clear_grads(seat);
    m.forward(seat, x, &aux);
    const Numbers dx = m.backward(seat, x, *dy);
    if (dy == &none && aux == 0 && norm(dx) == 0) break;
    const std::string of = dy == &none ? " of the auxiliary loss" : "";
    std::vector<Numbers> grads;
    for (int i = 0; i < m.params(); ++i) grads.push_back(m.grad(seat, i));
    for (int k = 0; k < kDirections; ++k) {
      const Numbers u = m.input(fmt::format("direction {}", k));
      visit("dx" + of, disagreement(dot(dx, u), norm(dx), [&](double h) { return loss(moved(x, u, h)); }));
      for (int i = 0; i < m.params(); ++i) {
        if (!m.trainable(i)) continue;
        const auto& grad = grads[static_cast<std::size_t>(i)];
        const std::string& name = m.declarations().params[static_cast<std::size_t>(i)].name;
        const Numbers before = m.param(i);
        const Numbers along = normal_numbers(static_cast<int64_t>(before.size()),
                                             key_of({m.setting().seed, name_key(name), name_key("u"), uint64_t(k)}));
        visit(fmt::format("d{}{}", name, of), disagreement(dot(grad, along), norm(grad), [&](double h) {
                m.set_param(i, moved(before, along, h));
                return loss(x);
              }));
        m.set_param(i, before);
      }
    }
  }
}

}  // namespace

void check_gradients(const Candidate& candidate, Report& report) {
  every_case(candidate, report, {}, [&](Module& m) {
    std::map<std::string, double> errors;  // the least over the points
    const auto agrees = [&] {
      return !errors.empty() &&
             std::all_of(errors.begin(), errors.end(), [](const auto& one) { return one.second <= kAllowed; });
    };
    for (int point = 0; point < kPoints && !agrees(); ++point) {
      std::map<std::string, double> here;  // the largest over the directions
      each_derivative(m, point, [&](const std::string& name, double error) {
        const auto [at, first] = here.emplace(name, error);
        if (!first && !(error <= at->second)) at->second = error;
      });
      for (const auto& [name, error] : here) {
        const auto [at, first] = errors.emplace(name, error);
        if (!first && !(error >= at->second)) at->second = error;
      }
    }
    for (const auto& [name, error] : errors) report.require("relative error of " + name, error, kAllowed);
  });
}

void check_stop_gradient(const Candidate& candidate, Report& report) {
  if (!has_option(candidate.variant, "exact_gradients")) {
    report.leave_out("it has no option exact_gradients");
    return;
  }
  double most = 0;
  std::vector<Setting> settings = candidate.catalogue.accepted;
  for (auto& setting : settings) setting.set.insert_or_assign("exact_gradients", std::string(1, '0'));
  Report tried;
  each_case(candidate, tried, settings, {Shape{}, awkward_shapes()[3]}, {}, [&](Module& m) {
    if (most > kSeen) return;
    each_derivative(m, 0, [&](const std::string&, double error) { most = std::max(most, error); });
  });
  report.begin("exact_gradients=0");
  if (!(most > kSeen)) {
    report.fail("the largest relative difference from the derivative", fmt::format("{:.2g}", most),
                fmt::format("above {:.2g} in one setting at least: else the option does nothing", kSeen));
  }
  report.note(fmt::format("differs by {:.2g} in one setting", most));
}

void check_accumulation(const Candidate& candidate, Report& report) {
  every_case(candidate, report, {}, [&](Module& m) {
    Seat seat = m.seat();
    const Numbers x = m.input("x"), dy = m.input("dy");
    constexpr double kBefore = 3;
    double aux = 0, later = kBefore;
    m.forward(seat, x, &aux);
    const Numbers dx = m.backward(seat, x, dy), once = m.grads(seat);
    for (const auto& grad : seat.grads) std::fill(grad.numbers(), grad.numbers() + grad.count(), Real(1));
    const Numbers y = m.forward(seat, x, &later);
    m.backward(seat, x, dy);
    Numbers added = m.grads(seat);
    for (auto& value : added) value -= Real(1);
    report.require("gradients added to 1, less 1", largest_difference(added, once),
                   kRounding * std::max(1.0, largest(once)));
    report.require("the auxiliary loss added to 3, less 3", std::abs(later - kBefore - aux),
                   kRounding * std::max(kBefore, std::abs(aux)));
    if (!all_finite(y)) report.fail("y over not-a-number", "not finite", "overwritten");
    if (!all_finite(dx)) report.fail("dx over not-a-number", "not finite", "overwritten");
  });
}

}  // namespace lra::check
