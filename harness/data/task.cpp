// The list of tasks linked into this program, and what all generators share.
#include "data/task.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/error.h"
#include "core/text.h"

namespace lra::data {
namespace {

struct Registry {
  std::vector<std::unique_ptr<Task>> owned;
  std::vector<const Task*> by_id;
};

// Built by the first registration: the order in which static objects of other files start is open.
Registry& registry() {
  static Registry instance;
  return instance;
}

}  // namespace

const char* split_name(SplitName split) {
  switch (split) {
    case SplitName::kTrain:
      return "train";
    case SplitName::kValidation:
      return "validation";
    case SplitName::kTest:
      return "test";
  }
  LRA_ASSERT(!"a split name");
}

std::string Task::origin(const Options&) const { return {}; }

TaskRegistration::TaskRegistration(std::unique_ptr<Task> task) {
  auto& [owned, by_id] = registry();
  const std::string& id = task->info().id;
  const auto at = std::lower_bound(by_id.begin(), by_id.end(), id,
                                   [](const Task* one, const std::string& name) { return one->info().id < name; });
  LRA_ASSERT(at == by_id.end() || (*at)->info().id != id);
  by_id.insert(at, task.get());
  owned.push_back(std::move(task));
}

const std::vector<const Task*>& tasks() { return registry().by_id; }

const Task& find_task(const std::string& id) {
  std::vector<std::string> ids;
  for (const Task* task : tasks()) {
    if (task->info().id == id) return *task;
    ids.push_back(task->info().id);
  }
  throw Error(ErrorKind::kUsage, fmt::format("no task is called '{}'{}", id, suggestion(id, ids)));
}

std::vector<OptionSpec> with_splits(std::vector<OptionSpec> own, const SplitDefaults& defaults,
                                    const std::string& seed_help) {
  const auto size = [&](SplitName split, int64_t value, double most) {
    own.push_back(
        OptionSpec::integer(split_name(split), static_cast<double>(value), 1, most,
                            fmt::format("{} examples", split == SplitName::kTrain ? "training" : split_name(split))));
  };
  size(SplitName::kTrain, defaults.train, 10'000'000);
  size(SplitName::kValidation, defaults.validation, 1'000'000);
  size(SplitName::kTest, defaults.test, 1'000'000);
  own.push_back(OptionSpec::integer("seed", 0, 0, 9e15, seed_help));
  return own;
}

std::array<int64_t, 3> split_sizes(const Options& options) {
  return {options.integer("train"), options.integer("validation"), options.integer("test")};
}

void too_few_rows(int64_t taken, int64_t wanted, int64_t barren) {
  throw Error(ErrorKind::kUsage,
              fmt::format("the task's options leave too few examples: {} of {} found, then none in {} candidates; "
                          "widen the limits or ask for fewer examples",
                          taken, wanted, barren));
}

}  // namespace lra::data
