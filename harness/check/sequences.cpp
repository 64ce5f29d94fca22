// Checks that run more than one sequence: what one leaves behind, what the number of threads and old memory change.
#include <fmt/format.h>

#include <algorithm>
#include <exception>
#include <thread>

#include "check/cases.h"

namespace lra::check {
namespace {

// Rows enough for several blocks of a parallel loop.
constexpr Shape kManyRows{.rows = 400};

}  // namespace

void check_isolation(const Candidate& candidate, Report& report) {
  every_case(candidate, report, {}, [&](Module& m) {
    Seat seat = m.seat();
    const int64_t asked = m.setting().shape.rows, prefix = m.rows() - asked;
    const int64_t shorter = prefix + std::max<int64_t>(1, asked - 3);
    const Pass first = pass(m, seat);
    pass(m, seat, m.input("another x"), m.input("another dy"));
    pass(m, seat, m.input("a shorter x", shorter), m.input("a shorter dy", shorter));
    require_same_bytes(report, first, pass(m, seat), ", after two other sequences");
  });
}

void check_length(const Candidate& candidate, Report& report) {
  constexpr int64_t kRoom = 13;
  every_case(candidate, report, {}, [&](Module& m) {
    Setting longer = m.setting(), fitting = m.setting();
    fitting.shape.max_len = fitting.shape.rows;
    longer.shape.max_len = 2 * longer.shape.rows + kRoom;
    if (!accepts(candidate.variant, longer) || !accepts(candidate.variant, fitting)) {
      report.forget();
      report.leave_out("it refuses longer instances");
      return;
    }
    const Module roomy(candidate.variant, longer), exact(candidate.variant, fitting);
    const auto& a = roomy.declarations().params;
    const auto& b = exact.declarations().params;
    const bool alike = std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const auto& p, const auto& q) {
      return p.name == q.name && p.rows == q.rows && p.cols == q.cols;
    });
    if (!alike) {
      report.forget();
      report.leave_out("its parameters depend on max_len");
      return;
    }
    Seat one = roomy.seat(), two = exact.seat();
    const Pass in_roomy = pass(roomy, one), in_exact = pass(exact, two);
    report.require("y in a longer instance", largest_difference(in_roomy.y, in_exact.y),
                   kRounding * std::max(1.0, largest(in_exact.y)));
    report.require("dx in a longer instance", largest_difference(in_roomy.dx, in_exact.dx),
                   kRounding * std::max(1.0, largest(in_exact.dx)));
    report.require("parameter gradients in a longer instance", largest_difference(in_roomy.grads, in_exact.grads),
                   kRounding * std::max(1.0, largest(in_exact.grads)));
  });
}

void check_concurrency(const Candidate& candidate, Report& report) {
  constexpr int kRounds = 30;
  each_case(candidate, report, candidate.catalogue.main, {awkward_shapes()[3]}, {}, [&](Module& m) {
    struct Lane {
      Numbers x, dy;
      Seat seat;
      Pass alone, wrong;
      int differing = 0;
      std::exception_ptr error;
    };
    std::vector<Lane> lanes(2);
    for (std::size_t i = 0; i < lanes.size(); ++i) {
      lanes[i].x = m.input(fmt::format("x of lane {}", i));
      lanes[i].dy = m.input(fmt::format("dy of lane {}", i));
      lanes[i].seat = m.seat();
      lanes[i].alone = pass(m, lanes[i].seat, lanes[i].x, lanes[i].dy);
    }
    std::vector<std::thread> threads;
    for (Lane& lane : lanes) {
      threads.emplace_back([&m, &lane] {
        try {
          for (int round = 0; round < kRounds; ++round) {
            Pass again = pass(m, lane.seat, lane.x, lane.dy);
            if (same_bytes(again.y, lane.alone.y) && same_bytes(again.dx, lane.alone.dx) &&
                same_bytes(again.grads, lane.alone.grads))
              continue;
            ++lane.differing;
            lane.wrong = std::move(again);
          }
        } catch (...) {
          lane.error = std::current_exception();
        }
      });
    }
    for (auto& thread : threads) thread.join();
    for (const Lane& lane : lanes) {
      if (lane.error) std::rethrow_exception(lane.error);
      if (lane.differing > 0) require_same_bytes(report, lane.alone, lane.wrong, ", beside another sequence");
    }
  });
}

void check_repeat(const Candidate& candidate, Report& report) {
  every_case(candidate, report, {}, [&](Module& m) {
    Seat seat = m.seat();
    const Pass first = pass(m, seat);
    require_same_bytes(report, first, pass(m, seat), ", the second time");
    const Module again(candidate.variant, m.setting());
    Seat other = again.seat();
    require_same_bytes(report, first, pass(again, other), ", from a second instance");
  });
}

void check_threads(const Candidate& candidate, Report& report) {
  const auto compare = [&](Module& m) {
    Seat seat = m.seat();
    const Pass alone = pass(m, seat);
    for (const int threads : {2, 3}) {
      Setting setting = m.setting();
      setting.threads = threads;
      const Module several(candidate.variant, setting);
      Seat other = several.seat();
      require_same_bytes(report, alone, pass(several, other), fmt::format(", with {} threads", threads));
    }
  };
  each_case(candidate, report, candidate.catalogue.accepted, {awkward_shapes()[3]}, {}, compare);
  each_case(candidate, report, candidate.catalogue.main, {kManyRows, awkward_shapes()[0]}, {}, compare);
}

void check_poison(const Candidate& candidate, Report& report) {
  every_case(candidate, report, {.poison = 0xFF}, [&](Module& m) {
    Seat seat = m.seat();
    const Pass first = pass(m, seat);
    for (const int poison : {0x00, 0x3F}) {
      const Module other(candidate.variant, m.setting(), {.poison = poison});
      Seat elsewhere = other.seat();
      require_same_bytes(report, first, pass(other, elsewhere),
                         fmt::format(", when unwritten memory holds bytes {:#04x} instead of 0xff", poison));
    }
  });
}

}  // namespace lra::check
