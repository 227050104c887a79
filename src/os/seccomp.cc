#include "os/seccomp.h"

#include <fcntl.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "os/fd.h"

namespace ebb::os {
namespace {

using Context = std::unique_ptr<void, void (*)(void*)>;

constexpr std::uint64_t kLow32 = 0xffffffff;

enum class Who : std::uint8_t { kEvery, kZygote };

// Holds when (argument & mask) == value.
struct Condition {
  unsigned argument = 0;
  std::uint64_t mask = 0;
  std::uint64_t value = 0;
};
struct Rule {
  Who who = Who::kEvery;
  const char* name = nullptr;
  std::array<Condition, 2> conditions;  // all of them; a mask of 0 with the value 0 always holds
};

constexpr std::uint64_t as_int(std::int64_t value) { return static_cast<std::uint64_t>(value) & kLow32; }
constexpr std::uint64_t as_word(std::int64_t value) { return static_cast<std::uint64_t>(value); }

// What the words of syscalls.def stand for.
#define EBB_ARG(index, value) \
  Condition { index, kLow32, as_int(value) }
#define EBB_WORD(index, value) \
  Condition { index, ~std::uint64_t{0}, as_word(value) }
#define EBB_NONE(index, bits) Condition{index, as_word(bits), 0}
#define EBB_ALL(index, bits) \
  Condition { index, as_word(bits), as_word(bits) }
#define EBB_CLONE_NAMESPACES \
  (CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWNET | CLONE_NEWCGROUP)
#define EBB_CLONE_WALLS                                                                            \
  (CLONE_PARENT | CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_CHILD_SETTID | \
   CLONE_CHILD_CLEARTID | SIGCHLD)
#define EBB_CLONE_FUNCTION (EBB_CLONE_WALLS | CLONE_NEWNET)
#define EBB_CLONE_INSTANCE (EBB_CLONE_WALLS | CLONE_NEWPID)
#define EBB_MOVE_MOUNT_F_EMPTY_PATH 4

constexpr const char* kAllowed[] = {
#define EBB_ALLOW(name) #name,
#include "os/syscalls.def"
};
constexpr const char* kRefused[] = {
#define EBB_REFUSE(name) #name,
#define EBB_REFUSE_TWICE(name) #name,
#include "os/syscalls.def"
};
constexpr const char* kForkOnly[] = {
#define EBB_FORK_ONLY(name) #name,
#include "os/syscalls.def"
};
constexpr Rule kAllowedIf[] = {
#define EBB_ALLOW_IF(who, name, ...) {Who::who, #name, {__VA_ARGS__}},
#include "os/syscalls.def"
};
constexpr Rule kRefusedIf[] = {
#define EBB_REFUSE_IF(name, ...) {Who::kEvery, #name, {__VA_ARGS__}},
#include "os/syscalls.def"
};

constexpr std::string_view kLauncher[] = {
#define EBB_LAUNCHER(name) #name,
#include "os/syscalls.def"
};
constexpr std::string_view kNotDaemon[] = {
#define EBB_NOT_DAEMON(name) #name,
#include "os/syscalls.def"
};
constexpr std::string_view kDaemon[] = {
#define EBB_DAEMON(name) #name,
#include "os/syscalls.def"
};
constexpr Rule kDaemonIf[] = {
#define EBB_DAEMON_IF(name, ...) {Who::kEvery, #name, {__VA_ARGS__}},
#include "os/syscalls.def"
};

bool among(std::span<const std::string_view> names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

int number_of(const char* name) { return seccomp_syscall_resolve_name(name); }

base::Error failed(const char* what, const char* name, int code) {
  return base::os_error(std::string("seccomp: ") + what + " " + name, -code);
}

base::Result<> add(const Context& context, std::uint32_t action, const char* name,
                   std::span<const Condition> conditions = {}) {
  const int number = number_of(name);
  if (number == __NR_SCMP_ERROR || number < 0) return {};  // unknown to this architecture or libseccomp: stays ENOSYS
  std::vector<scmp_arg_cmp> comparisons;
  for (const Condition& condition : conditions) {
    if (condition.mask == 0) continue;
    comparisons.push_back({condition.argument, SCMP_CMP_MASKED_EQ, condition.mask, condition.value});
  }
  const int code = seccomp_rule_add_array(context.get(), action, number, static_cast<unsigned>(comparisons.size()),
                                          comparisons.data());
  if (code != 0) return failed("rule for", name, code);
  return {};
}

base::Result<Context> make_context(std::uint32_t otherwise) {
  Context context(seccomp_init(otherwise), [](void* filter) { seccomp_release(filter); });
  if (!context) return base::internal("seccomp: out of memory");
  const int code = seccomp_attr_set(context.get(), SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
  if (code != 0) return failed("set", "bad architecture action", code);
  // A binary tree of numbers instead of a list: the kernel's cache makes most calls free, this the others.
  static_cast<void>(seccomp_attr_set(context.get(), SCMP_FLTATR_CTL_OPTIMIZE, 2));
  return context;
}

base::Result<std::vector<sock_filter>> exported(const Context& context) {
  const Fd memory(::memfd_create("seccomp", MFD_CLOEXEC));
  if (!memory.valid()) return base::os_error("memfd_create", errno);
  const int code = seccomp_export_bpf(context.get(), memory.get());
  if (code != 0) return base::os_error("seccomp: export", -code);
  struct stat status{};
  if (::fstat(memory.get(), &status) != 0) return base::os_error("fstat", errno);
  std::vector<sock_filter> program(static_cast<std::size_t>(status.st_size) / sizeof(sock_filter));
  if (::pread(memory.get(), program.data(), static_cast<std::size_t>(status.st_size), 0) != status.st_size) {
    return base::internal("seccomp: short read of the exported program");
  }
  return program;
}

base::Result<> load(const std::vector<sock_filter>& program, unsigned flags) {
  const sock_fprog filter{.len = static_cast<unsigned short>(program.size()),
                          .filter = const_cast<sock_filter*>(program.data())};
  const long loaded = ::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &filter);
  if (loaded < 0) return base::os_error("load seccomp filter", errno);
  // With TSYNC a positive number is a thread that could not follow.
  if (loaded > 0) return base::internal("thread " + std::to_string(loaded) + " has a seccomp filter of its own");
  return {};
}

bool allows(SyscallProfile profile, std::string_view name) {
  return profile != SyscallProfile::kDaemon || !among(kNotDaemon, name);
}

base::Result<> allow_all(const Context& allow, SyscallProfile profile) {
  for (const char* name : kAllowed) {
    if (allows(profile, name)) EBB_CHECKED(add(allow, SCMP_ACT_ALLOW, name));
  }
  if (profile == SyscallProfile::kLauncher) {
    for (const std::string_view name : kLauncher) EBB_CHECKED(add(allow, SCMP_ACT_ALLOW, name.data()));
    return {};
  }
  if (profile == SyscallProfile::kDaemon) {
    for (const std::string_view name : kDaemon) EBB_CHECKED(add(allow, SCMP_ACT_ALLOW, name.data()));
    for (const Rule& rule : kDaemonIf) EBB_CHECKED(add(allow, SCMP_ACT_ALLOW, rule.name, rule.conditions));
    return {};
  }
  for (const Rule& rule : kAllowedIf) {
    if (rule.who == Who::kZygote && profile != SyscallProfile::kZygote) continue;
    EBB_CHECKED(add(allow, SCMP_ACT_ALLOW, rule.name, rule.conditions));
  }
  return {};
}

base::Result<> refuse_all(const Context& refuse, SyscallProfile profile) {
  for (const char* name : kRefused) {
    if (profile == SyscallProfile::kLauncher && among(kLauncher, name)) continue;
    if (profile == SyscallProfile::kDaemon && among(kDaemon, name)) continue;
    EBB_CHECKED(add(refuse, SCMP_ACT_ERRNO(EPERM), name));
  }
  if (profile == SyscallProfile::kLauncher) return {};
  if (profile == SyscallProfile::kDaemon) {
    for (const std::string_view name : kNotDaemon) EBB_CHECKED(add(refuse, SCMP_ACT_ERRNO(EPERM), name.data()));
  }
  if (profile != SyscallProfile::kZygote) {
    for (const char* name : kForkOnly) EBB_CHECKED(add(refuse, SCMP_ACT_ERRNO(EPERM), name));
  }
  for (const Rule& rule : kRefusedIf) EBB_CHECKED(add(refuse, SCMP_ACT_ERRNO(EPERM), rule.name, rule.conditions));
  return {};
}

}  // namespace

base::Result<SyscallFilter> SyscallFilter::compile(SyscallProfile profile) {
  SyscallFilter filter;
  EBB_TRY(const Context allow, make_context(SCMP_ACT_ERRNO(ENOSYS)));
  EBB_CHECKED(allow_all(allow, profile));
  EBB_TRY(filter.allowed_, exported(allow));
  EBB_TRY(const Context refuse, make_context(SCMP_ACT_ALLOW));
  EBB_CHECKED(refuse_all(refuse, profile));
  EBB_TRY(filter.refused_, exported(refuse));
  return filter;
}

base::Result<> SyscallFilter::install(Threads threads) const {
  const unsigned flags = threads == Threads::kAll ? SECCOMP_FILTER_FLAG_TSYNC : 0;
  EBB_CHECKED(load(allowed_, flags));
  return load(refused_, flags);  // installed last: of two errnos the kernel reports this one's
}

}  // namespace ebb::os
