// SQL in, rows out.
#include "tools/compare/history_index.h"

#include <fmt/format.h>
#include <sqlite3.h>

#include <algorithm>
#include <filesystem>

#include "core/error.h"
#include "core/file.h"
#include "core/text.h"
#include "tools/run/table.h"

namespace lra::compare {
namespace {

namespace fs = std::filesystem;

constexpr const char* kLayout = "1";  // part of the digest: another layout is made anew
constexpr std::size_t kMostBytes = std::size_t{256} << 20;
constexpr const char* kTables = R"(
  DROP TABLE IF EXISTS point; DROP TABLE IF EXISTS fault; DROP TABLE IF EXISTS made_of;
  CREATE TABLE point(path TEXT, line INTEGER, at TEXT, commit_id TEXT, dirty INTEGER, machine_class TEXT, machine TEXT,
    cell TEXT, variant TEXT, task TEXT, preset TEXT, length INTEGER, seed INTEGER, threads INTEGER, status TEXT,
    metric TEXT, unit TEXT, better TEXT, value REAL, low REAL, high REAL, n INTEGER);
  CREATE INDEX point_by_metric ON point(metric, variant, at);
  CREATE TABLE fault(text TEXT);
  CREATE TABLE made_of(digest TEXT);)";

// A statement with its values bound.
class Statement {
 public:
  Statement(sqlite3* database, const std::string& sql) : database_(database) {
    if (sqlite3_prepare_v2(database, sql.c_str(), -1, &statement_, nullptr) != SQLITE_OK) fail();
  }
  ~Statement() { sqlite3_finalize(statement_); }
  Statement(const Statement&) = delete;
  Statement& operator=(const Statement&) = delete;

  void bind(const std::string& text) {
    sqlite3_bind_text(statement_, ++bound_, text.data(), static_cast<int>(text.size()), SQLITE_TRANSIENT);
  }
  void bind(int64_t number) { sqlite3_bind_int64(statement_, ++bound_, number); }
  // null, text, a number, true or false
  void bind(const Json& value) {
    ++bound_;
    if (value.is_string()) {
      const auto& text = value.get_ref<const std::string&>();
      sqlite3_bind_text(statement_, bound_, text.data(), static_cast<int>(text.size()), SQLITE_TRANSIENT);
    } else if (value.is_number_float()) {
      sqlite3_bind_double(statement_, bound_, value.get<double>());
    } else if (value.is_boolean()) {
      sqlite3_bind_int(statement_, bound_, value.get<bool>() ? 1 : 0);
    } else if (value.is_number()) {
      sqlite3_bind_int64(statement_, bound_, value.get<int64_t>());
    }
  }
  // Whether there is one more row.
  bool step() {
    const int code = sqlite3_step(statement_);
    if (code != SQLITE_ROW && code != SQLITE_DONE) fail();
    return code == SQLITE_ROW;
  }
  void run_again() {
    sqlite3_reset(statement_);
    sqlite3_clear_bindings(statement_);
    bound_ = 0;
  }
  std::string text(int column) const {
    const auto* bytes = sqlite3_column_text(statement_, column);
    return bytes == nullptr ? "" : reinterpret_cast<const char*>(bytes);
  }
  std::optional<double> number(int column) const {
    return sqlite3_column_type(statement_, column) == SQLITE_NULL
               ? std::nullopt
               : std::optional<double>(sqlite3_column_double(statement_, column));
  }
  int64_t integer(int column) const { return sqlite3_column_int64(statement_, column); }

