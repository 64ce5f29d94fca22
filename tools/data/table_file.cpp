// stdio for writing, data::RowReader for reading.
#include "tools/data/table_file.h"

#include <fmt/format.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

#include "core/error.h"
#include "core/file.h"
#include "core/text.h"
#include "data/rows.h"

namespace lra::datatool {
namespace {

constexpr std::size_t kLongestRow = std::size_t{1} << 24;

}  // namespace

TableFile::TableFile(const std::string& path) : path_(path), part_(path + ".part") {
  const std::string folder = std::filesystem::path(path).parent_path().string();
  if (!folder.empty()) require_writable_folder(folder);
  file_ = std::fopen(part_.c_str(), "wb");
  if (file_ == nullptr) refuse();
}

TableFile::~TableFile() {
  if (file_ == nullptr) return;
  std::fclose(file_);
  std::error_code ignored;
  std::filesystem::remove(part_, ignored);
}

void TableFile::row(std::string_view text) {
  if (std::fwrite(text.data(), 1, text.size(), file_) != text.size() || std::fputc('\n', file_) == EOF) refuse();
}

void TableFile::close() {
  std::FILE* file = file_;
  file_ = nullptr;
  if (std::fclose(file) != 0 || std::rename(part_.c_str(), path_.c_str()) != 0) refuse();
}

void TableFile::refuse() const {
  throw Error(ErrorKind::kIo, fmt::format("{}: cannot be written: {}", path_, std::strerror(errno)));
}

void read_table(const std::string& path, const std::vector<std::string>& names, Header header,
                const std::function<void(const Place& place, const Columns& columns)>& body) {
  data::RowReader rows(path, kLongestRow);
  const auto columns_of = [](std::string_view row) {
    Columns columns;
    while (true) {
      const std::size_t end = row.find('\t');
      columns.push_back(row.substr(0, end));
      if (end == row.npos) return columns;
      row.remove_prefix(end + 1);
    }
  };
  while (rows.next()) {
    const Place place{path, rows.number()};
    if (rows.is_cut()) bad_row(place, fmt::format("is longer than {}", human_bytes(double(kLongestRow))));
    const Columns columns = columns_of(rows.row());
    if (columns.size() != names.size()) {
      bad_row(place, fmt::format("has {} columns; {} are wanted: {}", columns.size(), names.size(), join(names)));
    }
    if (header == Header::kYes && rows.number() == 1) {
      if (!std::equal(columns.begin(), columns.end(), names.begin()))
        bad_row(place, fmt::format("is not the header {}", join(names, " <tab> ")));
      continue;
    }
    body(place, columns);
  }
}

}  // namespace lra::datatool
