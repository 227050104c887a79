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
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <memory>
#include <span>
#include <string>

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

base::Result<> load(const std::vector<sock_filter>& program) {
  const sock_fprog filter{.len = static_cast<unsigned short>(program.size()),
                          .filter = const_cast<sock_filter*>(program.data())};
  if (::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) != 0) return base::os_error("load seccomp filter", errno);
  return {};
}

}  // namespace

base::Result<SyscallFilter> SyscallFilter::compile(SyscallProfile profile) {
  SyscallFilter filter;
  EBB_TRY(const Context allow, make_context(SCMP_ACT_ERRNO(ENOSYS)));
  for (const char* name : kAllowed) EBB_CHECKED(add(allow, SCMP_ACT_ALLOW, name));
  for (const Rule& rule : kAllowedIf) {
    if (rule.who == Who::kZygote && profile != SyscallProfile::kZygote) continue;
    EBB_CHECKED(add(allow, SCMP_ACT_ALLOW, rule.name, rule.conditions));
  }
  EBB_TRY(filter.allowed_, exported(allow));

  EBB_TRY(const Context refuse, make_context(SCMP_ACT_ALLOW));
  for (const char* name : kRefused) EBB_CHECKED(add(refuse, SCMP_ACT_ERRNO(EPERM), name));
  if (profile != SyscallProfile::kZygote) {
    for (const char* name : kForkOnly) EBB_CHECKED(add(refuse, SCMP_ACT_ERRNO(EPERM), name));
  }
  for (const Rule& rule : kRefusedIf) EBB_CHECKED(add(refuse, SCMP_ACT_ERRNO(EPERM), rule.name, rule.conditions));
  EBB_TRY(filter.refused_, exported(refuse));
  return filter;
}

base::Result<> SyscallFilter::install() const {
  EBB_CHECKED(load(allowed_));
  return load(refused_);  // installed last: of two errnos the kernel reports this one's
}

}  // namespace ebb::os