 private:
  [[noreturn]] void fail() const {
    throw Error(ErrorKind::kIo,
                fmt::format("index of the history: {}; delete it, it is made anew", sqlite3_errmsg(database_)));
  }
  sqlite3* database_;
  sqlite3_stmt* statement_ = nullptr;
  int bound_ = 0;
};

void execute(sqlite3* database, const char* sql) {
  char* message = nullptr;
  if (sqlite3_exec(database, sql, nullptr, nullptr, &message) == SQLITE_OK) return;
  const std::string why = message == nullptr ? "" : message;
  sqlite3_free(message);
  throw Error(ErrorKind::kIo, fmt::format("index of the history: {}; delete it, it is made anew", why));
}

// Of the names and bytes of the files.
std::string digest_of(const std::vector<std::string>& paths) {
  std::string all = kLayout;
  const auto take = [&](const fs::path& path) {
    const std::string bytes = read_file(path.string(), kMostBytes);
    all += fs::absolute(path).lexically_normal().string() + " " + hash_hex(bytes) + "\n";
  };
  for (const auto& path : paths) {
    if (!fs::exists(path))
      throw Error(ErrorKind::kIo, fmt::format("{}: does not exist; lra-compare history add writes histories", path));
    if (!fs::is_directory(path)) {
      take(path);
      continue;
    }
    std::vector<fs::path> files;
    for (const auto& entry : fs::recursive_directory_iterator(path)) {
      if (entry.path().extension() == ".jsonl" && entry.is_regular_file()) files.push_back(entry.path());
    }
    std::sort(files.begin(), files.end());
    for (const auto& file : files) take(file);
  }
  return hash_hex(all);
}

std::string usual_file(const std::vector<std::string>& paths) {
  std::string names;
  for (const auto& path : paths) names += fs::absolute(path).lexically_normal().string() + "\n";
  return (fs::absolute(cache_folder()) / "history" / (hash_hex(names) + ".sqlite")).string();
}

}  // namespace

HistoryIndex::HistoryIndex(const std::vector<std::string>& paths) {
  const std::string digest = digest_of(paths), usual = usual_file(paths);
  if (open(usual) && is_made_of(digest)) return;
  const report::History history = report::read_history(paths);
  rebuilt_ = true;
  // What is there; anew where that is broken; in memory where there is no place for it.
  for (const std::string& file : {usual, usual, std::string(":memory:")}) {
    try {
      if (database_ == nullptr && !open(file)) continue;
      fill(history, digest);
      return;
    } catch (const Error&) {
      close();
      if (file == ":memory:") throw;
      std::error_code gone;
      fs::remove(file, gone);
    }
  }
}

HistoryIndex::~HistoryIndex() { close(); }

void HistoryIndex::close() {
  sqlite3_close(database_);
  database_ = nullptr;
}

bool HistoryIndex::open(const std::string& file) {
  std::error_code code;
  if (file != ":memory:") fs::create_directories(fs::path(file).parent_path(), code);
  file_ = file;
  if (sqlite3_open(file.c_str(), &database_) == SQLITE_OK) {
    sqlite3_busy_timeout(database_, 5000);
    return true;
  }
  close();
  return false;
}

bool HistoryIndex::is_made_of(const std::string& digest) const {
  try {
    Statement check(database_, "PRAGMA quick_check(1)");
    if (!check.step() || check.text(0) != "ok") return false;
    Statement ask(database_, "SELECT digest FROM made_of");
    return ask.step() && ask.text(0) == digest;
  } catch (const Error&) {
    return false;
  }
}

void HistoryIndex::fill(const report::History& history, const std::string& digest) {
  execute(database_, "PRAGMA synchronous = OFF; BEGIN IMMEDIATE");
  execute(database_, kTables);
  {
    Statement add(database_,
                  "INSERT INTO point VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)");
    for (const auto& entry : history.entries) {
      const Json &json = entry.json, &cell = json.at("cell"), &machine = json.at("machine");
      for (const auto& [metric, measured] : json.at("metrics").items()) {
        add.bind(entry.path);
        add.bind(int64_t{entry.line});
        for (const char* key : {"at", "commit", "dirty"}) add.bind(json.at(key));
        for (const char* key : {"class", "id"}) add.bind(machine.at(key));
        for (const char* key : {"name", "variant", "task", "preset", "length", "seed", "threads"})
          add.bind(cell.at(key));
        add.bind(json.at("status"));
        add.bind(metric);
        for (const char* key : {"unit", "better", "value", "low", "high", "n"}) add.bind(measured.at(key));
        add.step();
        add.run_again();
      }
    }
    Statement bad(database_, "INSERT INTO fault VALUES(?)");
    for (const auto& fault : history.faults) {
      bad.bind(fault);
      bad.step();
      bad.run_again();
    }
    Statement made(database_, "INSERT INTO made_of VALUES(?)");
    made.bind(digest);
    made.step();
  }
  execute(database_, "COMMIT");
}

