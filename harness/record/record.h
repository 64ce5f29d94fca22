// The record of one cell on disk: valid or absent.
#ifndef LRA_RECORD_RECORD_H
#define LRA_RECORD_RECORD_H

#include <string>

#include "core/json_fwd.h"

namespace lra::record {

// Writes the record atomically. One that breaks its schema is not written: Error(kData) names the field.
void write_record(const Json& record, const std::string& path);

// Reads a record of this or an older version. Throws Error(kData) for a file that is too large or deep, not JSON, not
// a record, of a newer version, or breaks the schema; Error(kIo) if it cannot be read.
Json read_record(const std::string& path);

}  // namespace lra::record

#endif  // LRA_RECORD_RECORD_H
