// Names the JSON type without its definition: for headers that only pass it on. Include core/json.h to use it.
#ifndef LRA_CORE_JSON_FWD_H
#define LRA_CORE_JSON_FWD_H

#include <nlohmann/json_fwd.hpp>

namespace lra {

using Json = nlohmann::ordered_json;

}  // namespace lra

#endif  // LRA_CORE_JSON_FWD_H
