// Parsed once.
#include "report/published.h"

#include "core/json.h"

namespace lra::report {

const Json& published() {
  static const Json json = parse_json(published_text(), "published.json");
  return json;
}

}  // namespace lra::report
