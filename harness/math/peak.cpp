// Times the multiply-add loop of the active instruction set.
#include "math/peak.h"

#include <chrono>

#include "math/isa/peak_table.h"

namespace lra::math {

template <class T>
double measure_fma_peak(double seconds) {
  static const auto& table = LRA_PICK(peak_table<T>);
  using Clock = std::chrono::steady_clock;
  constexpr long kRounds = 20000;  // some 0.1 ms: shorter than a time slice of the scheduler
  double best = 0, spent = 0;
  volatile T sink = 0;
  while (spent < seconds) {
    const auto start = Clock::now();
    sink = table.run(kRounds);
    const double t = std::chrono::duration<double>(Clock::now() - start).count();
    spent += t;
    const double rate = static_cast<double>(kRounds) * table.flops / t * 1e-9;
    if (rate > best) best = rate;
  }
  static_cast<void>(sink);
  return best;
}
template double measure_fma_peak<float>(double);
template double measure_fma_peak<double>(double);

}  // namespace lra::math
