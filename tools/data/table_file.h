// A file written row by row, there under its name only when whole; and rows read back as columns.
#ifndef LRA_TOOLS_DATA_TABLE_FILE_H
#define LRA_TOOLS_DATA_TABLE_FILE_H

#include <cstdio>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "tools/data/forms.h"

namespace lra::datatool {

class TableFile {
 public:
  // Makes missing folders. All members throw Error(kIo).
  explicit TableFile(const std::string& path);
  ~TableFile();
  TableFile(const TableFile&) = delete;
  TableFile& operator=(const TableFile&) = delete;
  // `text` holds no line end.
  void row(std::string_view text);
  // Ends the file and gives it its name.
  void close();

 private:
  [[noreturn]] void refuse() const;

  std::string path_, part_;
  std::FILE* file_ = nullptr;
};

using Columns = std::vector<std::string_view>;
enum class Header { kNo, kYes };
// Calls body(place, columns) for each row that is no header. Throws Error(kData) with file and row for one that has not
// as many columns as `names`, or is longer than 16 MiB.
void read_table(const std::string& path, const std::vector<std::string>& names, Header header,
                const std::function<void(const Place& place, const Columns& columns)>& body);

}  // namespace lra::datatool

#endif  // LRA_TOOLS_DATA_TABLE_FILE_H
