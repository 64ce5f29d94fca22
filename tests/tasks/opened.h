// A task's data set with a cache of its own, and why one is refused.
#ifndef LRA_TESTS_TASKS_OPENED_H
#define LRA_TESTS_TASKS_OPENED_H

#include <gtest/gtest.h>

#include <map>
#include <string>

#include "core/error.h"
#include "core/options.h"
#include "core/parallel.h"
#include "data/dataset.h"
#include "tests/data/temporary_folder.h"

namespace lra::tasks {

inline data::Dataset opened(const std::string& name, const std::map<std::string, std::string>& set) {
  const data::Task& task = data::find_task(name);
  Workers workers(2);
  const TemporaryFolder cache;
  return data::Dataset::open(task, Options(name, task.info().options, set), workers, cache.path());
}

// The message of the error of that kind that the task throws for these options, or "not refused".
inline std::string refusal(const std::string& name, const std::map<std::string, std::string>& set, ErrorKind kind) {
  try {
    opened(name, set);
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), kind);
    return error.what();
  }
  return "not refused";
}

}  // namespace lra::tasks

#endif  // LRA_TESTS_TASKS_OPENED_H
