// The services that the contract promises a variant (lra_host): error text, chunks in parallel, products, noise.
#ifndef LRA_PLUGIN_HOST_H
#define LRA_PLUGIN_HOST_H

#include <cstdint>
#include <mutex>
#include <string>

#include "abi/attention.h"
#include "core/parallel.h"

namespace lra {

// One per layer of a model: the layer is part of the key of its noise. Outlives the instances made with it; not
// copyable, because variants keep its address. Thread-safe.
class Host {
 public:
  // workers is borrowed; it serves parallel_for.
  Host(Workers& workers, uint64_t seed, int64_t layer);
  Host(const Host&) = delete;
  Host& operator=(const Host&) = delete;

  const lra_host* table() const { return &table_; }
  int worker_count() const { return workers_.count(); }

  void set_error(const std::string& message);
  // The last sentence since the last call, or "".
  std::string take_error();

 private:
  static Host& self(void* ctx) { return *static_cast<Host*>(ctx); }

  Workers& workers_;
  const uint64_t seed_;
  const int64_t layer_;
  std::mutex mutex_;
  std::string error_;
  lra_host table_;
};

}  // namespace lra

#endif  // LRA_PLUGIN_HOST_H
