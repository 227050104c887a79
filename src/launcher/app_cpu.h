// What each app's sandboxes have used of the processors, by the kernel's own count: in all, and of it the zygotes.
//
// 1. What a zygote's group had used when the kernel removed it stays in the sums, as long as the app's group is there.
// 2. A child is counted where it is: until it is in its own cgroup a fork is its zygote's work.
// One daemon's life; single-threaded. Cost: of() reads one file for each zygote of the app; nothing elsewhere but a
// read before a zygote's group is removed.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>

#include "os/cgroup.h"
#include "wire/launcher_protocol.h"

namespace ebb::launcher {

class AppCpu {
 public:
  enum class Part : std::uint8_t { kRuntimes = 0, kZygotes = 1 };

  explicit AppCpu(const os::CgroupTree& cgroups) : cgroups_(cgroups) {}

  /// The group of an app was made, or is used again.
  void add_app(const std::string& app_group) { apps_.try_emplace(app_group); }
  /// A group of a runtime zygote or a function zygote, below the app's.
  void add(const std::string& app_group, Part part, const std::string& group);

  /// A group is about to be removed: reads it a last time. One that was never added: fine, as below.
  void note(const std::string& group);
  /// It was removed; with an app's own group go its sums.
  void removed(const std::string& group);

  /// Zeros for an app that has no group.
  wire::CpuUse of(const std::string& app_group) const;

 private:
  struct App {
    std::array<std::uint64_t, 2> ended_ns{};                     // by part
    std::array<std::map<std::string, std::uint64_t>, 2> groups;  // by part: those there are, as last noted
  };

  App* find(const std::string& group);

  const os::CgroupTree& cgroups_;
  std::map<std::string, App> apps_;  // by the app's group; as many as there are such groups
};

}  // namespace ebb::launcher
