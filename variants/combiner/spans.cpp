// What is refused, how many spans there are, and the masks of tiles.
#include "combiner/spans.h"

namespace lra::combiner {

void Mask::apply(const sdk::Scores& s) const {
  for (int64_t r = 0; r < s.rows; ++r) {
    const int64_t edge = s.row_begin + r + shift - s.key_begin;
    if (kind == kUpTo) {
      s.keep(r, 0, edge + 1);
    } else if (kind == kFrom) {
      s.keep(r, edge, s.keys);
    } else if (kind == kExcept) {
      if (edge >= 0 && edge < s.keys) s.hide(r, edge);
    } else if (kind == kRun) {
      s.keep(r, (s.row_begin + r) * size - s.key_begin, (s.row_begin + r + 1) * size - s.key_begin);
    } else if (kind != kAll) {
      for (int64_t c = 0; c < s.keys; ++c) {
        if (!sees(s.row_begin + r, s.key_begin + c)) s.hide(r, c);
      }
    }
  }
}
int64_t Mask::count(int64_t rows, int64_t keys) const {
  int64_t sum = 0;
  for (int64_t a = 0; a < rows; ++a) {
    const int64_t edge = a + shift;
    if (kind == kAll) {
      sum += keys;
    } else if (kind == kUpTo) {
      sum += std::clamp<int64_t>(edge + 1, 0, keys);
    } else if (kind == kFrom) {
      sum += keys - std::clamp<int64_t>(edge, 0, keys);
    } else {
      for (int64_t b = 0; b < keys; ++b) sum += sees(a, b) ? 1 : 0;
    }
  }
  return sum;
}

Spans::Spans(const sdk::Setup& setup)
    : pattern_(setup.choice<Pattern>("pattern")),
      causal_(setup.causal),
      released_(setup.integer("released") != 0),
      span_(setup.integer("span")),
      width_(setup.integer("width")) {
  if (pattern_ == Pattern::kRowMajor && !causal_) {
    throw sdk::Refusal(
        "pattern=axial_rowmajor is defined for causal attention only, where each line above is complete; choose "
        "axial_vertical, axial_horizontal or mixture, or run it with --causal",
        LRA_UNSUPPORTED);
  }
  if (pattern_ == Pattern::kRouting && causal_) {
    throw sdk::Refusal(
        "pattern=routing is bidirectional only: causally every row would need spans of its own in all other clusters, "
        "which is quadratic; choose another pattern, or run it without --causal",
        LRA_UNSUPPORTED);
  }
  if (released_ && pattern_ != Pattern::kMixture) {
    throw sdk::Refusal("released=1 is a form of the mixture; choose pattern=mixture with it, or released=0");
  }
  if (released_ && !causal_) {
    throw sdk::Refusal(
        "released=1 is offered for causal attention only: without causality the released code counts a row's own "
        "line and column among its spans; choose released=0, or run it with --causal",
        LRA_UNSUPPORTED);
  }
  const bool vertical = pattern_ == Pattern::kVertical || pattern_ == Pattern::kMixture;
  const bool horizontal = pattern_ == Pattern::kHorizontal || pattern_ == Pattern::kMixture;
  if (vertical) families_.push_back(Family::kAbove);
  if (vertical && !causal_) families_.push_back(Family::kBelow);
  if (horizontal && causal_ && !released_) families_.push_back(Family::kOthers);
  if (horizontal && (!causal_ || released_)) {
    families_.push_back(Family::kLeft);
    families_.push_back(Family::kRight);
  }
}

int64_t Spans::slots(int64_t len) const {
  if (len == 0) return 0;
  if (fixed()) return (len - 1) / rows_of_span(len) + 1;
  if (pattern_ == Pattern::kLogsparse) return Levels::base(len, Levels::top(len) + 1);
  const Grid g = grid(len);
  if (pattern_ == Pattern::kRowMajor) return (g.lines - 1) * g.width;
  return int64_t(families_.size()) * g.lines * g.width;
}
int64_t Spans::most_slots(int64_t max_len) const {
  if (fixed()) return span_ == 0 ? rounded_root(max_len) + 2 : (max_len - 1) / span_ + 1;
  if (pattern_ == Pattern::kLogsparse) return slots(max_len);
  const int64_t cells = max_len + std::min(max_len, width_ == 0 ? rounded_root(max_len) : width_);
  return cells * std::max<int64_t>(1, int64_t(families_.size()));
}

}  // namespace lra::combiner
