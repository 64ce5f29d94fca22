// Results in the formats of other programs. An export is one file in exports/.
#ifndef LRA_REPORT_EXPORT_H
#define LRA_REPORT_EXPORT_H

#include <string>
#include <vector>

#include "report/run_record.h"
#include "report/summary.h"

namespace lra::report {

struct OutputFile {
  std::string name;  // relative, made of [A-Za-z0-9._/-]
  std::string bytes;
};

struct Export {
  const char* name;
  const char* summary;
  bool several;  // several files, for which a folder is wanted
  std::vector<OutputFile> (*make)(const Collection& collection, const std::vector<Group>& groups);
};
const std::vector<const Export*>& exports();

}  // namespace lra::report

#endif  // LRA_REPORT_EXPORT_H
