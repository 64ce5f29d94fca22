// The loop over cells: data first, then up to `jobs` children at a time, each watched for messages, time and signals.
#include "tools/run/sweep.h"

#include <fmt/format.h>
#include <poll.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <optional>

#include "core/clock.h"
#include "core/error.h"
#include "core/file.h"
#include "core/text.h"
#include "tools/run/child.h"
#include "tools/run/display.h"

namespace lra::run {
namespace {

constexpr int kCellsFailed = 4;
constexpr int kPollMilliseconds = 200;
constexpr double kImpatience =
    0.5;  // seconds; a signal that comes sooner after another is the same wish (`timeout` sends two)
constexpr double kGraceSeconds = 2;  // of a child that is over time, to end by itself

volatile std::sig_atomic_t signals = 0;      // interrupts so far
volatile std::sig_atomic_t last_signal = 0;  // SIGINT or SIGTERM

void on_signal(int number) {
  last_signal = number;
  signals = signals + 1;
}

void hear_signals() {
  struct sigaction action = {};
  action.sa_handler = on_signal;
  for (const int number : {SIGINT, SIGTERM}) sigaction(number, &action, nullptr);
}

enum class Wish { kNone, kStop, kEndNow };

// What the signals since the last call mean.
class Listener {
 public:
  Wish hear() {
    if (signals == heard_) return Wish::kNone;
    const bool first = heard_ == 0;
    heard_ = signals;
    if (!first && wall_seconds() - first_at_ < kImpatience) return Wish::kNone;
    if (first) first_at_ = wall_seconds();
    return first ? Wish::kStop : Wish::kEndNow;
  }
  bool stopped() const { return signals > 0; }

 private:
  int heard_ = 0;
  double first_at_ = 0;
};

std::string label(const Cell& cell) {
  return fmt::format("{} on {} seed {}", cell.spec.variant, cell.spec.task, cell.spec.seed);
}

// What the cells share as their data.
std::string data_key(const Cell& cell) { return cell.spec.task + cell.spec.task_options.json().dump(); }

class Sweep {
 public:
  Sweep(const std::vector<Cell>& cells, const Flags& flags)
      : cells_(cells),
        flags_(flags),
        execution_(execution_of(flags)),
        line_(flags.quiet     ? Talk::kQuiet
              : flags.verbose ? Talk::kVerbose
                              : Talk::kNormal),
        endings_(cells.size()) {}

  int run() {
    require_writable_folder(execution_.out);
    check();
    hear_signals();
    choose();
    prepare();
    train();
    report();
    return exit_code();
  }

 private:
  // A wrong request is found now, not after hours.
  void check() {
    std::size_t wrong = 0;
    std::optional<Error> first;
    for (std::size_t i = 0; i < cells_.size(); ++i) {
      try {
        session::forecast(cells_[i].spec, *cells_[i].variant, execution_);
      } catch (const Error& error) {
        endings_[i] = Ending{false, error.exit_code(), "failed", error.what()};
        if (!first) first = error;
        ++wrong;
      }
    }
    if (wrong == cells_.size()) throw Error(*first);
  }

  void choose() {
    for (std::size_t i = 0; i < cells_.size(); ++i) {
      if (endings_[i]) {
        fail(i);
      } else if (flags_.resume && session::is_done(cells_[i].spec, execution_)) {
        endings_[i] = Ending{true, 0, "", ""};
        ++skipped_;
      } else {
        queue_.push_back(i);
      }
    }
    if (skipped_ > 0) line_.say(fmt::format("{} of {} cells are done already", skipped_, cells_.size()));
  }

  // Makes the data of all cells, each kind once; cells whose data cannot be made have failed.
  void prepare() {
    std::vector<std::pair<std::string, Ending>> made;
    for (const std::size_t i : queue_) {
      const std::string key = data_key(cells_[i]);
      auto at = std::find_if(made.begin(), made.end(), [&](const auto& one) { return one.first == key; });
      if (at == made.end()) {
        if (listener_.stopped()) return;
        made.emplace_back(key, one_job(JobKind::kData, cells_[i], "data of " + cells_[i].spec.task));
        at = made.end() - 1;
      }
      if (!at->second.done && !listener_.stopped()) endings_[i] = at->second;
    }
    std::erase_if(queue_, [&](std::size_t i) {
      if (endings_[i]) fail(i);
      return endings_[i].has_value();
    });
  }

  Ending one_job(JobKind kind, const Cell& cell, const std::string& name) {
    Child child(kind, cell.spec, *cell.variant, execution_);
    for (;;) {
      pollfd wait{child.messages(), POLLIN, 0};
      poll(&wait, 1, kPollMilliseconds);
      if (listener_.hear() != Wish::kNone) child.end();  // nothing to save: what is on disk is whole
      if (!child.receive([&](const session::Progress& p) { line_.show(name, p, ""); })) return child.wait();
    }
  }

  struct Running {
    std::size_t cell;
    std::unique_ptr<Child> child;
    double start;
  };

