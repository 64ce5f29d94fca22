// A crew of threads that spins briefly between rounds, then sleeps: rounds follow each other closely while training.
#include "core/parallel.h"

#include <sched.h>

#include "core/error.h"

namespace lra {
namespace {

thread_local bool inside_body = false;

// About 20 microseconds of polling before a futex wait: cheaper than a wake-up, short enough not to burn a core.
constexpr int kSpins = 4000;

void relax() { __builtin_ia32_pause(); }

}  // namespace

Workers::Workers(int threads) {
  LRA_ASSERT(threads >= 1);
  threads_.reserve(static_cast<std::size_t>(threads - 1));
  for (int worker = 1; worker < threads; ++worker) threads_.emplace_back([this, worker] { serve(worker); });
}

Workers::~Workers() {
  stop_.store(true);
  generation_.fetch_add(1);
  generation_.notify_all();
  for (auto& thread : threads_) thread.join();
}

bool Workers::inside() { return inside_body; }

void Workers::work(int worker) {
  inside_body = true;
  try {
    for (;;) {
      const int64_t begin = next_.fetch_add(grain_);
      if (begin >= n_) break;
      body_(user_, begin, begin + grain_ < n_ ? begin + grain_ : n_, worker);
    }
  } catch (...) {
    const std::lock_guard lock(error_mutex_);
    if (!error_) error_ = std::current_exception();
    next_.store(n_);
  }
  inside_body = false;
}

void Workers::serve(int worker) {
  uint32_t seen = 0;
  for (;;) {
    for (int spin = 0; spin < kSpins && generation_.load() == seen; ++spin) relax();
    generation_.wait(seen);
    if (generation_.load() == seen) continue;
    seen = generation_.load();
    if (stop_.load()) return;
    work(worker);
    if (busy_.fetch_sub(1) == 1) busy_.notify_one();
  }
}

void Workers::run(int64_t n, int64_t grain, ChunkFn body, void* user) {
  LRA_ASSERT(grain >= 1);
  if (n <= 0) return;
  if (threads_.empty() || inside_body || n <= grain) {
    const bool outer = inside_body;
    inside_body = true;
    try {
      for (int64_t begin = 0; begin < n; begin += grain) body(user, begin, begin + grain < n ? begin + grain : n, 0);
    } catch (...) {
      inside_body = outer;
      throw;
    }
    inside_body = outer;
    return;
  }
  n_ = n;
  grain_ = grain;
  body_ = body;
  user_ = user;
  error_ = nullptr;
  next_.store(0);
  busy_.store(static_cast<int>(threads_.size()));
  generation_.fetch_add(1);
  generation_.notify_all();
  work(0);
  for (int spin = 0; spin < kSpins && busy_.load() != 0; ++spin) relax();
  for (int left = busy_.load(); left != 0; left = busy_.load()) busy_.wait(left);
  if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
}

int available_cores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof(set), &set) == 0) return CPU_COUNT(&set);
  return 1;
}

}  // namespace lra
