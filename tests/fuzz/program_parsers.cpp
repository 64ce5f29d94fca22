// Parsers of what the programs hand on: records, checkpoints, baselines, histories, and libraries before they are
// loaded.
#include <cstdio>
#include <cstring>
#include <numeric>

#include "core/error.h"
#include "core/file.h"
#include "core/json.h"
#include "core/rng.h"
#include "core/text.h"
#include "nn/parameters.h"
#include "plugin/descriptor.h"
#include "report/history.h"
#include "report/run_record.h"
#include "report/summary.h"
#include "session/checkpoint.h"
#include "tests/fuzz/parsers.h"
#include "tools/compare/baseline.h"

namespace lra::fuzz {
namespace {

// The numbers of 4 bytes that seeds are written with, as this build has them.
std::string numbers_of(std::string_view bytes) {
  std::string out;
  for (; sizeof(Real) != sizeof(float) && bytes.size() >= sizeof(float); bytes.remove_prefix(sizeof(float))) {
    float number = 0;
    std::memcpy(&number, bytes.data(), sizeof(number));
    const Real real = number;
    out.append(reinterpret_cast<const char*>(&real), sizeof(real));
  }
  return out.append(bytes);
}

// The checkpoint (session/checkpoint.cpp) of a JSON header on the first line and arrays behind it, with its hash right.
std::string checkpoint_file(std::string_view text) {
  const std::size_t end = std::min(text.find('\n'), text.size());
  const std::string header(text.substr(0, end));
  const std::string arrays = numbers_of(text.substr(std::min(end + 1, text.size())));
  uint64_t hash = key_of({0, hash64(header.data(), header.size())});
  try {
    std::string_view rest = arrays;
    const Json json = parse_json(header, "input");
    for (const Json& count : json.at("arrays")) {
      const std::size_t bytes = std::min(rest.size(), count.get<std::size_t>() * sizeof(Real));
      hash = key_of({hash, hash64(rest.data(), bytes)});
      rest.remove_prefix(bytes);
    }
  } catch (const std::exception&) {
    // Then the hash of the header has to do.
  }
  const uint64_t front[] = {sizeof(Real), header.size(), arrays.size(), hash};
  return "LRACKPT1" + std::string(reinterpret_cast<const char*>(front), sizeof(front)) + header + arrays;
}

// Lines of what is read meanwhile that are meant for a user.
class QuietStandardError {
 public:
  QuietStandardError() { stderr = nowhere(); }
  ~QuietStandardError() { stderr = kept_; }
  QuietStandardError(const QuietStandardError&) = delete;
  QuietStandardError& operator=(const QuietStandardError&) = delete;

 private:
  static std::FILE* nowhere() {
    static std::FILE* file = std::fopen("/dev/null", "w");
    return file;
  }
  std::FILE* kept_ = stderr;
};

}  // namespace

// As it is and with a hash that holds: to look at, to start from, to go on from.
LRA_PARSER(checkpoint) {
  static MemoryFile file;
  static const nn::Parameters parameters = [] {
    nn::Parameters p;
    p.add({.name = "w", .rows = 2, .cols = 2});
    p.add({.name = "b", .rows = 1, .cols = 2});
    p.lay_out();
    return p;
  }();
  const Json spec = {{"variant", "stub"}};
  bool taken = false;
  for (const std::string& bytes : {std::string(text_of(input)), checkpoint_file(text_of(input))}) {
    file.hold(bytes);
    attempt([&] { LRA_ASSERT(session::checkpoint_hash(file.path()).size() == 16); });
    attempt([&] { LRA_ASSERT(!session::checkpoint_header(file.path()).is_discarded()); });
    attempt([&] {
      std::vector<Real> values(static_cast<std::size_t>(parameters.values_size()));
      const session::Start start = session::start_from_checkpoint(file.path(), parameters, values.data());
      LRA_ASSERT(start.taken.size() + start.kept.size() == parameters.all().size());
    });
    attempt([&] {
      const QuietStandardError quiet;
      int64_t step = -1;
      std::vector<Real> weights(6), moments(6);
      const train::Trainer::State state{&step, {{weights.data(), 6}, {moments.data(), 6}}};
      const auto header = session::read_checkpoint(file.path(), spec, state);
      LRA_ASSERT(!header || step >= 0);
      taken |= header.has_value();
    });
  }
  require_any(taken);
}

// A record or a file of benchmarks, up to the figures of tables.
LRA_PARSER(record) {
  static MemoryFile file;
  file.hold(text_of(input));
  const report::Collection found = report::collect({file.path()});
  for (const std::string& fault : found.faults) attempt([&] { throw Error(ErrorKind::kData, fault); });
  LRA_ASSERT(report::summarise(found.records).size() == found.records.size());
  require_any(!found.records.empty() || !found.costs.empty());
}

// A line for each entry of a history: as it is, and with checksums that hold; up to the series of the dashboard.
LRA_PARSER(history) {
  static MemoryFile file;
  std::string lines;
  bool taken = false;
  for (const std::string& line : split(text_of(input), '\n'))
    attempt([&] { lines += report::history_line(parse_json(line, "input")); });
  for (const std::string_view text : {text_of(input), std::string_view(lines)}) {
    file.hold(text);
    const report::History history = report::read_history({file.path()});
    for (const std::string& fault : history.faults) attempt([&] { throw Error(ErrorKind::kData, fault); });
    LRA_ASSERT(report::history_block(history).is_null() == history.entries.empty());
    taken |= !history.entries.empty();
  }
  require_any(taken);
}

LRA_PARSER(baseline) {
  static MemoryFile file;
  file.hold(text_of(input));
  const compare::Baseline baseline = compare::Baseline::read(file.path());
  for (const Json& row : baseline.rows) LRA_ASSERT(baseline.find(row.at("cell").get<std::string>()) != nullptr);
}

LRA_PARSER(descriptor) {
  const Descriptor found = read_descriptor(input.data(), input.size());
  for (const std::string& text : {found.id, found.build, found.sanitizer})
    LRA_ASSERT(text.find('\0') == std::string::npos);
  try {
    check_descriptor(found);
    LRA_ASSERT(is_identifier(found.id));
  } catch (const Error&) {
    // read well, but not for a program of this scalar type or sanitizer
  }
}

}  // namespace lra::fuzz