  void train() {
    std::vector<Running> running;
    std::size_t next = 0;
    while (next < queue_.size() || !running.empty()) {
      while (!listener_.stopped() && next < queue_.size() && running.size() < static_cast<std::size_t>(flags_.jobs)) {
        const std::size_t i = queue_[next++];
        running.push_back({i, std::make_unique<Child>(JobKind::kTrain, cells_[i].spec, *cells_[i].variant, execution_),
                           wall_seconds()});
      }
      if (running.empty()) return;
      std::vector<pollfd> waits;
      for (const auto& one : running) waits.push_back({one.child->messages(), POLLIN, 0});
      poll(waits.data(), waits.size(), kPollMilliseconds);
      const Wish wish = listener_.hear();
      if (wish == Wish::kStop) {
        line_.say(last_signal == SIGINT ? "stopping after this step; Ctrl-C again ends at once"
                                        : "stopping after this step");
      }
      for (const auto& one : running) {
        if (wish == Wish::kStop) one.child->stop();
        if (wish == Wish::kEndNow) one.child->end();
      }
      std::erase_if(running, [&](const Running& one) { return !watch(one, next); });
    }
  }

  // False once the cell has ended.
  bool watch(const Running& one, std::size_t started) {
    if (execution_.timeout > 0 && wall_seconds() - one.start > execution_.timeout + kGraceSeconds)
      one.child->time_out(kGraceSeconds);
    const std::string rest =
        queue_.size() > 1 ? fmt::format("cell {} of {}{}", started, queue_.size(), remaining()) : "";
    const bool goes_on =
        one.child->receive([&](const session::Progress& p) { line_.show(label(cells_[one.cell]), p, rest); });
    if (goes_on) return true;
    endings_[one.cell] = one.child->wait();
    spent_ += wall_seconds() - one.start;
    ++ended_;
    if (!endings_[one.cell]->done) fail(one.cell);
    if (queue_.size() > 1) {
      const Ending& ending = *endings_[one.cell];
      line_.say(fmt::format("{}/{} {}: {} ({})", ended_, queue_.size(), label(cells_[one.cell]),
                            ending.done ? read(one.cell).value("status", "no status") : ending.status,
                            human_seconds(wall_seconds() - one.start)));
    }
    return false;
  }

  std::string remaining() const {
    if (ended_ == 0) return "";
    const double left =
        spent_ / static_cast<double>(ended_) * static_cast<double>(queue_.size() - ended_) / flags_.jobs;
    return fmt::format(", all in about {}", human_seconds(left));
  }

  // Leaves a record of a cell that left none. Not where the request was wrong, or where the disk or another process
  // stands in the way: then a record that is there is not this cell's to replace.
  void fail(std::size_t i) {
    const Ending& ending = *endings_[i];
    if (ending.code == static_cast<int>(ErrorKind::kUsage) || ending.code == static_cast<int>(ErrorKind::kIo)) return;
    if (listener_.stopped()) return;  // ended on request, perhaps before it could say so
    Json record = session::failed_record(cells_[i].spec, ending.status, ending.message);
    record["environment"] = session::environment(execution_.threads);
    try {
      session::write_record(record, session::record_path(cells_[i].spec, execution_));
    } catch (const Error& error) {
      line_.say(fmt::format("lra-run: {}", error.what()));
    }
  }

  // The record of a cell that has one, or what is known about it.
  Json read(std::size_t i) const {
    const std::string path = session::record_path(cells_[i].spec, execution_);
    if (endings_[i] && !endings_[i]->done)
      return session::failed_record(cells_[i].spec, endings_[i]->status, endings_[i]->message);
    return read_json(path);
  }

  void report() {
    std::vector<Json> records;
    std::vector<std::string> paths;
    for (std::size_t i = 0; i < cells_.size(); ++i) {
      if (!endings_[i] || (!endings_[i]->done && listener_.stopped())) continue;  // not reached before the interrupt
      records.push_back(read(i));
      const std::string path = session::record_path(cells_[i].spec, execution_);
      paths.push_back(std::filesystem::exists(path) ? path : "-");
      const std::string status = records.back().value("status", "");
      if (status == "interrupted") continue;
      failed_ += status == "ok" || status == "at_chance" || status == "skipped" ? 0 : 1;
    }
    if (listener_.stopped()) line_.say("lra-run: interrupted; the same command with --resume goes on from here");
    // A single cell that could not be run is an error, not a result.
    if (cells_.size() == 1 && endings_[0] && endings_[0]->code != 0)
      throw Error(static_cast<ErrorKind>(endings_[0]->code), endings_[0]->message);
    if (flags_.json) {
      print(json_text(Json(records)));
    } else if (cells_.size() == 1 && records.size() == 1) {
      print(record_text(records[0], paths[0]));
    } else if (!records.empty()) {
      print(records_text(records, paths));
    }
  }

  int exit_code() const {
    if (listener_.stopped()) return 128 + last_signal;
    return failed_ > 0 ? kCellsFailed : 0;
  }

  const std::vector<Cell>& cells_;
  const Flags& flags_;
  const session::Execution execution_;
  ProgressLine line_;
  Listener listener_;
  std::vector<std::optional<Ending>> endings_;  // of the cells that have ended
  std::vector<std::size_t> queue_;              // cells to run, in order
  std::size_t skipped_ = 0, ended_ = 0, failed_ = 0;
  double spent_ = 0;  // seconds of the cells that have ended
};

}  // namespace

int run_cells(const std::vector<Cell>& cells, const Flags& flags) { return Sweep(cells, flags).run(); }

}  // namespace lra::run
