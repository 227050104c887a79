#include "launcher/launcher_walls.h"

#include <linux/capability.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "os/credentials.h"
#include "os/seccomp.h"
#include "wire/build_variables.h"

namespace ebb::launcher {
namespace {

// What is kept, and for what. The rest goes: modules, raw disks and ports, clocks, reboot, audit, bpf, perf, kernel
// log.
constexpr std::array kKept = {
    CAP_SYS_ADMIN,        // namespaces, mounts, cgroup options, a peer's pidfd
    CAP_SETUID,           // id maps; becoming the daemon and a sandbox's first user
    CAP_SETGID,           //
    CAP_SETPCAP,          // taking capabilities from children for ever
    CAP_KILL,             // ending sandboxes, whose ids are not ours
    CAP_CHOWN,            // sealing what a build made
    CAP_FOWNER,           //
    CAP_FSETID,           //
    CAP_DAC_OVERRIDE,     // reading and removing it
    CAP_DAC_READ_SEARCH,  //
    CAP_NET_ADMIN,        // networks of sandboxes
    CAP_SYS_PTRACE,       // huge pages for a zygote's memory (process_madvise), /proc of sandboxes
    CAP_SYS_NICE,         //
    CAP_SYS_RESOURCE,     // limits above the hard ones
};

// Read by us, the daemon, libraries of both, or sanitizers. A library to preload (an allocator, a fault injector) was
// chosen by the root who started us; sandboxes have an environment made from nothing.
constexpr std::string_view kVariables[] = {"PATH",         "LD_PRELOAD",   "HOME",          "LANG",          "LC_ALL",
                                           "LC_CTYPE",     "TZ",           "USER",          "NOTIFY_SOCKET", "TMPDIR",
                                           "ASAN_OPTIONS", "LSAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS"};

bool is_kept(std::string_view name) {
  return name.starts_with("EBB_") || name.starts_with("SSL_CERT_") ||
         std::find(std::begin(kVariables), std::end(kVariables), name) != std::end(kVariables);
}

// "NAME=value" with its end.
bool append(const os::Fd& file, std::string_view entry) {
  const auto bytes = static_cast<ssize_t>(entry.size() + 1);
  return ::write(file.get(), entry.data(), entry.size() + 1) == bytes;
}

// The words themselves go too: a sandbox's init is a copy of our memory.
base::Result<os::Fd> shed_environment() {
  os::Fd kept(::memfd_create("ebb-build-variables", MFD_CLOEXEC));
  if (!kept.valid()) return base::os_error("make a file in memory", errno);
  std::vector<char*> shed;
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
    const std::string_view text(*entry);
    if (!is_kept(text.substr(0, text.find('=')))) shed.push_back(*entry);
  }
  for (char* text : shed) {
    const std::string_view whole(text);
    const std::string name(whole.substr(0, whole.find('=')));
    if (wire::is_build_variable(name) && !append(kept, whole)) return base::os_error("keep " + name, errno);
    ::unsetenv(name.c_str());
    std::memset(text, 0, whole.size());
  }
  return kept;
}

// For us, the daemon, who holds secrets, and every sandbox. One byte, not none: where /proc/sys/kernel/core_pattern
// names a program, the kernel starts it as root of the host whatever the limit, and a limit of 1 alone keeps it from
// that.
void dump_no_core() {
  const rlimit one_byte{.rlim_cur = 1, .rlim_max = 1};
  static_cast<void>(::setrlimit(RLIMIT_CORE, &one_byte));
}

}  // namespace

base::Result<os::Fd> shed_inherited_state() {
  static_cast<void>(::close_range(3, ~0U, 0));
  dump_no_core();
  ::umask(022);
  return shed_environment();
}

base::Result<> lower_privilege() {
  EBB_CHECKED(os::keep_capabilities(kKept));
  EBB_CHECKED(os::forbid_new_privileges());
  EBB_TRY(const os::SyscallFilter filter, os::SyscallFilter::compile(os::SyscallProfile::kLauncher));
  return filter.install();
}

}  // namespace ebb::launcher
