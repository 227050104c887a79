// What `ebb doctor` looks at: facts about this machine, read once, without judgement.
//
// 1. A fact that could not be read is absent, never guessed. 2. Probing changes nothing that stays: what is made is
// made in short-lived children or removed. 3. Checks (checks.h) see this struct only, so that every verdict can be
// tested with made-up machines.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "os/user_namespaces.h"

namespace ebb::doctor {

/// What the node would use: from the configuration file.
struct Wanted {
  std::string data_dir;
  std::string account;
  std::string python;
  std::string runsc = "runsc";
  std::uint32_t uid_base = 0;
  std::uint64_t uid_count = 0;
  std::uint64_t memory_budget_bytes = 0;  // 0: automatic
  std::uint64_t max_instances = 0;
};

struct CgroupFacts {
  std::map<std::string, std::string> mounts{};  // of a controller, "memory" -> "/sys/fs/cgroup/memory"
  std::string unified_mount{};                  // of cgroup2; empty: none
  bool favordynmods = false;
  bool writable = false;  // a directory could be made where the node makes its own
};

struct DiskFacts {
  std::string directory{};  // data_dir, or its nearest parent that exists
  std::string type{};       // "ext4"
  std::uint64_t bytes_free = 0;
  std::uint64_t inodes_free = 0;
  std::uint64_t inodes_all = 0;
  bool read_only = false;
  bool no_exec = false;
  std::optional<bool> maps{};  // a file can be mapped, shared and executable; absent: not tried
};

struct AccountFacts {
  std::string name{};
  std::uint32_t uid = 0;
};

/// A range of user ids that someone else uses.
struct IdRange {
  std::string owner{};  // "/etc/subuid: alice"
  std::uint64_t first = 0;
  std::uint64_t count = 0;
};

struct Host {
  bool root = false;
  std::string kernel{};  // uname -r
  std::string machine{};
  CgroupFacts cgroups{};
  std::optional<os::UserNamespaceProbe> user_namespaces{};
  std::map<std::string, std::uint64_t> namespaces_max{};  // "pid" -> user.max_pid_namespaces
  std::optional<bool> unprivileged_clone{};               // kernel.unprivileged_userns_clone
  std::optional<bool> apparmor_restricts{};               // kernel.apparmor_restrict_unprivileged_userns
  bool last_pid = false;                                  // kernel.ns_last_pid exists
  std::string seccomp_actions{};
  std::optional<int> landlock_abi{};                                   // absent: not in this kernel, or switched off
  std::optional<std::uint64_t> pid_max{}, threads_max{}, pids_here{};  // pids_here: of the doctor's own cgroup
  std::optional<std::uint64_t> files_max{};                            // RLIMIT_NOFILE, raised as a node does
  std::optional<std::uint64_t> inotify_instances{};
  std::uint64_t memory_bytes = 0, memory_available = 0;
  std::optional<int> overcommit{};
  std::string huge_pages{};   // "always", "madvise", "never"
  bool cpu_pressure = false;  // /proc/pressure/cpu can be read
  std::optional<DiskFacts> disk{};
  std::optional<bool> clock_synchronised{};
  bool boot_clock = false;
  std::int64_t wall_seconds = 0;
  std::string core_pattern{};
  std::optional<int> ptrace_scope{};
  std::vector<std::string> cpu_weaknesses{};  // "mds: Vulnerable..."
  std::optional<AccountFacts> account{};
  std::optional<std::string> python_version{};  // "3.11.2"
  std::optional<std::string> node_version{};    // "v18.19.0"
  std::optional<std::string> npm_version{};     // "9.2.0"
  std::optional<bool> veth{}, nftables{};       // can be made in a network namespace of our own
  std::optional<std::string> runsc_version{};   // first line of runsc --version; absent: not found
  std::optional<std::string> skopeo_version{};
  std::vector<IdRange> id_ranges{};
};

Host probe_host(const Wanted& wanted);

}  // namespace ebb::doctor
