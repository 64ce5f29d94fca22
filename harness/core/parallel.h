// The only threads of the house. A fixed crew runs chunks of a range; what a chunk computes never depends on who runs
// it.
#ifndef LRA_CORE_PARALLEL_H
#define LRA_CORE_PARALLEL_H

#include <atomic>
#include <cstdint>
#include <exception>
#include <memory>
#include <mutex>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

namespace lra {

// A callable by reference: no allocation, valid while the callable lives.
using ChunkFn = void (*)(void* user, int64_t begin, int64_t end, int worker);

class Workers {
 public:
  // threads >= 1; the calling thread is worker 0, threads - 1 more are started.
  explicit Workers(int threads);
  ~Workers();
  Workers(const Workers&) = delete;
  Workers& operator=(const Workers&) = delete;

  int count() const { return static_cast<int>(threads_.size()) + 1; }

  // Cuts [0, n) into chunks of `grain` rows (the last may be short) and runs body(begin, end, worker) for each, first
  // come first served. Blocks until all are done; rethrows the first exception. Called from inside a body it runs
  // inline, in order, as worker 0: whoever splits the outermost loop owns the cores. One caller at a time from outside.
  template <class Body>
  void for_chunks(int64_t n, int64_t grain, Body&& body) {
    using Plain = std::remove_reference_t<Body>;
    run(
        n, grain,
        [](void* user, int64_t begin, int64_t end, int worker) { (*static_cast<Plain*>(user))(begin, end, worker); },
        const_cast<void*>(static_cast<const void*>(std::addressof(body))));
  }
  void run(int64_t n, int64_t grain, ChunkFn body, void* user);

  // True on a thread that is running a body of any crew.
  static bool inside();

 private:
  void serve(int worker);
  void work(int worker);

  std::vector<std::thread> threads_;
  std::atomic<uint32_t> generation_{0};  // a new value starts a round
  std::atomic<int> busy_{0};
  std::atomic<int64_t> next_{0};
  std::atomic<bool> stop_{false};
  int64_t n_ = 0;
  int64_t grain_ = 1;
  ChunkFn body_ = nullptr;
  void* user_ = nullptr;
  std::mutex error_mutex_;
  std::exception_ptr error_;
};

// Cores this process may use.
int available_cores();

}  // namespace lra

#endif  // LRA_CORE_PARALLEL_H
