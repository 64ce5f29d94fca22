// A run's state on disk: written whole, checked by hash, the one before it kept until the new one is there.
#ifndef LRA_SESSION_CHECKPOINT_H
#define LRA_SESSION_CHECKPOINT_H

#include <optional>
#include <string>

#include "core/json.h"
#include "train/trainer.h"

namespace lra::session {

// Writes `header` and the trainer's arrays to `path`; what was there becomes path + ".prev". Throws Error(kIo).
void write_checkpoint(const std::string& path, const Json& header, const train::Trainer::State& state);

// Fills the arrays and returns the header, or nothing if there is no checkpoint. A damaged file is passed over for the
// one before it, with one line on stderr. Throws Error(kData), naming the field, if the checkpoint is of another run:
// header["spec"] must equal `spec`.
std::optional<Json> read_checkpoint(const std::string& path, const Json& spec, const train::Trainer::State& state);

}  // namespace lra::session

#endif  // LRA_SESSION_CHECKPOINT_H
