// Kernel, cgroups, namespaces and the filters: what the walls stand on.
#include <charconv>
#include <optional>

#include "doctor/checks.h"

namespace ebb::doctor {
namespace {

using os::UserNamespaces;

constexpr std::uint64_t kNamespacesPerInstance = 1;  // of each kind
constexpr std::uint64_t kNamespacesSpare = 256;

struct KernelVersion {
  int major = 0, minor = 0;
  bool at_least(int wanted_major, int wanted_minor) const {
    return major != wanted_major ? major > wanted_major : minor >= wanted_minor;
  }
};

std::optional<KernelVersion> version_of(const std::string& release) {
  KernelVersion version;
  const char* const end = release.data() + release.size();
  const auto major = std::from_chars(release.data(), end, version.major);
  if (major.ec != std::errc() || major.ptr == end || *major.ptr != '.') return std::nullopt;
  if (std::from_chars(major.ptr + 1, end, version.minor).ec != std::errc()) return std::nullopt;
  return version;
}

Finding kernel(const Host& host) {
  const auto version = version_of(host.kernel);
  if (!version) {
    return {"kernel", Verdict::kWarning, "Linux '" + host.kernel + "', a version that is not understood",
            "nothing is known about it", ""};
  }
  if (!version->at_least(5, 12)) {
    return {"kernel", Verdict::kProblem, "Linux " + host.kernel + ", older than 5.12",
            "mount_setattr and others are missing: no sandbox can be made",
            "install a kernel from 5.12, best 6.1 or newer"};
  }
  return {"kernel", Verdict::kOk, "Linux " + host.kernel, "", ""};
}

Finding machine(const Host& host) {
  if (host.machine == "x86_64") return {"machine", Verdict::kOk, host.machine, "", ""};
  return {"machine", Verdict::kWarning, host.machine, "Ebb is tested on x86_64 only", "run the tests: ./dev test"};
}

Finding cgroups(const Host& host) {
  const CgroupFacts& facts = host.cgroups;
  std::string missing;
  bool v1 = false, v2 = false;
  for (const char* controller : {"memory", "cpu", "pids"}) {
    const auto found = facts.mounts.find(controller);
    if (found == facts.mounts.end()) {
      missing += (missing.empty() ? "" : ", ") + std::string(controller);
    } else {
      (found->second == facts.unified_mount ? v2 : v1) = true;
    }
  }
  const std::string mode =
      v1 ? (facts.unified_mount.empty() ? "v1" : "hybrid (v1 controllers beside a v2 mount)") : "v2";
  if (!missing.empty()) {
    return {"cgroups", Verdict::kProblem, "no cgroup controller " + missing + " can be used",
            "functions could not be limited, so the node does not start",
            "mount -t cgroup2 none /sys/fs/cgroup; where a controller is off, boot with cgroup_enable=memory"};
  }
  if (host.root && !facts.writable) {
    return {"cgroups", Verdict::kProblem, "cgroups are " + mode + ", but no group can be made in them",
            "the node does not start", "in a container: run it with its own, writable cgroup tree; else remount it rw"};
  }
  return {"cgroups", Verdict::kOk, mode + (v1 && v2 ? ", controllers on both" : ""), "", ""};
}

Finding favordynmods(const Host& host) {
  const auto version = version_of(host.kernel);
  if (host.cgroups.favordynmods) {
    return {"favordynmods", Verdict::kOk, "moves between cgroups are cheap (favordynmods is set until reboot)", "", ""};
  }
  if (!version || !version->at_least(6, 0)) {
    return {"favordynmods", Verdict::kOk, "not needed: moves between cgroups are cheap on this kernel", "", ""};
  }
  if (host.cgroups.unified_mount.empty()) {
    return {"favordynmods", Verdict::kWarning, "there is no cgroup2 mount to set favordynmods on",
            "a cold start may take some 16 ms more",
            "mkdir -p /sys/fs/cgroup/unified && mount -t cgroup2 none /sys/fs/cgroup/unified && ebb doctor --fix "
            "favordynmods"};
  }
  return {"favordynmods", Verdict::kWarning, "moves between cgroups wait for all CPUs (favordynmods is not set)",
          "a cold start may take some 16 ms more; with it, fork and exit of every process of the machine cost a little "
          "more, until reboot",
          "ebb doctor --fix favordynmods"};
}

std::string setting_that_forbids(const Host& host) {
  const auto most = host.namespaces_max.find("user");
  if (most != host.namespaces_max.end() && most->second < kNamespacesSpare) {
    return "sysctl -w user.max_user_namespaces=100000";
  }
  if (host.unprivileged_clone && !*host.unprivileged_clone) return "sysctl -w kernel.unprivileged_userns_clone=1";
  if (host.apparmor_restricts && *host.apparmor_restricts) {
    return "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0";
  }
  return "look for what forbids it: a container runtime's seccomp profile, or /proc masked by mounts over it";
}

constexpr const char* kSecondPath =
    "functions are not forked from zygotes: each instance starts fresh and runs its own init (tens to hundreds of "
    "milliseconds instead of a few), `instances: fresh` in the node's log";

Finding user_namespaces(const Host& host) {
  if (!host.user_namespaces) {
    const std::string setting = setting_that_forbids(host);
    if (setting.starts_with("sysctl")) {
      return {"user_namespaces", Verdict::kWarning, "a setting forbids unprivileged user namespaces", kSecondPath,
              setting};
    }
    return {"user_namespaces", Verdict::kWarning, "not tried: that takes root", "", "sudo ebb doctor"};
  }
  switch (host.user_namespaces->level) {
    case UserNamespaces::kForAll:
      return {"user_namespaces", Verdict::kOk, "zygotes can give their forks user namespaces of their own", "", ""};
    case UserNamespaces::kForRoot:
      return {"user_namespaces", Verdict::kWarning,
              "only root can use user namespaces (" + host.user_namespaces->obstacle + ")", kSecondPath,
              setting_that_forbids(host)};
    case UserNamespaces::kNone: break;
  }
  return {"user_namespaces", Verdict::kWarning,
          "no user namespace can be made (" + host.user_namespaces->obstacle + ")",
          std::string(kSecondPath) + "; and sandboxes stand without that wall", setting_that_forbids(host)};
}

Finding other_namespaces(const Host& host, const Wanted& wanted) {
  const std::uint64_t needed = wanted.max_instances * kNamespacesPerInstance + kNamespacesSpare;
  std::string low, command;
  for (const auto& [kind, most] : host.namespaces_max) {
    if (kind == "user" && most == 0) continue;  // said above
    if (most >= needed || kind == "time") continue;
    low += (low.empty() ? "" : ", ") + kind + " (" + std::to_string(most) + ")";
    command += (command.empty() ? "sysctl -w" : "") + std::string(" user.max_") + kind +
               "_namespaces=" + std::to_string(needed);
  }
  if (low.empty()) return {"namespace_limits", Verdict::kOk, "enough namespaces for max_instances", "", ""};
  return {"namespace_limits", Verdict::kWarning, "few namespaces may be made: " + low,
          "starts fail once they are used up, before max_instances (" + std::to_string(wanted.max_instances) +
              ") is reached",
          command};
}

Finding last_pid(const Host& host) {
  if (host.last_pid) return {"ns_last_pid", Verdict::kOk, "pids of a namespace can be raised", "", ""};
  return {"ns_last_pid", Verdict::kProblem, "kernel.ns_last_pid is missing (CONFIG_CHECKPOINT_RESTORE)",
          "a zygote and its forks could have equal pids, and with them equal random numbers: no sandbox is made",
          "install a distribution's kernel"};
}

Finding seccomp(const Host& host) {
  if (host.seccomp_actions.empty()) {
    return {"seccomp", Verdict::kProblem, "the kernel has no system-call filters (CONFIG_SECCOMP_FILTER)",
            "no sandbox can be made", "install a distribution's kernel"};
  }
  for (const char* action : {"kill_process", "errno"}) {
    if (host.seccomp_actions.find(action) == std::string::npos) {
      return {"seccomp", Verdict::kProblem, std::string("seccomp lacks the action ") + action, "no sandbox can be made",
              "install a kernel from 5.12"};
    }
  }
  return {"seccomp", Verdict::kOk, "system-call filters work", "", ""};
}

Finding landlock(const Host& host) {
  if (host.landlock_abi) {
    return {"landlock", Verdict::kOk, "landlock, ABI " + std::to_string(*host.landlock_abi), "", ""};
  }
  return {"landlock", Verdict::kWarning, "landlock is missing or switched off",
          "one wall less: what a function may open is held by mounts and ids alone",
          "boot with lsm=landlock,... in front of the list in /sys/kernel/security/lsm (kernel 5.13 or newer)"};
}

Finding ptrace_scope(const Host& host) {
  // A sandbox's filter refuses ptrace, so this guards against an escape only.
  if (!host.ptrace_scope) {
    return {"ptrace_scope", Verdict::kOk, "no yama: ptrace is refused by the sandboxes' own filter", "", ""};
  }
  return {"ptrace_scope", Verdict::kOk, "kernel.yama.ptrace_scope is " + std::to_string(*host.ptrace_scope), "", ""};
}

Finding core_pattern(const Host& host) {
  // A pipe is none of a sandbox's: its limit of one byte keeps it from that (launcher_walls.cc). A socket has no limit.
  if (!host.core_pattern.starts_with('@')) {
    return {"core_pattern", Verdict::kOk, "a crash in a sandbox reaches no program of the host", "", ""};
  }
  return {"core_pattern", Verdict::kWarning, "the memory of what crashes is sent to " + host.core_pattern.substr(1),
          "a crashing function's memory is read by a program of the host: more to attack, and slow",
          "sysctl -w kernel.core_pattern=core"};
}

Finding cpu(const Host& host) {
  if (host.cpu_weaknesses.empty()) {
    return {"cpu", Verdict::kOk, "no unmitigated weakness of this CPU is known to the kernel", "", ""};
  }
  std::string list;
  for (const std::string& weakness : host.cpu_weaknesses) list += (list.empty() ? "" : "; ") + weakness;
  return {"cpu", Verdict::kWarning, "unmitigated: " + list,
          "code in one sandbox may read memory of another or of the host, slowly",
          "update microcode and kernel, and remove mitigations=off from the boot line"};
}

}  // namespace

void examine_kernel(const Host& host, std::vector<Finding>& findings) {
  findings.push_back(kernel(host));
  findings.push_back(machine(host));
  findings.push_back(cpu(host));
  findings.push_back(cgroups(host));
  findings.push_back(favordynmods(host));
}

void examine_walls(const Host& host, const Wanted& wanted, std::vector<Finding>& findings) {
  findings.push_back(user_namespaces(host));
  findings.push_back(other_namespaces(host, wanted));
  findings.push_back(last_pid(host));
  findings.push_back(seccomp(host));
  findings.push_back(landlock(host));
  findings.push_back(ptrace_scope(host));
  findings.push_back(core_pattern(host));
}

std::vector<Finding> examine(const Host& host, const Wanted& wanted) {
  std::vector<Finding> findings;
  examine_kernel(host, findings);
  examine_walls(host, wanted, findings);
  examine_limits(host, wanted, findings);
  examine_machine(host, wanted, findings);
  examine_programs(host, wanted, findings);
  return findings;
}

}  // namespace ebb::doctor
