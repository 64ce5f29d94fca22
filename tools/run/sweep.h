// The cells that the flags ask for, and what can be done with them: run, foresee, show their state, print their
// settings.
#ifndef LRA_TOOLS_RUN_SWEEP_H
#define LRA_TOOLS_RUN_SWEEP_H

#include <vector>

#include "core/json.h"
#include "plugin/registry.h"
#include "session/session.h"
#include "tools/run/flags.h"

namespace lra::run {

struct Cell {
  const Variant* variant = nullptr;
  session::RunSpec spec;
};

// The cross product, every cell checked, in running order: seed after seed, and in each round the variants begin with
// another one, so that a machine that slows down does not slow one variant. Throws Error(kUsage) for names and settings
// that do not fit.
std::vector<Cell> cells_of(const Flags& flags, const PluginRegistry& registry, const session::Presets& presets);

session::Execution execution_of(const Flags& flags);

// Each prints on stdout and returns the exit code.
int run_cells(const std::vector<Cell>& cells, const Flags& flags);
int print_forecast(const std::vector<Cell>& cells, const Flags& flags);
int print_status(const std::vector<Cell>& cells, const Flags& flags);
int print_settings(const std::vector<Cell>& cells, const Flags& flags, const session::Presets& presets);

// Writes to stdout. Throws Error(kIo) if it does not get there.
void print(const std::string& text);

}  // namespace lra::run

#endif  // LRA_TOOLS_RUN_SWEEP_H
