// A record passes its schema on the way out and on the way in.
#include "record/record.h"

#include "core/file.h"
#include "core/json.h"
#include "record/schema.h"

namespace lra::record {
namespace {

constexpr std::size_t kMostBytes = std::size_t{64} << 20;  // a curve of some 300,000 points

}  // namespace

void write_record(const Json& record, const std::string& path) {
  require_schema(record, Schema::kRecord, path);
  write_file_atomically(path, json_text(record));
}

Json read_record(const std::string& path) {
  Json record = parse_json(read_file(path, kMostBytes), path);
  require_schema(record, Schema::kRecord, path);
  return record;
}

}  // namespace lra::record
