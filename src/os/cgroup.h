// The subtree of control groups that one owner made, on hosts with cgroup v1, v2, or both.
//
// 1. Everything lies below one directory per hierarchy named after the owner's tag, so that a later run finds and
// removes
//    what an earlier one left. 2. A group is named by its path below that ("app-x/s1") and exists in every hierarchy
//    that holds one of memory, cpu, cpuacct, pids, and in the one that can freeze. 3. Processes live in leaves only (a
//    rule of v2, kept on v1 too).
// Used by the launcher alone. Threads: none. Cost: a move is one write per hierarchy, 0.03 ms each on v1.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "os/fd.h"
#include "os/usage_files.h"

namespace ebb::os {

struct CgroupLimits {
  std::optional<std::uint64_t> memory_bytes{};  // swap is not given beyond it
  std::optional<std::uint32_t> cpu_millis{};    // 1000 is one core
  std::optional<std::uint32_t> pids{};
  bool end_together = false;  // out of memory, all of it is killed and not one process; on v1 see watch_oom()
};

struct CgroupUsage {
  std::uint64_t cpu_ns = 0;
  std::uint64_t memory_peak_bytes = 0;
  std::uint64_t oom_kills = 0;
};

/// The open doors of a leaf: moving a process into it takes no path look-up.
class CgroupDoors {
 public:
  /// Errors: kNotFound when the process has ended, kInternal otherwise.
  base::Result<> admit(pid_t pid) const;

 private:
  friend class CgroupTree;
  std::vector<Fd> procs_;
};

class CgroupTree {
 public:
  enum class Place : std::uint8_t { kInner, kLeaf };

  /// What the kernel gives a new group, and what a process in none has.
  static constexpr std::uint32_t kUsualWeight = 100;
  static constexpr std::uint32_t kWeightMost = 10'000;

  /// Finds the hierarchies in `mountinfo` (the text of /proc/self/mountinfo). Makes nothing yet.
  /// Errors: kUnavailable naming the controller that is mounted nowhere.
  static base::Result<CgroupTree> find(std::string tag, std::string_view mountinfo);

  /// For `ebb doctor --fix` alone. Asks the kernel for cheap moves (remounts cgroup2 with favordynmods and its present
  /// options): without it a move costs 16 ms on kernels from 6.0. Errors: kUnavailable where there is no cgroup2 mount
  /// or the kernel is too old.
  base::Result<> favour_moves() const;

  bool favours_moves() const;

  /// Makes the tag's own directory, and on v2 hands it the controllers.
  base::Result<> make_root() const;
  /// Makes one group; its parent exists. An existing one is fine.
  base::Result<> make(const std::string& path, Place place) const;
  base::Result<> limit(const std::string& path, const CgroupLimits& limits) const;
  /// As much of the processors as its weight gives it, whatever limit() said.
  base::Result<> lift_cpu_limit(const std::string& path) const;
  /// Its weight among its siblings when processors are short: 1 to kWeightMost.
  base::Result<> weigh(const std::string& path, std::uint32_t weight) const;
  /// Whether its processes give way at once to those of its siblings and have what these leave (cpu.idle). It has no
  /// weight of its own for that long. Errors: kNotFound on kernels before 5.15.
  base::Result<> stand_back(const std::string& path, bool back) const;
  /// Stops all processes of a leaf, and those that it gets later, until `freeze` is false. Takes effect a moment after
  /// the return: a process inside the kernel stops when it comes back. Errors: kNotFound when the group is gone.
  base::Result<> freeze(const std::string& path, bool freeze) const;
  /// Whether a frozen process must be thawed for SIGKILL to end it (cgroup v1).
  bool killing_needs_thaw() const { return !holder(&Hierarchy::freezer).unified; }

  base::Result<CgroupDoors> open_doors(const std::string& path) const;
  base::Result<> admit(const std::string& path, pid_t pid) const;
  base::Result<UsageFiles> open_usage(const std::string& path) const;
  /// cgroup v1 kills one process when a group is out of memory: an eventfd that becomes readable then, so that the rest
  /// can be ended too. An invalid descriptor on v2, where `end_together` does it.
  base::Result<Fd> watch_oom(const std::string& path) const;
  /// Memory of the group and all below it that could not be given back at once: without the cache of files. Cheap while
  /// all of it is below `enough`: then the cache is counted.
  std::uint64_t memory_in_use(const std::string& path, std::uint64_t enough) const;
  /// What can be read of it; zeros for a group that is gone.
  CgroupUsage usage(const std::string& path) const;
  /// Of that, the processor time alone, the groups below and those that were there included; 0 when it is not there.
  std::uint64_t cpu_ns(const std::string& path) const;
  /// Pids in the group itself, in any hierarchy, at this moment.
  std::vector<pid_t> members(const std::string& path) const;
  /// True when `pid` is in `path` or below it in every hierarchy. Used where the kernel does not pass pidfds.
  bool contains(const std::string& path, pid_t pid) const;
  /// Removes a group that has neither members nor children. A missing one is fine.
  /// Errors: kUnavailable with EBUSY while something is still in it: try again a little later.
  base::Result<> remove(const std::string& path) const;
  /// SIGKILL to every process in the group itself, which is thawed where that needs it: to all at once, those being
  /// forked included, by cgroup.kill (Linux 5.14, with a cgroup2 mount). Elsewhere to one after the other: repeat until
  /// empty. Returns how many processes were found.
  std::size_t kill_members(const std::string& path) const;
  /// The same for the group and all below it.
  std::size_t kill_all(const std::string& path) const;
  /// remove() from the leaves up. Errors: kUnavailable while anything is in there.
  base::Result<> remove_all(const std::string& path) const;
  /// True when nothing of the tag exists in any hierarchy.
  bool absent() const;

  const std::string& tag() const { return tag_; }
  bool pure_v2() const;

 private:
  struct Hierarchy {
    std::string mount;  // where it is mounted
    bool unified = false;
    bool memory = false;
    bool cpu = false;
    bool cpuacct = false;
    bool pids = false;
    bool freezer = false;
  };
  std::string directory_of(const Hierarchy& hierarchy, const std::string& path) const;
  base::Result<> hand_down(const Hierarchy& hierarchy, const std::string& directory) const;
  std::vector<std::string> children_of(const std::string& path) const;
  const Hierarchy& holder(bool Hierarchy::* controller) const;

  std::string tag_;
  std::vector<Hierarchy> hierarchies_;
  std::string unified_mount_;    // of cgroup2, with or without controllers; empty: none
  std::string unified_options_;  // its present mount options
};

}  // namespace ebb::os
