// What others printed: Long Range Arena's tables and their successors, with caveats. Data: published.json.
#ifndef LRA_REPORT_PUBLISHED_H
#define LRA_REPORT_PUBLISHED_H

#include "core/json_fwd.h"

namespace lra::report {

// published.json, compiled in.
const Json& published();
const char* published_text();

}  // namespace lra::report

#endif  // LRA_REPORT_PUBLISHED_H
