// Reading the facts: /proc, /sys and a few harmless tries.
#include <fcntl.h>
#include <pwd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/timex.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <array>
#include <charconv>
#include <ctime>
#include <filesystem>
#include <sstream>

#include "doctor/host.h"
#include "doctor/programs.h"
#include "os/file.h"
#include "os/landlock.h"
#include "os/open_files.h"

namespace ebb::doctor {
namespace {

constexpr unsigned kKernelTable = 200'000;  // lines of a table that are looked at, whatever it holds

std::string line_of(const std::string& path) {
  const base::Result<std::string> text = os::read_file(path);
  if (!text) return "";
  return text->substr(0, text->find('\n'));
}

std::optional<std::uint64_t> number_at(const std::string& path) {
  const base::Result<std::string> text = os::read_file(path);
  if (!text) return std::nullopt;
  const base::Result<std::uint64_t> number = os::number_in(*text, "");
  return number ? std::optional(*number) : std::nullopt;
}

std::vector<std::string> split(const std::string& text, char separator) {
  std::vector<std::string> words;
  std::istringstream stream(text);
  for (std::string word; std::getline(stream, word, separator);) {
    if (!word.empty()) words.push_back(word);
  }
  return words;
}

// /proc/self/mountinfo: id parent major:minor root point options [tags...] - type source super-options
void read_cgroups(CgroupFacts& facts) {
  const base::Result<std::string> mounts = os::read_file("/proc/self/mountinfo");
  if (!mounts) return;
  std::istringstream lines(*mounts);
  for (std::string line; std::getline(lines, line);) {
    const std::size_t dash = line.find(" - ");
    if (dash == std::string::npos) continue;
    const std::vector<std::string> head = split(line.substr(0, dash), ' ');
    const std::vector<std::string> tail = split(line.substr(dash + 3), ' ');
    if (head.size() < 5 || tail.size() < 3) continue;
    if (tail[0] == "cgroup2" && facts.unified_mount.empty()) {
      facts.unified_mount = head[4];
      facts.favordynmods = tail[2].find("favordynmods") != std::string::npos;
      for (const std::string& controller : split(line_of(head[4] + "/cgroup.controllers"), ' ')) {
        facts.mounts.emplace(controller, head[4]);
      }
    } else if (tail[0] == "cgroup") {
      for (const std::string& option : split(tail[2], ',')) facts.mounts.emplace(option, head[4]);
    }
  }
  facts.writable = true;
  for (const char* controller : {"memory", "pids"}) {
    const auto mount = facts.mounts.find(controller);
    if (mount != facts.mounts.end() && ::access(mount->second.c_str(), W_OK) != 0) facts.writable = false;
  }
}

void read_namespaces(Host& host) {
  for (const char* kind : {"user", "mnt", "pid", "ipc", "uts", "net", "cgroup"}) {
    if (const auto most = number_at("/proc/sys/user/max_" + std::string(kind) + "_namespaces")) {
      host.namespaces_max[kind] = *most;
    }
  }
  if (const auto flag = number_at("/proc/sys/kernel/unprivileged_userns_clone")) host.unprivileged_clone = *flag != 0;
  if (const auto flag = number_at("/proc/sys/kernel/apparmor_restrict_unprivileged_userns")) {
    host.apparmor_restricts = *flag != 0;
  }
  host.last_pid = ::access("/proc/sys/kernel/ns_last_pid", F_OK) == 0;
}

void read_filters(Host& host) {
  host.seccomp_actions = line_of("/proc/sys/kernel/seccomp/actions_avail");
  if (const int abi = os::landlock_abi(); abi > 0) host.landlock_abi = abi;
  if (const auto scope = number_at("/proc/sys/kernel/yama/ptrace_scope")) host.ptrace_scope = static_cast<int>(*scope);
  host.core_pattern = line_of("/proc/sys/kernel/core_pattern");
}

void read_limits(Host& host) {
  host.pid_max = number_at("/proc/sys/kernel/pid_max");
  host.threads_max = number_at("/proc/sys/kernel/threads-max");
  const base::Result<std::string> groups = os::read_file("/proc/self/cgroup");
  for (const std::string& line : split(groups ? *groups : "", '\n')) {
    const std::vector<std::string> parts = split(line, ':');
    const bool v2 = line.starts_with("0::");
    if (!v2 && (parts.size() < 3 || parts[1] != "pids")) continue;
    const auto pids = host.cgroups.mounts.find("pids");
    const std::string v1_mount = pids == host.cgroups.mounts.end() ? "" : pids->second;
    const std::string& mount = v2 ? host.cgroups.unified_mount : v1_mount;
    if (mount.empty()) continue;
    if (const auto most = number_at(mount + parts.back() + "/pids.max")) host.pids_here = most;  // "max": no number
  }
  if (const std::uint64_t files = os::raise_open_files()) host.files_max = files;  // as the launcher does
  host.inotify_instances = number_at("/proc/sys/fs/inotify/max_user_instances");
}

void read_memory(Host& host) {
  const base::Result<std::string> text = os::read_file("/proc/meminfo");
  if (text) {
    if (const auto all = os::number_in(*text, "MemTotal:")) host.memory_bytes = *all * 1024;
    if (const auto free = os::number_in(*text, "MemAvailable:")) host.memory_available = *free * 1024;
  }
  if (const auto mode = number_at("/proc/sys/vm/overcommit_memory")) host.overcommit = static_cast<int>(*mode);
  const std::string modes = line_of("/sys/kernel/mm/transparent_hugepage/enabled");  // "always [madvise] never"
  const std::size_t open = modes.find('['), close = modes.find(']');
  if (open != std::string::npos && close != std::string::npos)
    host.huge_pages = modes.substr(open + 1, close - open - 1);
}

void read_cpu(Host& host) {
  host.cpu_pressure = line_of("/proc/pressure/cpu").starts_with("some ");
  std::error_code failed;
  for (const auto& entry : std::filesystem::directory_iterator("/sys/devices/system/cpu/vulnerabilities", failed)) {
    const std::string state = line_of(entry.path().string());
    if (state.starts_with("Vulnerable")) host.cpu_weaknesses.push_back(entry.path().filename().string() + ": " + state);
  }
}

// A shared map that may be executed, of a file without a name: what the loader does with native modules.
std::optional<bool> can_map(const std::string& directory) {
  const os::Fd file(::open(directory.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
  if (!file.valid() || ::ftruncate(file.get(), 4096) != 0) return std::nullopt;
  void* page = ::mmap(nullptr, 4096, PROT_READ | PROT_EXEC, MAP_SHARED, file.get(), 0);
  if (page == MAP_FAILED) return false;
  ::munmap(page, 4096);
  return true;
}

std::string type_of(const std::string& directory) {
  // The mount with the longest path that is a prefix counts; of two on one path the later hides the earlier.
  const base::Result<std::string> mounts = os::read_file("/proc/self/mounts");
  std::string type = "unknown", longest;
  for (const std::string& line : split(mounts ? *mounts : "", '\n')) {
    const std::vector<std::string> words = split(line, ' ');
    if (words.size() < 3) continue;
    const std::string& point = words[1];
    const bool above = directory == point || point == "/" || directory.starts_with(point + "/");
    if (!above || point.size() < longest.size()) continue;
    longest = point;
    type = words[2];
  }
  return type;
}

void read_disk(Host& host, const std::string& data_dir) {
  std::error_code failed;
  std::filesystem::path place = data_dir;
  while (!std::filesystem::exists(place, failed) && place.has_relative_path()) place = place.parent_path();
  const std::filesystem::path real = std::filesystem::canonical(place, failed);
  if (failed) return;
  struct statvfs facts{};
  if (::statvfs(real.c_str(), &facts) != 0) return;
  host.disk = DiskFacts{.directory = real.string(),
                        .type = type_of(real.string()),
                        .bytes_free = facts.f_bavail * facts.f_frsize,
                        .inodes_free = facts.f_favail,
                        .inodes_all = facts.f_files,
                        .read_only = (facts.f_flag & ST_RDONLY) != 0,
                        .no_exec = (facts.f_flag & ST_NOEXEC) != 0,
                        .maps = can_map(real.string())};
}

void read_clock(Host& host) {
  timex state{};
  const int got = ::adjtimex(&state);
  if (got >= 0) host.clock_synchronised = (state.status & STA_UNSYNC) == 0;
  timespec now{};
  host.boot_clock = ::clock_gettime(CLOCK_BOOTTIME, &now) == 0;
  host.wall_seconds = std::time(nullptr);
}

void read_account(Host& host, const std::string& name) {
  std::array<char, 16'384> buffer{};
  passwd entry{};
  passwd* found = nullptr;
  ::getpwnam_r(name.c_str(), &entry, buffer.data(), buffer.size(), &found);
  if (found != nullptr) host.account = AccountFacts{.name = name, .uid = found->pw_uid};
}

// name:first:count, of those who may map ids; and accounts whose own id lies in the range of functions.
void read_id_ranges(Host& host, const Wanted& wanted) {
  for (const char* path : {"/etc/subuid", "/etc/subgid"}) {
    const base::Result<std::string> text = os::read_file(path);
    unsigned lines = 0;
    for (const std::string& line : split(text ? *text : "", '\n')) {
      if (++lines > kKernelTable) break;
      const std::vector<std::string> parts = split(line, ':');
      if (parts.size() != 3) continue;
      IdRange range{.owner = std::string(path) + ": " + parts[0]};
      std::from_chars(parts[1].data(), parts[1].data() + parts[1].size(), range.first);
      std::from_chars(parts[2].data(), parts[2].data() + parts[2].size(), range.count);
      host.id_ranges.push_back(std::move(range));
    }
  }
  const base::Result<std::string> accounts = os::read_file("/etc/passwd");
  for (const std::string& line : split(accounts ? *accounts : "", '\n')) {
    const std::vector<std::string> parts = split(line, ':');
    std::uint64_t uid = 0;
    if (parts.size() < 3) continue;
    std::from_chars(parts[2].data(), parts[2].data() + parts[2].size(), uid);
    if (uid < wanted.uid_base || uid >= wanted.uid_base + wanted.uid_count) continue;
    host.id_ranges.push_back({.owner = "/etc/passwd: " + parts[0], .first = uid, .count = 1});
  }
}

}  // namespace

Host probe_host(const Wanted& wanted) {
  Host host;
  host.root = ::geteuid() == 0;
  utsname name{};
  if (::uname(&name) == 0) {
    host.kernel = name.release;
    host.machine = name.machine;
  }
  read_cgroups(host.cgroups);
  read_namespaces(host);
  if (const auto probe = os::probe_user_namespaces(wanted.uid_base)) host.user_namespaces = *probe;
  read_filters(host);
  read_limits(host);
  read_memory(host);
  read_cpu(host);
  read_disk(host, wanted.data_dir);
  read_clock(host);
  read_account(host, wanted.account);
  read_id_ranges(host, wanted);
  probe_programs(host, wanted);
  return host;
}

}  // namespace ebb::doctor
