#include "launcher/prompt_cores.h"

#include <charconv>
#include <filesystem>
#include <set>
#include <string>
#include <utility>

#include "base/log.h"
#include "os/file.h"
#include "os/scheduling.h"

namespace ebb::launcher {
namespace {

constexpr std::chrono::milliseconds kPause{100};
constexpr std::chrono::milliseconds kIdlePause{1000};  // after a look at a daemon that did next to nothing
constexpr double kIdle = 0.01;
constexpr std::size_t kCoresMost = 256;  // io_cores at most

}  // namespace

PromptCores::PromptCores(Poller& poller, pid_t daemon, std::function<bool()> one_floods)
    : poller_(poller), daemon_(daemon), one_floods_(std::move(one_floods)), at_(base::steady_now()) {
  timer_ = poller_.after(kPause, [this] { look(); });
}

void PromptCores::look() {
  timer_ = Poller::Timer::kNone;
  const base::SteadyTime now = base::steady_now();
  const double passed = std::chrono::duration<double>(now - at_).count();
  at_ = now;
  find_cores();
  const bool beside_flood = one_floods_();
  bool idle = true;
  for (auto& [thread, core] : cores_) {
    const auto cpu_time = os::thread_cpu_time(daemon_, thread);
    if (!cpu_time) continue;  // it ended since, or the kernel tells nothing of it
    const double used = passed > 0 ? std::chrono::duration<double>(*cpu_time - core.cpu_time).count() / passed : 0;
    core.cpu_time = *cpu_time;
    idle = idle && used < kIdle;
    const bool wanted = core.rule.look(used, beside_flood);
    if (wanted != core.prompt && !schedule(thread, core, wanted)) return;
  }
  timer_ = poller_.after(idle ? kIdlePause : kPause, [this] { look(); });
}

void PromptCores::find_cores() {
  std::set<pid_t> present;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/" + std::to_string(daemon_) + "/task", error)) {
    const std::string name = entry.path().filename();
    pid_t thread = 0;
    std::from_chars(name.data(), name.data() + name.size(), thread);
    present.insert(thread);
    if (cores_.size() < kCoresMost && !cores_.contains(thread) && is_core(thread)) cores_.emplace(thread, Core{});
  }
  std::erase_if(cores_, [&](const auto& core) { return !present.contains(core.first); });
}

// Core 0 is the daemon's first thread, the others are named.
bool PromptCores::is_core(pid_t thread) const {
  if (thread == daemon_) return true;
  const auto name = os::read_file("/proc/" + std::to_string(daemon_) + "/task/" + std::to_string(thread) + "/comm");
  return name && name->starts_with("core-");
}

// False: it is not permitted here, and nothing is tried again.
bool PromptCores::schedule(pid_t thread, Core& core, bool prompt) {
  const base::Result<> scheduled = prompt ? os::schedule_promptly(thread) : os::schedule_patiently(thread);
  // The thread may have ended, and its number be another's by now, even a sandbox's.
  if (!os::thread_cpu_time(daemon_, thread)) {
    static_cast<void>(os::schedule_fairly(thread));
    return true;
  }
  if (!scheduled) {
    base::log(base::LogLevel::kInfo, "daemon not prompt",
              {{"error", scheduled.error().message}, {"effect", "calls wait longer beside functions that compute"}});
    return false;
  }
  core.prompt = prompt;
  return true;
}

}  // namespace ebb::launcher
