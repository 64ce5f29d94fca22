// A split as files, with a manifest beside them; and whether the files are still what was written.
//   DIR/<split>.manifest.json   "lra.export/1": task, options, shape, form, where, how many, hashes; written last
//   DIR/<split>.rows            a line for each example, in order: 16 hex digits over its label and its tokens
#ifndef LRA_TOOLS_DATA_EXPORT_H
#define LRA_TOOLS_DATA_EXPORT_H

#include <string>
#include <vector>

#include "core/json.h"
#include "tools/data/forms.h"

namespace lra::datatool {

// Writes and returns the manifest. Throws Error(kUsage) if the folder holds this split already, or splits of other
// data.
Json export_split(const Source& source, const Form& form, const std::string& folder);

// Reads every split that the folder has a manifest of, and returns the manifests. Throws Error(kData) with file and row
// for the first example that is not the one exported.
std::vector<Json> verify(const std::string& folder);

}  // namespace lra::datatool

#endif  // LRA_TOOLS_DATA_EXPORT_H