std::vector<HistoryRow> HistoryIndex::find(const HistoryQuery& query) const {
  std::string where;
  std::vector<std::string> values;
  for (const auto& [column, value] : {std::pair{"variant", query.variant}, std::pair{"task", query.task},
                                      std::pair{"cell", query.cell}, std::pair{"metric", query.metric}}) {
    if (value.empty()) continue;
    Statement ask(database_,
                  fmt::format("SELECT DISTINCT {} FROM point WHERE {} IS NOT NULL ORDER BY 1", column, column));
    std::vector<std::string> known;
    while (ask.step()) known.push_back(ask.text(0));
    if (std::find(known.begin(), known.end(), value) == known.end()) {
      throw Error(ErrorKind::kUsage, fmt::format("no entry has {} '{}'{}", column, value, suggestion(value, known)));
    }
    where += fmt::format(" AND {} = ?", column);
    values.push_back(value);
  }
  Statement ask(database_,
                "SELECT at, commit_id, machine_class, cell, metric, unit, dirty, value, low, high, n, path, line FROM "
                "point WHERE at >= ?" +
                    where + " ORDER BY at, path, line, rowid");
  ask.bind(query.since);
  for (const auto& value : values) ask.bind(value);
  std::vector<HistoryRow> out;
  while (ask.step()) {
    out.push_back({.at = ask.text(0),
                   .commit = ask.text(1),
                   .machine_class = ask.text(2),
                   .cell = ask.text(3),
                   .metric = ask.text(4),
                   .unit = ask.text(5),
                   .dirty = ask.integer(6) != 0,
                   .value = ask.number(7).value_or(0),
                   .low = ask.number(8),
                   .high = ask.number(9),
                   .n = ask.integer(10),
                   .path = ask.text(11),
                   .line = static_cast<int>(ask.integer(12))});
  }
  return out;
}

std::vector<std::string> HistoryIndex::faults() const {
  Statement ask(database_, "SELECT text FROM fault ORDER BY rowid");
  std::vector<std::string> out;
  while (ask.step()) out.push_back(ask.text(0));
  return out;
}

std::string text_of(const std::vector<HistoryRow>& rows) {
  if (rows.empty()) return "";
  run::Table table({"when", "commit", "machine", "cell", "metric", "value", "low", "high", "n"});
  const auto value = [](const HistoryRow& row, const std::optional<double>& x) {
    return x ? value_text(*x, row.unit) : "-";
  };
  for (const auto& row : rows) {
    table.row({row.at, row.commit.empty() ? "-" : row.commit.substr(0, 8) + (row.dirty ? "+" : ""), row.machine_class,
               row.cell, row.metric, value(row, row.value), value(row, row.low), value(row, row.high),
               fmt::format("{}", row.n)});
  }
  return table.text("");
}

Json json_of(const std::vector<HistoryRow>& rows) {
  Json out = Json::array();
  for (const auto& row : rows) {
    out.push_back({{"at", row.at},
                   {"commit", or_null(row.commit)},
                   {"dirty", row.dirty},
                   {"machine", row.machine_class},
                   {"cell", row.cell},
                   {"metric", row.metric},
                   {"unit", row.unit},
                   {"value", row.value},
                   {"low", or_null(row.low)},
                   {"high", or_null(row.high)},
                   {"n", row.n},
                   {"path", row.path},
                   {"line", row.line}});
  }
  return out;
}

}  // namespace lra::compare
