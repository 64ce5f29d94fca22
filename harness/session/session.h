// One run from door to door: builds everything it needs, owns it, trains, evaluates, and leaves a record.
#ifndef LRA_SESSION_SESSION_H
#define LRA_SESSION_SESSION_H

#include <functional>
#include <memory>
#include <string>

#include "core/json.h"
#include "session/run_spec.h"

namespace lra::session {

// What does not change a result.
struct Execution {
  int threads = 1;
  std::string out = "results/runs";
  std::string cache;               // folder of generated data; "": core/file.h's cache_folder()
  bool resume = false;             // continue from a checkpoint if there is one
  double checkpoint_seconds = 30;  // between checkpoints; 0: after every step (tests)
  int64_t memory_limit = 0;        // bytes; 0: none. A plan above it is refused
  double timeout = 0;              // seconds of the whole cell; 0: none
  std::string init_from;           // path of the checkpoint that RunSpec::init_from names
};

// Something to show while a run goes on.
struct Progress {
  enum class Kind { kData, kStep, kEvaluation, kCheckpoint, kTest };
  Kind kind = Kind::kStep;
  int64_t step = 0, steps = 0;
  double loss = 0;
  std::string quality;  // "52.2 %" or "2.31 bits", on the validation split; empty between evaluations
  double seconds = 0;   // of training so far
  double eta = 0;       // seconds left, by the pace so far
  double tokens_per_s = 0;
  std::string text;
};
using ProgressFn = std::function<void(const Progress&)>;

// A value of a record's metric as people read it: "52.2 %" for accuracy, "2.310 bits" for bits_per_token.
std::string quality_text(const std::string& metric, double value);

// Set from a signal handler: the run finishes its step, saves and returns an "interrupted" record.
void request_stop();
bool stop_requested();

// What a cell would need, without data or training.
struct Forecast {
  int64_t parameters = 0, mixer_parameters = 0;
  double flops_per_step = 0;
  Json planned_memory;  // bytes by category, total included
  int64_t planned_bytes = 0;
  int64_t saved_per_sequence = 0;
};
// Throws Error(kUsage) for a cell that cannot be.
Forecast forecast(const RunSpec& spec, const Variant& variant, const Execution& execution);

// Makes sure the task's data is in the cache, so that a cell's peak memory is its own.
void prepare_data(const RunSpec& spec, const Execution& execution, const ProgressFn& progress);

// Trains and evaluates the cell and writes its record under execution.out; returns the record. A run that diverges,
// does not fit, times out or is interrupted is a record with that status, not an exception. Throws Error for bad input
// and I/O.
Json run_cell(const RunSpec& spec, const Variant& variant, const Execution& execution, const ProgressFn& progress);

// Path of the record of a cell.
std::string record_path(const RunSpec& spec, const Execution& execution);
// True if the file holds a record of this very spec that is done ("ok", "at_chance", "diverged" or "skipped").
bool is_done(const RunSpec& spec, const Execution& execution);
// A record for a cell whose process ended without leaving one.
Json failed_record(const RunSpec& spec, const std::string& status, const std::string& message);
void write_record(const Json& record, const std::string& path);

// CPU, instruction set, memory, kernel, compiler, versions, build: the conditions of every number.
Json environment(int threads);

}  // namespace lra::session

#endif  // LRA_SESSION_SESSION_H
