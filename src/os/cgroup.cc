#include "os/cgroup.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <memory>
#include <set>
#include <sstream>

#include "os/file.h"

namespace ebb::os {
namespace {

constexpr std::uint64_t kCpuPeriodUs = 100'000;
constexpr std::uint64_t kCpuQuotaUsMin = 1'000;  // the kernel takes no less

bool has_word(std::string_view list, std::string_view word, char separator) {
  while (!list.empty()) {
    const std::string_view item = list.substr(0, list.find(separator));
    if (item == word) return true;
    list.remove_prefix(std::min(list.size(), item.size() + 1));
  }
  return false;
}

struct MountLine {
  std::string point, options, type, super_options;
};

// mountinfo(5): id parent major:minor root point options [tags...] - type source super-options
std::optional<MountLine> parse_mount(const std::string& line) {
  std::istringstream words(line);
  std::string skipped, word;
  MountLine mount;
  words >> skipped >> skipped >> skipped >> skipped >> mount.point >> mount.options;
  while (words >> word && word != "-") {
  }
  words >> mount.type >> skipped >> mount.super_options;
  if (!words) return std::nullopt;
  return mount;
}

// Files of optional features (swap accounting, older kernels) may be missing.
base::Result<> write_if_present(const std::string& path, std::string_view content) {
  base::Result<> written = write_file(path, content);
  if (!written && written.error().os_errno == ENOENT) return {};
  return written;
}

std::uint64_t number_or_zero(const std::string& path, std::string_view key) {
  const base::Result<std::string> text = read_file(path);
  if (!text) return 0;
  const base::Result<std::uint64_t> number = number_in(*text, key);
  return number ? *number : 0;
}

base::Result<> admit_through(const Fd& procs, pid_t pid) {
  char digits[16];
  const char* end = std::to_chars(digits, digits + sizeof digits, pid).ptr;
  const auto size = static_cast<std::size_t>(end - digits);
  if (::write(procs.get(), digits, size) == static_cast<ssize_t>(size)) return {};
  base::Error error = base::os_error("move process " + std::to_string(pid) + " to its cgroup", errno);
  error.code = error.os_errno == ESRCH ? base::Code::kNotFound : base::Code::kInternal;
  return error;
}

}  // namespace

base::Result<> CgroupDoors::admit(pid_t pid) const {
  for (const Fd& procs : procs_) EBB_CHECKED(admit_through(procs, pid));
  return {};
}

base::Result<CgroupTree> CgroupTree::find(std::string tag, std::string_view mountinfo) {
  EBB_CHECK(!tag.empty() && tag.find('/') == std::string::npos);
  CgroupTree tree;
  tree.tag_ = std::move(tag);
  Hierarchy found_once;  // a controller that is mounted twice counts where it is seen first
  std::vector<Hierarchy> seen;
  std::istringstream lines{std::string(mountinfo)};
  for (std::string line; std::getline(lines, line);) {
    const std::optional<MountLine> mount = parse_mount(line);
    if (!mount || (mount->type != "cgroup" && mount->type != "cgroup2")) continue;
    Hierarchy hierarchy{.mount = mount->point, .unified = mount->type == "cgroup2"};
    std::string controllers = mount->super_options;
    char separator = ',';
    if (hierarchy.unified) {
      if (!tree.unified_mount_.empty()) continue;
      tree.unified_mount_ = mount->point;
      // Options of the file system only; those of the mount point (rw, nosuid...) are flags to mount(2).
      tree.unified_options_ = mount->super_options;
      const base::Result<std::string> listed = read_file(mount->point + "/cgroup.controllers");
      controllers = listed ? *listed : "";
      while (!controllers.empty() && controllers.back() == '\n') controllers.pop_back();
      separator = ' ';
    }
    const auto claim = [&](bool Hierarchy::* controller, std::string_view name) {
      if (found_once.*controller || !has_word(controllers, name, separator)) return;
      found_once.*controller = hierarchy.*controller = true;
    };
    claim(&Hierarchy::memory, "memory");
    claim(&Hierarchy::cpu, "cpu");
    // v2 counts CPU time in every group with the cpu controller.
    claim(&Hierarchy::cpuacct, hierarchy.unified ? "cpu" : "cpuacct");
    claim(&Hierarchy::pids, "pids");
    // Every v2 group can be frozen, whatever controllers it has; and unlike v1's, what is frozen there can be killed.
    if (!hierarchy.unified) claim(&Hierarchy::freezer, "freezer");
    seen.push_back(std::move(hierarchy));
  }
  for (Hierarchy& hierarchy : seen) {
    if (!tree.unified_mount_.empty()) hierarchy.freezer = hierarchy.unified;
    if (hierarchy.memory || hierarchy.cpu || hierarchy.cpuacct || hierarchy.pids || hierarchy.freezer) {
      tree.hierarchies_.push_back(std::move(hierarchy));
    }
  }
  found_once.freezer |= !tree.unified_mount_.empty();
  const std::pair<bool, const char*> needed[] = {{found_once.memory, "memory"},
                                                 {found_once.cpu, "cpu"},
                                                 {found_once.cpuacct, "cpuacct"},
                                                 {found_once.pids, "pids"},
                                                 {found_once.freezer, "freezer"}};
  for (const auto& [found, name] : needed) {
    if (found) continue;
    return base::unavailable(
        "the cgroup controller '" + std::string(name) +
        "' is not mounted; mount cgroup2 on /sys/fs/cgroup, or enable it with the kernel parameter "
        "cgroup_enable=" +
        name);
  }
  return tree;
}

bool CgroupTree::pure_v2() const { return hierarchies_.size() == 1 && hierarchies_.front().unified; }

bool CgroupTree::favours_moves() const { return has_word(unified_options_, "favordynmods", ','); }

base::Result<> CgroupTree::favour_moves() const {
  if (unified_mount_.empty()) return base::unavailable("no cgroup2 mount to ask for cheap moves");
  if (favours_moves()) return {};
  std::string options = "favordynmods";
  std::istringstream present(unified_options_);
  for (std::string option; std::getline(present, option, ',');) {
    if (option != "rw" && option != "ro") options += "," + option;
  }
  // Flags that are not repeated in a remount are lost.
  struct Flag {
    const char* name;
    unsigned long flag;
  };
  unsigned long flags = MS_REMOUNT;
  EBB_TRY(const std::string mountinfo, read_file("/proc/self/mountinfo"));
  std::istringstream lines(mountinfo);
  for (std::string line; std::getline(lines, line);) {
    const std::optional<MountLine> mount = parse_mount(line);
    if (!mount || mount->point != unified_mount_ || mount->type != "cgroup2") continue;
    for (const Flag& known : {Flag{"nosuid", MS_NOSUID}, Flag{"nodev", MS_NODEV}, Flag{"noexec", MS_NOEXEC},
                              Flag{"relatime", MS_RELATIME}, Flag{"noatime", MS_NOATIME}, Flag{"ro", MS_RDONLY}}) {
      if (has_word(mount->options, known.name, ',')) flags |= known.flag;
    }
  }
  if (::mount(nullptr, unified_mount_.c_str(), nullptr, flags, options.c_str()) == 0) return {};
  base::Error error = base::os_error("remount " + unified_mount_ + " with favordynmods", errno);
  error.code = base::Code::kUnavailable;
  return error;
}

std::string CgroupTree::directory_of(const Hierarchy& hierarchy, const std::string& path) const {
  std::string directory = hierarchy.mount + "/" + tag_;
  if (!path.empty()) directory += "/" + path;
  return directory;
}

// v2: a group's children have the controllers that the group hands down.
base::Result<> CgroupTree::hand_down(const Hierarchy& hierarchy, const std::string& directory) const {
  if (!hierarchy.unified) return {};
  if (!hierarchy.memory && !hierarchy.cpu && !hierarchy.pids) return {};
  std::string wanted;
  if (hierarchy.memory) wanted += "+memory ";
  if (hierarchy.cpu) wanted += "+cpu ";
  if (hierarchy.pids) wanted += "+pids ";
  return write_file(directory + "/cgroup.subtree_control", wanted);
}

base::Result<> CgroupTree::make_root() const {
  for (const Hierarchy& hierarchy : hierarchies_) {
    base::Result<> handed = hand_down(hierarchy, hierarchy.mount);
    if (!handed && handed.error().os_errno == EBUSY) {
      // The root of a container's cgroup namespace is no true root: processes in it must first move to a leaf.
      const std::string leaf = hierarchy.mount + "/init";
      if (::mkdir(leaf.c_str(), 0755) != 0 && errno != EEXIST) return base::os_error("make " + leaf, errno);
      EBB_TRY(const std::string processes, read_file(hierarchy.mount + "/cgroup.procs"));
      std::istringstream pids(processes);
      for (std::string pid; pids >> pid;) static_cast<void>(write_file(leaf + "/cgroup.procs", pid));
      handed = hand_down(hierarchy, hierarchy.mount);
    }
    EBB_CHECKED(handed);
  }
  return make("", Place::kInner);
}

base::Result<> CgroupTree::make(const std::string& path, Place place) const {
  for (const Hierarchy& hierarchy : hierarchies_) {
    const std::string directory = directory_of(hierarchy, path);
    if (::mkdir(directory.c_str(), 0755) != 0 && errno != EEXIST) return base::os_error("make " + directory, errno);
    if (place == Place::kInner) EBB_CHECKED(hand_down(hierarchy, directory));
  }
  return {};
}

const CgroupTree::Hierarchy& CgroupTree::holder(bool Hierarchy::* controller) const {
  const auto at = std::find_if(hierarchies_.begin(), hierarchies_.end(),
                               [&](const Hierarchy& hierarchy) { return hierarchy.*controller; });
  EBB_CHECK(at != hierarchies_.end());  // find() saw to it
  return *at;
}

base::Result<> CgroupTree::limit(const std::string& path, const CgroupLimits& limits) const {
  if (limits.memory_bytes) {
    const Hierarchy& memory = holder(&Hierarchy::memory);
    const std::string directory = directory_of(memory, path);
    const std::string bytes = std::to_string(*limits.memory_bytes);
    if (memory.unified) {
      EBB_CHECKED(write_file(directory + "/memory.max", bytes));
      EBB_CHECKED(write_if_present(directory + "/memory.swap.max", "0"));
    } else {
      // The limit with swap is never the lower one: raising begins with it, lowering ends with it.
      static_cast<void>(write_if_present(directory + "/memory.memsw.limit_in_bytes", bytes));
      EBB_CHECKED(write_file(directory + "/memory.limit_in_bytes", bytes));
      EBB_CHECKED(write_if_present(directory + "/memory.memsw.limit_in_bytes", bytes));
      // v1 counts what lies in TCP sockets apart, and not at all without a limit.
      EBB_CHECKED(write_if_present(directory + "/memory.kmem.tcp.limit_in_bytes", bytes));
    }
    if (memory.unified && limits.end_together) EBB_CHECKED(write_file(directory + "/memory.oom.group", "1"));
  }
  if (limits.cpu_millis) {
    const Hierarchy& cpu = holder(&Hierarchy::cpu);
    const std::string directory = directory_of(cpu, path);
    const std::string quota =
        std::to_string(std::max(kCpuQuotaUsMin, std::uint64_t{*limits.cpu_millis} * kCpuPeriodUs / 1000));
    if (cpu.unified) {
      EBB_CHECKED(write_file(directory + "/cpu.max", quota + " " + std::to_string(kCpuPeriodUs)));
    } else {
      EBB_CHECKED(write_file(directory + "/cpu.cfs_period_us", std::to_string(kCpuPeriodUs)));
      EBB_CHECKED(write_file(directory + "/cpu.cfs_quota_us", quota));
    }
  }
  if (limits.pids) {
    const std::string directory = directory_of(holder(&Hierarchy::pids), path);
    EBB_CHECKED(write_file(directory + "/pids.max", std::to_string(*limits.pids)));
  }
  return {};
}

base::Result<> CgroupTree::lift_cpu_limit(const std::string& path) const {
  const Hierarchy& cpu = holder(&Hierarchy::cpu);
  const std::string directory = directory_of(cpu, path);
  return cpu.unified ? write_file(directory + "/cpu.max", "max") : write_file(directory + "/cpu.cfs_quota_us", "-1");
}

base::Result<> CgroupTree::weigh(const std::string& path, std::uint32_t weight) const {
  const Hierarchy& cpu = holder(&Hierarchy::cpu);
  const std::string directory = directory_of(cpu, path);
  if (cpu.unified) return write_file(directory + "/cpu.weight", std::to_string(weight));
  return write_file(directory + "/cpu.shares", std::to_string(std::max(2u, weight * 1024 / kUsualWeight)));
}

base::Result<> CgroupTree::stand_back(const std::string& path, bool back) const {
  return write_file(directory_of(holder(&Hierarchy::cpu), path) + "/cpu.idle", back ? "1" : "0");
}

base::Result<> CgroupTree::freeze(const std::string& path, bool freeze) const {
  const Hierarchy& freezer = holder(&Hierarchy::freezer);
  const std::string directory = directory_of(freezer, path);
  base::Result<> written = freezer.unified ? write_file(directory + "/cgroup.freeze", freeze ? "1" : "0")
                                           : write_file(directory + "/freezer.state", freeze ? "FROZEN" : "THAWED");
  if (written) return written;
  base::Error error = std::move(written).error();
  if (error.os_errno == ENOENT || error.os_errno == ENODEV) error.code = base::Code::kNotFound;
  return error;
}

base::Result<CgroupDoors> CgroupTree::open_doors(const std::string& path) const {
  CgroupDoors doors;
  for (const Hierarchy& hierarchy : hierarchies_) {
    const std::string file = directory_of(hierarchy, path) + "/cgroup.procs";
    Fd procs(::open(file.c_str(), O_WRONLY | O_CLOEXEC));
    if (!procs.valid()) return base::os_error("open " + file, errno);
    doors.procs_.push_back(std::move(procs));
  }
  return doors;
}

base::Result<> CgroupTree::admit(const std::string& path, pid_t pid) const {
  EBB_TRY(const CgroupDoors doors, open_doors(path));
  return doors.admit(pid);
}

base::Result<UsageFiles> CgroupTree::open_usage(const std::string& path) const {
  const Hierarchy& cpu = holder(&Hierarchy::cpuacct);
  const Hierarchy& memory = holder(&Hierarchy::memory);
  const std::string cpu_file = directory_of(cpu, path) + (cpu.unified ? "/cpu.stat" : "/cpuacct.usage");
  const std::string peak_file =
      directory_of(memory, path) + (memory.unified ? "/memory.peak" : "/memory.max_usage_in_bytes");
  UsageFiles files;
  files.cpu = Fd(::open(cpu_file.c_str(), O_RDONLY | O_CLOEXEC));
  if (!files.cpu.valid()) return base::os_error("open " + cpu_file, errno);
  files.memory_peak = Fd(::open(peak_file.c_str(), O_RDWR | O_CLOEXEC));
  // v2 before 6.12 has a read-only peak.
  if (!files.memory_peak.valid()) files.memory_peak = Fd(::open(peak_file.c_str(), O_RDONLY | O_CLOEXEC));
  if (!files.memory_peak.valid()) return base::os_error("open " + peak_file, errno);
  return files;
}

base::Result<Fd> CgroupTree::watch_oom(const std::string& path) const {
  const Hierarchy& memory = holder(&Hierarchy::memory);
  if (memory.unified) return Fd();
  const std::string directory = directory_of(memory, path);
  Fd event(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!event.valid()) return base::os_error("eventfd", errno);
  const Fd control(::open((directory + "/memory.oom_control").c_str(), O_RDONLY | O_CLOEXEC));
  if (!control.valid()) return base::os_error("open " + directory + "/memory.oom_control", errno);
  EBB_CHECKED(write_file(directory + "/cgroup.event_control",
                         std::to_string(event.get()) + " " + std::to_string(control.get())));
  return event;
}

std::uint64_t CgroupTree::memory_in_use(const std::string& path, std::uint64_t enough) const {
  const Hierarchy& memory = holder(&Hierarchy::memory);
  const std::string directory = directory_of(memory, path);
  const std::uint64_t all =
      number_or_zero(directory + (memory.unified ? "/memory.current" : "/memory.usage_in_bytes"), "");
  if (all < enough) return all;
  // Files in a tmpfs are no cache: they count as shared memory, not as files on an inactive or active list.
  const std::string prefix = memory.unified ? "" : "total_";
  const base::Result<std::string> stat = read_file(directory + "/memory.stat");  // summed up by the kernel at each read
  const auto bytes_of = [&](const char* key) -> std::uint64_t {
    if (!stat) return 0;
    const base::Result<std::uint64_t> number = number_in(*stat, prefix + key);
    return number ? *number : 0;
  };
  const std::uint64_t cache = bytes_of("inactive_file") + bytes_of("active_file");
  return all - std::min(all, cache);
}

std::uint64_t CgroupTree::cpu_ns(const std::string& path) const {
  const Hierarchy& cpu = holder(&Hierarchy::cpuacct);
  const std::string directory = directory_of(cpu, path);
  return cpu.unified ? number_or_zero(directory + "/cpu.stat", "usage_usec") * 1000
                     : number_or_zero(directory + "/cpuacct.usage", "");
}

CgroupUsage CgroupTree::usage(const std::string& path) const {
  const Hierarchy& memory = holder(&Hierarchy::memory);
  const std::string memory_directory = directory_of(memory, path);
  CgroupUsage usage;
  usage.cpu_ns = cpu_ns(path);
  usage.memory_peak_bytes =
      number_or_zero(memory_directory + (memory.unified ? "/memory.peak" : "/memory.max_usage_in_bytes"), "");
  usage.oom_kills =
      number_or_zero(memory_directory + (memory.unified ? "/memory.events" : "/memory.oom_control"), "oom_kill");
  return usage;
}

std::vector<pid_t> CgroupTree::members(const std::string& path) const {
  std::set<pid_t> pids;
  for (const Hierarchy& hierarchy : hierarchies_) {
    const base::Result<std::string> text = read_file(directory_of(hierarchy, path) + "/cgroup.procs");
    if (!text) continue;
    std::istringstream numbers(*text);
    // 0 stands for a process outside our pid namespace; nothing we made.
    for (pid_t pid = 0; numbers >> pid;) {
      if (pid > 0) pids.insert(pid);
    }
  }
  return {pids.begin(), pids.end()};
}

bool CgroupTree::contains(const std::string& path, pid_t pid) const {
  const base::Result<std::string> text = read_file("/proc/" + std::to_string(pid) + "/cgroup");
  if (!text) return false;
  const std::string wanted = "/" + tag_ + "/" + path;
  std::size_t matches = 0;
  std::istringstream lines(*text);
  for (std::string line; std::getline(lines, line);) {
    const std::size_t at = line.find(wanted);
    if (at == std::string::npos) continue;
    const std::size_t end = at + wanted.size();
    if (end == line.size() || line[end] == '/') ++matches;
  }
  return matches >= hierarchies_.size();
}

base::Result<> CgroupTree::remove(const std::string& path) const {
  for (const Hierarchy& hierarchy : hierarchies_) {
    const std::string directory = directory_of(hierarchy, path);
    if (::rmdir(directory.c_str()) == 0 || errno == ENOENT) continue;
    base::Error error = base::os_error("remove cgroup " + directory, errno);
    if (error.os_errno == EBUSY) error.code = base::Code::kUnavailable;
    return error;
  }
  return {};
}

std::vector<std::string> CgroupTree::children_of(const std::string& path) const {
  std::set<std::string> names;
  for (const Hierarchy& hierarchy : hierarchies_) {
    const std::unique_ptr<DIR, int (*)(DIR*)> directory(::opendir(directory_of(hierarchy, path).c_str()),
                                                        [](DIR* open) { return ::closedir(open); });
    if (!directory) continue;
    while (const dirent* entry = ::readdir(directory.get())) {
      if (entry->d_type == DT_DIR && entry->d_name[0] != '.') names.insert(entry->d_name);
    }
  }
  std::vector<std::string> children;
  for (const std::string& name : names) children.push_back(path.empty() ? name : path + "/" + name);
  return children;
}

std::size_t CgroupTree::kill_members(const std::string& path) const {
  const std::vector<pid_t> pids = members(path);
  if (pids.empty()) return 0;                              // of an inner group the kernel would kill all below it
  const Hierarchy& freezer = holder(&Hierarchy::freezer);  // the unified one where there is any
  if (freezer.unified && write_file(directory_of(freezer, path) + "/cgroup.kill", "1")) return pids.size();
  for (const pid_t pid : pids) ::kill(pid, SIGKILL);
  if (killing_needs_thaw()) static_cast<void>(freeze(path, false));
  return pids.size();
}

std::size_t CgroupTree::kill_all(const std::string& path) const {
  std::size_t found = kill_members(path);
  for (const std::string& child : children_of(path)) found += kill_all(child);
  return found;
}

base::Result<> CgroupTree::remove_all(const std::string& path) const {
  for (const std::string& child : children_of(path)) EBB_CHECKED(remove_all(child));
  return remove(path);
}

bool CgroupTree::absent() const {
  return std::none_of(hierarchies_.begin(), hierarchies_.end(), [&](const Hierarchy& hierarchy) {
    return ::access(directory_of(hierarchy, "").c_str(), F_OK) == 0;
  });
}

}  // namespace ebb::os
