// Limits, memory, disk, clock, and the programs and accounts beside the kernel.
#include <array>
#include <charconv>
#include <cstdio>

#include "doctor/checks.h"

namespace ebb::doctor {
namespace {

constexpr std::uint64_t kMi = 1ULL << 20;
constexpr std::uint64_t kGi = 1ULL << 30;
constexpr std::uint64_t kPidFloor = 20'000;          // zygotes have pids above it (launcher/sandbox_init.h)
constexpr std::uint64_t kFilesPerInstance = 6;       // channel, two pipes, two files of usage, one to spare
constexpr std::uint64_t kFilesBeside = 1'024;        // connections, logs, packages
constexpr std::uint64_t kProcessesPerInstance = 8;   // a guess at what functions start
constexpr std::int64_t kBuiltAfter = 1'767'225'600;  // 2026-01-01: an earlier clock is wrong
constexpr std::int64_t kDaySeconds = 86'400;
constexpr std::int64_t kRunscDaysMax = 365;

std::string size(std::uint64_t bytes) {
  std::array<char, 32> text{};
  const double value = static_cast<double>(bytes);
  if (bytes >= kGi) {
    std::snprintf(text.data(), text.size(), "%.1f GiB", value / static_cast<double>(kGi));
  } else {
    std::snprintf(text.data(), text.size(), "%.0f MiB", value / static_cast<double>(kMi));
  }
  return text.data();
}

// --- limits ---

Finding pids(const Host& host, const Wanted& wanted) {
  const std::uint64_t needed = wanted.max_instances * kProcessesPerInstance + kPidFloor;
  if (host.pid_max && *host.pid_max <= kPidFloor + 1'000) {
    return {"pids", Verdict::kProblem, "kernel.pid_max is " + std::to_string(*host.pid_max),
            "sandboxes give zygotes pids above 20000: none can be made", "sysctl -w kernel.pid_max=4194304"};
  }
  const auto low = [&](const std::optional<std::uint64_t>& most, const char* name,
                       const char* remedy) -> std::optional<Finding> {
    if (!most || *most >= needed) return std::nullopt;
    return Finding{"pids", Verdict::kWarning, std::string(name) + " is " + std::to_string(*most),
                   "room for fewer processes than " + std::to_string(wanted.max_instances) +
                       " instances (max_instances) may start",
                   remedy};
  };
  if (auto found = low(host.pid_max, "kernel.pid_max", "sysctl -w kernel.pid_max=4194304")) return *found;
  if (auto found = low(host.threads_max, "kernel.threads-max", "sysctl -w kernel.threads-max=500000")) return *found;
  if (auto found = low(host.pids_here, "pids.max of this cgroup",
                       "TasksMax=infinity in the unit of systemd, or --pids-limit -1 of the container")) {
    return *found;
  }
  return {"pids", Verdict::kOk, "enough process ids", "", ""};
}

Finding files(const Host& host, const Wanted& wanted) {
  const std::uint64_t needed = wanted.max_instances * kFilesPerInstance + kFilesBeside;
  if (!host.files_max || *host.files_max >= needed) return {"open_files", Verdict::kOk, "enough open files", "", ""};
  return {"open_files", Verdict::kWarning, "a process may open " + std::to_string(*host.files_max) + " files",
          std::to_string(wanted.max_instances) + " instances (max_instances) need " + std::to_string(needed),
          "LimitNOFILE=" + std::to_string(needed) + " in the unit of systemd, or ulimit -Hn " + std::to_string(needed)};
}

Finding inotify(const Host& host) {
  if (host.inotify_instances && *host.inotify_instances < 128) {
    return {"inotify", Verdict::kWarning, "fs.inotify.max_user_instances is " + std::to_string(*host.inotify_instances),
            "functions that watch files fail with \"too many open files\": an app shares one user id",
            "sysctl -w fs.inotify.max_user_instances=1024"};
  }
  return {"inotify", Verdict::kOk, "files can be watched", "", ""};
}

// --- machine ---

Finding memory(const Host& host, const Wanted& wanted) {
  if (wanted.memory_budget_bytes > host.memory_bytes) {
    return {"memory", Verdict::kProblem,
            "memory_budget is " + size(wanted.memory_budget_bytes) + ", the machine has " + size(host.memory_bytes),
            "functions would be killed by the kernel, and not only they", "lower memory_budget in the configuration"};
  }
  if (host.memory_available < 512 * kMi) {
    return {"memory", Verdict::kWarning, size(host.memory_available) + " of " + size(host.memory_bytes) + " are free",
            "a runtime takes some 30 MB, each zygote what the function loads", "end what else runs, or add memory"};
  }
  return {"memory", Verdict::kOk, size(host.memory_available) + " of " + size(host.memory_bytes) + " are free", "", ""};
}

Finding overcommit(const Host& host) {
  if (host.overcommit != 2)
    return {"overcommit", Verdict::kOk, "memory of forks is counted when it is written", "", ""};
  return {"overcommit", Verdict::kWarning, "vm.overcommit_memory is 2: each fork counts as a full copy",
          "forks of a zygote with a large model fail although they share its pages",
          "sysctl -w vm.overcommit_memory=0"};
}

Finding huge_pages(const Host& host) {
  if (host.huge_pages == "madvise" || host.huge_pages == "always") {
    return {"huge_pages", Verdict::kOk, "transparent huge pages: " + host.huge_pages, "", ""};
  }
  return {"huge_pages", Verdict::kWarning,
          host.huge_pages.empty() ? "the kernel has no transparent huge pages" : "transparent huge pages: never",
          "forking a zygote costs some 15 ms per GB it holds instead of 2",
          host.huge_pages.empty() ? "install a distribution's kernel"
                                  : "echo madvise > /sys/kernel/mm/transparent_hugepage/enabled"};
}

Finding cpu_pressure(const Host& host) {
  if (host.cpu_pressure) return {"cpu_pressure", Verdict::kOk, "the kernel tells when processors are taken", "", ""};
  return {"cpu_pressure", Verdict::kWarning, "the kernel does not tell when processors are taken (/proc/pressure/cpu)",
          "calls that compute get an instance each however many come: all are slower, and billed for longer",
          "boot with psi=1; without CONFIG_PSI, install a distribution's kernel"};
}

Finding disk(const Host& host, const Wanted& wanted) {
  if (!host.disk) {
    return {"disk", Verdict::kProblem, "nothing is known of the disk below " + wanted.data_dir, "nothing can be stored",
            "name another data_dir in the configuration"};
  }
  const DiskFacts& facts = *host.disk;
  const std::string where = wanted.data_dir + " (" + facts.type + ")";
  if (facts.read_only) {
    return {"disk", Verdict::kProblem, where + " is read-only", "nothing can be deployed",
            "mount -o remount,rw on it, or name another data_dir"};
  }
  if (facts.no_exec || (facts.maps && !*facts.maps)) {
    return {"disk", Verdict::kProblem, where + (facts.no_exec ? " is mounted noexec" : " cannot map files"),
            "native modules of dependencies (numpy and others) cannot be loaded",
            "mount -o remount,exec on it, or name a data_dir on a local disk"};
  }
  if (facts.bytes_free < 256 * kMi || (facts.inodes_all > 0 && facts.inodes_free < 1'000)) {
    return {"disk", Verdict::kProblem,
            where + " is full: " + size(facts.bytes_free) + ", " + std::to_string(facts.inodes_free) + " files free",
            "deployments fail, usage records cannot be kept", "free some space, or name another data_dir"};
  }
  for (const char* remote : {"nfs", "cifs", "smb", "9p", "fuse", "ceph", "glusterfs"}) {
    if (!facts.type.starts_with(remote)) continue;
    return {"disk", Verdict::kWarning, where + " is a remote or user-space file system",
            "SQLite's locks and the map of logs are not safe on every one, and imports are slow",
            "name a data_dir on a local disk"};
  }
  if (facts.bytes_free < 5 * kGi || (facts.inodes_all > 0 && facts.inodes_free < 100'000)) {
    return {"disk", Verdict::kWarning,
            where + ": " + size(facts.bytes_free) + ", " + std::to_string(facts.inodes_free) + " files free",
            "dependencies of one machine-learning app take a gigabyte or more", "free some space"};
  }
  return {"disk", Verdict::kOk, where + ": " + size(facts.bytes_free) + " free", "", ""};
}

Finding clock(const Host& host) {
  if (host.wall_seconds < kBuiltAfter) {
    return {"clock", Verdict::kProblem, "the clock is years slow", "usage records, bills and certificates are wrong",
            "timedatectl set-ntp true"};
  }
  if (!host.boot_clock) {
    return {"clock", Verdict::kProblem, "CLOCK_BOOTTIME cannot be read", "waits cannot be timed",
            "install a distribution's kernel"};
  }
  if (host.clock_synchronised && !*host.clock_synchronised) {
    return {"clock", Verdict::kWarning, "the clock is not synchronised",
            "usage records and logs drift from true time; durations stay right", "apt-get install chrony"};
  }
  return {"clock", Verdict::kOk, "synchronised, CLOCK_BOOTTIME works", "", ""};
}

// --- programs and accounts ---

Finding privilege(const Host& host) {
  if (host.root) return {"privilege", Verdict::kOk, "asked as root: everything was looked at", "", ""};
  return {"privilege", Verdict::kWarning, "not asked as root", "what only root can try was left out",
          "sudo ebb doctor"};
}

Finding account(const Host& host, const Wanted& wanted) {
  if (!host.account) {
    return {"account", Verdict::kProblem, "there is no account '" + wanted.account + "' for the daemon",
            "the node does not start", "useradd --system --no-create-home --shell /usr/sbin/nologin " + wanted.account};
  }
  if (host.account->uid == 0) {
    return {"account", Verdict::kProblem, "the daemon's account '" + wanted.account + "' is root",
            "the node does not start", "name another account under user in the configuration"};
  }
  return {"account", Verdict::kOk, "the daemon runs as '" + host.account->name + "'", "", ""};
}

Finding uid_range(const Host& host, const Wanted& wanted) {
  const std::uint64_t first = wanted.uid_base;
  const std::uint64_t end = first + wanted.uid_count;
  for (const IdRange& range : host.id_ranges) {
    if (range.first >= end || range.first + range.count <= first) continue;
    return {"uid_range", Verdict::kWarning,
            "user ids " + std::to_string(first) + " to " + std::to_string(end - 1) + " are given out by " +
                range.owner + " too",
            "processes of others would have the user ids of functions, and could signal or read them",
            "name a free range in the configuration: uid_base (a multiple of 65536)"};
  }
  return {"uid_range", Verdict::kOk,
          "user ids " + std::to_string(first) + " to " + std::to_string(end - 1) + " are nobody else's", "", ""};
}

Finding python(const Host& host, const Wanted& wanted) {
  if (!host.python_version) {
    return {"python", Verdict::kProblem, "no Python at " + wanted.python, "functions of runtime python3 cannot start",
            "apt-get install python3, or name it under python in the configuration"};
  }
  int minor = 0;
  const std::string& version = *host.python_version;
  const bool three = version.starts_with("3.");
  if (three) std::from_chars(version.data() + 2, version.data() + version.size(), minor);
  if (minor < 11) {
    return {"python", Verdict::kProblem, "Python " + version + " is older than 3.11",
            "functions of runtime python3 cannot start", "install Python 3.11 and name it under python"};
  }
  return {"python", Verdict::kOk, "Python " + version, "", ""};
}

Finding node(const Host& host) {
  if (!host.node_version) {
    return {"node", Verdict::kOk, "no /usr/bin/node: functions of runtime node are refused (apt-get install nodejs)",
            "", ""};
  }
  int major = 0;
  const std::string& version = *host.node_version;
  if (version.starts_with("v")) std::from_chars(version.data() + 1, version.data() + version.size(), major);
  if (major < 18) {
    return {"node", Verdict::kWarning, "Node " + version + " is older than 18", "functions of runtime node are refused",
            "install a nodejs of 18 or newer"};
  }
  return {"node", Verdict::kOk, "Node " + version, "", ""};
}

Finding npm(const Host& host) {
  if (host.npm_version) {
    return {"npm", Verdict::kOk, "npm " + *host.npm_version + ": package-lock.json is installed at deploy", "", ""};
  }
  return {"npm", Verdict::kOk,
          "no npm: packages come with the code, as node_modules; a package-lock.json without them is refused (apt-get "
          "install npm)",
          "", ""};
}

Finding egress(const Host& host) {
  if (!host.veth || !host.nftables) {
    return {"egress", Verdict::kOk, "not tried: that takes root", "", ""};
  }
  if (*host.veth && *host.nftables) {
    return {"egress", Verdict::kOk, "network: egress can be had (veth, nftables)", "", ""};
  }
  return {"egress", Verdict::kWarning, !*host.veth ? "the kernel makes no veth pair" : "the kernel has no nftables",
          "functions with network: egress are refused; network: none works",
          "modprobe veth nf_tables (or a distribution's kernel)"};
}

// "runsc version release-20240101.0" or "runsc version 0.0~20221219.0": the day is the first run of eight digits.
std::optional<std::int64_t> day_of(const std::string& version) {
  std::size_t digits = 0;
  for (std::size_t at = 0; at <= version.size(); ++at) {
    const bool digit = at < version.size() && version[at] >= '0' && version[at] <= '9';
    if (digit) {
      ++digits;
      continue;
    }
    if (digits == 8) {
      int year = 0, month = 0, day = 0;
      const char* const text = version.data() + at - 8;
      std::from_chars(text, text + 4, year);
      std::from_chars(text + 4, text + 6, month);
      std::from_chars(text + 6, text + 8, day);
      if (year < 2018 || month < 1 || month > 12 || day < 1) return std::nullopt;
      return (year - 1970) * 365LL + (year - 1969) / 4 + (month - 1) * 30LL + day;  // a few days off at most
    }
    digits = 0;
  }
  return std::nullopt;
}

Finding gvisor(const Host& host) {
  if (!host.runsc_version) {
    return {"gvisor", Verdict::kOk, "runsc is not installed: functions with isolation: gvisor are refused", "", ""};
  }
  const auto day = day_of(*host.runsc_version);
  if (!day) {
    return {"gvisor", Verdict::kWarning, *host.runsc_version + ", whose age is not known",
            "weaknesses found since may be open", "install a release from https://gvisor.dev/docs/user_guide/install/"};
  }
  if (host.wall_seconds / kDaySeconds - *day > kRunscDaysMax) {
    return {"gvisor", Verdict::kWarning, *host.runsc_version + " is older than a year",
            "weaknesses found since are open behind isolation: gvisor, and it is slow (no systrap)",
            "install a release from https://gvisor.dev/docs/user_guide/install/"};
  }
  return {"gvisor", Verdict::kOk, *host.runsc_version, "", ""};
}

Finding images(const Host& host) {
  if (host.skopeo_version)
    return {"images", Verdict::kOk, "container images can be had: " + *host.skopeo_version, "", ""};
  return {"images", Verdict::kOk, "skopeo is not installed: functions with image: are refused (apt-get install skopeo)",
          "", ""};
}

}  // namespace

void examine_limits(const Host& host, const Wanted& wanted, std::vector<Finding>& findings) {
  findings.push_back(pids(host, wanted));
  findings.push_back(files(host, wanted));
  findings.push_back(inotify(host));
}

void examine_machine(const Host& host, const Wanted& wanted, std::vector<Finding>& findings) {
  findings.push_back(memory(host, wanted));
  findings.push_back(overcommit(host));
  findings.push_back(huge_pages(host));
  findings.push_back(cpu_pressure(host));
  findings.push_back(disk(host, wanted));
  findings.push_back(clock(host));
}

void examine_programs(const Host& host, const Wanted& wanted, std::vector<Finding>& findings) {
  findings.push_back(privilege(host));
  findings.push_back(account(host, wanted));
  findings.push_back(uid_range(host, wanted));
  findings.push_back(python(host, wanted));
  findings.push_back(node(host));
  findings.push_back(npm(host));
  findings.push_back(egress(host));
  findings.push_back(gvisor(host));
  findings.push_back(images(host));
}

}  // namespace ebb::doctor
