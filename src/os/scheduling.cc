#include "os/scheduling.h"

#include <sched.h>

#include <cerrno>
#include <cstdint>
#include <string>

#include "os/file.h"

namespace ebb::os {
namespace {

constexpr int kLowestRealTime = 1;

base::Result<> schedule(pid_t thread, int policy, int priority) {
  sched_param parameters{};
  parameters.sched_priority = priority;
  if (::sched_setscheduler(thread, policy, &parameters) != 0) {
    return base::os_error("set a thread's scheduling", errno);
  }
  return {};
}

}  // namespace

base::Result<> schedule_promptly(pid_t thread) {
  return schedule(thread, SCHED_RR | SCHED_RESET_ON_FORK, kLowestRealTime);
}

base::Result<> schedule_fairly(pid_t thread) { return schedule(thread, SCHED_OTHER, 0); }

base::Result<> schedule_patiently(pid_t thread) { return schedule(thread, SCHED_BATCH, 0); }

base::Result<std::chrono::nanoseconds> thread_cpu_time(pid_t process, pid_t thread) {
  const std::string path = "/proc/" + std::to_string(process) + "/task/" + std::to_string(thread) + "/schedstat";
  EBB_TRY(const std::string text, read_file(path));
  EBB_TRY(const std::uint64_t nanoseconds, number_in(text, ""));
  return std::chrono::nanoseconds(nanoseconds);
}

}  // namespace ebb::os
