// A run's state on disk: written whole, checked by hash, the one before it kept until the new one is there.
#ifndef LRA_SESSION_CHECKPOINT_H
#define LRA_SESSION_CHECKPOINT_H

#include <optional>
#include <string>
#include <vector>

#include "core/json.h"
#include "train/trainer.h"

namespace lra::session {

// The learned part of a checkpoint, found by name in another model.
struct Start {
  std::vector<std::string> taken;  // parameters whose name and shape agree: their values were copied
  std::vector<std::string> kept;   // of this model, left as they were
};
// Copies what matches from the checkpoint's last weights into `values`. Throws Error(kData) for a damaged file,
// Error(kIo) for none.
Start start_from_checkpoint(const std::string& path, const nn::Parameters& parameters, Real* values);
// Identifies the content of a checkpoint, 16 hex digits. Throws like start_from_checkpoint.
std::string checkpoint_hash(const std::string& path);
// The header of a whole, verified checkpoint: "spec", "step", "parameters". Throws like start_from_checkpoint.
Json checkpoint_header(const std::string& path);
// What a header must say of the model so that another one can start from it.
Json parameter_table(const nn::Parameters& parameters);

// Writes `header` and the trainer's arrays to `path`; what was there becomes path + ".prev". Throws Error(kIo).
void write_checkpoint(const std::string& path, const Json& header, const train::Trainer::State& state);

// Fills the arrays and returns the header, or nothing if there is no checkpoint. A damaged file is passed over for the
// one before it, with one line on stderr. Throws Error(kData), naming the field, if the checkpoint is of another run:
// header["spec"] must equal `spec`.
std::optional<Json> read_checkpoint(const std::string& path, const Json& spec, const train::Trainer::State& state);

}  // namespace lra::session

#endif  // LRA_SESSION_CHECKPOINT_H
