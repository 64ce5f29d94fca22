// Full softmax attention as loops in double: what a variant must equal where it says that it does.
//   q, k, v = x W + b,   P = softmax(q k^T / sqrt(dh)) for each head,   y = [P v] W_o + b_o      causal: j <= i
#ifndef LRA_CHECK_PLAIN_SOFTMAX_H
#define LRA_CHECK_PLAIN_SOFTMAX_H

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace lra::check {

struct PlainSoftmax {
  using Doubles = std::vector<double>;

  int64_t rows = 0, dim = 0, heads = 0, head_dim = 0;
  bool causal = false;
  std::map<std::string, Doubles> params;  // wq wk wv: [D, Q], wo: [Q, D]; bq bk bv: [Q], bo: [D], or none

  struct Result {
    Doubles y, dx;  // [N, D]
  };
  // x, dy: [N, D]. dx is the gradient of sum dy o y.
  Result run(const Doubles& x, const Doubles& dy) const;
};

}  // namespace lra::check

#endif  // LRA_CHECK_PLAIN_SOFTMAX_H
