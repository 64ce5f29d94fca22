// A loaded variant as the encoder's token mixer.
#ifndef LRA_PLUGIN_MIXER_H
#define LRA_PLUGIN_MIXER_H

#include "core/options.h"
#include "core/parallel.h"
#include "nn/mixer.h"
#include "plugin/variant.h"

namespace lra {

// Makes one instance of the variant per layer. variant and workers are borrowed for the life of the source and its
// mixers; option values are copied. Draws of the variant follow `seed`.
nn::MixerSource mixer_source(const Variant& variant, const Options& options, Workers& workers, uint64_t seed);

}  // namespace lra

#endif  // LRA_PLUGIN_MIXER_H
