#include "os/seccomp.h"

#include <fcntl.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <memory>
#include <string>

#include "os/fd.h"

namespace ebb::os {
namespace {

using Context = std::unique_ptr<void, void (*)(void*)>;

// What CPython, numpy, scikit-learn, ONNX Runtime, pip and compilers call, and what is harmless beside it.
constexpr const char* kAllowed[] = {
    // Files.
    "access", "chdir", "chmod", "chown", "close", "close_range", "copy_file_range", "creat", "dup", "dup2", "dup3",
    "faccessat", "faccessat2", "fadvise64", "fallocate", "fchdir", "fchmod", "fchmodat", "fchown", "fchownat", "fcntl",
    "fdatasync", "fgetxattr", "flistxattr", "flock", "fremovexattr", "fsetxattr", "fstat", "fstatfs", "fsync",
    "ftruncate", "futimesat", "getcwd", "getdents", "getdents64", "getxattr", "lchown", "lgetxattr", "link", "linkat",
    "listxattr", "llistxattr", "lremovexattr", "lseek", "lsetxattr", "lstat", "mkdir", "mkdirat", "newfstatat", "open",
    "openat", "openat2", "pipe", "pipe2", "pread64", "preadv", "preadv2", "pwrite64", "pwritev", "pwritev2", "read",
    "readahead", "readlink", "readlinkat", "readv", "removexattr", "rename", "renameat", "renameat2", "rmdir",
    "sendfile", "setxattr", "splice", "stat", "statfs", "statx", "symlink", "symlinkat", "sync", "sync_file_range",
    "syncfs", "tee", "truncate", "umask", "unlink", "unlinkat", "utime", "utimensat", "utimes", "vmsplice", "write",
    "writev", "mknod", "mknodat",
    // Memory.
    "brk", "madvise", "membarrier", "memfd_create", "mincore", "mlock", "mlock2", "mlockall", "mmap", "mprotect",
    "mremap", "msync", "munlock", "munlockall", "munmap", "pkey_alloc", "pkey_free", "pkey_mprotect", "get_mempolicy",
    "mbind", "set_mempolicy",
    // Processes and threads. clone has rules of its own.
    "arch_prctl", "execve", "execveat", "exit", "exit_group", "fork", "vfork", "futex", "futex_waitv",
    "get_robust_list", "set_robust_list", "set_tid_address", "getpid", "getppid", "gettid", "getpgid", "getpgrp",
    "setpgid", "getsid", "setsid", "getpriority", "setpriority", "getrlimit", "setrlimit", "prlimit64", "getrusage",
    "times", "kill", "tkill", "tgkill", "pidfd_open", "pidfd_send_signal", "prctl", "rseq", "sched_get_priority_max",
    "sched_get_priority_min", "sched_getaffinity", "sched_getattr", "sched_getparam", "sched_getscheduler",
    "sched_rr_get_interval", "sched_setaffinity", "sched_setattr", "sched_setparam", "sched_setscheduler",
    "sched_yield", "getcpu", "ioprio_get", "ioprio_set", "wait4", "waitid", "restart_syscall", "seccomp",
    // Identity; all of it within a user namespace with nothing to gain.
    "capget", "capset", "getegid", "geteuid", "getgid", "getgroups", "getresgid", "getresuid", "getuid", "setfsgid",
    "setfsuid", "setgid", "setgroups", "setregid", "setresgid", "setresuid", "setreuid", "setuid", "landlock_add_rule",
    "landlock_create_ruleset", "landlock_restrict_self",
    // Signals and time.
    "alarm", "clock_getres", "clock_gettime", "clock_nanosleep", "getitimer", "gettimeofday", "nanosleep", "pause",
    "rt_sigaction", "rt_sigpending", "rt_sigprocmask", "rt_sigqueueinfo", "rt_sigreturn", "rt_sigsuspend",
    "rt_sigtimedwait", "rt_tgsigqueueinfo", "setitimer", "sigaltstack", "time", "timer_create", "timer_delete",
    "timer_getoverrun", "timer_gettime", "timer_settime", "timerfd_create", "timerfd_gettime", "timerfd_settime",
    // Waiting and sockets. socket has rules of its own.
    "accept", "accept4", "bind", "connect", "epoll_create", "epoll_create1", "epoll_ctl", "epoll_pwait", "epoll_pwait2",
    "epoll_wait", "eventfd", "eventfd2", "getpeername", "getsockname", "getsockopt", "listen", "poll", "ppoll",
    "pselect6", "recvfrom", "recvmmsg", "recvmsg", "select", "sendmmsg", "sendmsg", "sendto", "setsockopt", "shutdown",
    "signalfd", "signalfd4", "socketpair", "inotify_add_watch", "inotify_init", "inotify_init1", "inotify_rm_watch",
    // System V and POSIX queues live in an ipc namespace of their own.
    "mq_getsetattr", "mq_notify", "mq_open", "mq_timedreceive", "mq_timedsend", "mq_unlink", "msgctl", "msgget",
    "msgrcv", "msgsnd", "semctl", "semget", "semop", "semtimedop", "shmat", "shmctl", "shmdt", "shmget", "io_cancel",
    "io_destroy", "io_getevents", "io_setup", "io_submit",
    // The rest. ioctl is narrowed below.
    "getrandom", "ioctl", "sysinfo", "uname"};

// Programs test for these; EPERM tells them more truly than ENOSYS why not.
constexpr const char* kRefused[] = {"add_key",
                                    "bpf",
                                    "chroot",
                                    "delete_module",
                                    "finit_module",
                                    "fsconfig",
                                    "fsmount",
                                    "fsopen",
                                    "fspick",
                                    "init_module",
                                    "io_uring_enter",
                                    "io_uring_register",
                                    "io_uring_setup",
                                    "kcmp",
                                    "kexec_file_load",
                                    "kexec_load",
                                    "keyctl",
                                    "mount_setattr",
                                    "name_to_handle_at",
                                    "open_by_handle_at",
                                    "open_tree",
                                    "perf_event_open",
                                    "pidfd_getfd",
                                    "pivot_root",
                                    "process_madvise",
                                    "process_vm_readv",
                                    "process_vm_writev",
                                    "ptrace",
                                    "quotactl",
                                    "reboot",
                                    "request_key",
                                    "setdomainname",
                                    "sethostname",
                                    "setns",
                                    "swapoff",
                                    "swapon",
                                    "syslog",
                                    "unshare",
                                    "userfaultfd",
                                    "acct"};

// A zygote builds the walls of its children with these; a build gets EPERM.
constexpr const char* kForkCalls[] = {"mount", "move_mount", "umount2"};

constexpr std::uint64_t kCloneSettid = CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID | SIGCHLD;
constexpr std::uint64_t kCloneWalls = CLONE_PARENT | CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS;
constexpr std::uint64_t kCloneFunction = kCloneWalls | CLONE_NEWNET | kCloneSettid;
constexpr std::uint64_t kCloneInstance = kCloneWalls | CLONE_NEWPID | kCloneSettid;
constexpr std::uint64_t kCloneNamespaces =
    CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWNET | CLONE_NEWCGROUP;

constexpr std::uint64_t kLow32 = 0xffffffff;  // the kernel looks at no more of an int argument, so neither may we

int number_of(const char* name) { return seccomp_syscall_resolve_name(name); }

base::Error failed(const char* what, const char* name, int code) {
  return base::os_error(std::string("seccomp: ") + what + " " + name, -code);
}

base::Result<> add(const Context& context, std::uint32_t action, const char* name,
                   std::initializer_list<scmp_arg_cmp> arguments = {}) {
  const int number = number_of(name);
  if (number == __NR_SCMP_ERROR || number < 0) return {};  // unknown to this architecture or libseccomp: stays ENOSYS
  const int code =
      seccomp_rule_add_array(context.get(), action, number, static_cast<unsigned>(arguments.size()), arguments.begin());
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

base::Result<> allow_by_arguments(const Context& context, SyscallProfile profile) {
  // No new namespaces; threads and plain forks have none of these bits.
  EBB_CHECKED(add(context, SCMP_ACT_ALLOW, "clone", {SCMP_A0(SCMP_CMP_MASKED_EQ, kCloneNamespaces, 0)}));
  if (profile == SyscallProfile::kZygote) {
    for (const std::uint64_t word : {kCloneFunction, kCloneInstance, kCloneInstance | CLONE_NEWNET}) {
      EBB_CHECKED(add(context, SCMP_ACT_ALLOW, "clone", {SCMP_A0(SCMP_CMP_EQ, word)}));
    }
    for (const char* name : kForkCalls) EBB_CHECKED(add(context, SCMP_ACT_ALLOW, name));
  }
  // Everyone in a sandbox has a network of its own. Not AF_ALG, AF_VSOCK, AF_PACKET and the exotic rest.
  for (const int family : {AF_UNIX, AF_INET, AF_INET6, AF_NETLINK}) {
    EBB_CHECKED(add(context, SCMP_ACT_ALLOW, "socket",
                    {SCMP_A0(SCMP_CMP_MASKED_EQ, kLow32, static_cast<std::uint64_t>(family))}));
  }
  for (const std::uint64_t persona : {std::uint64_t{0}, kLow32}) {
    EBB_CHECKED(add(context, SCMP_ACT_ALLOW, "personality", {SCMP_A0(SCMP_CMP_MASKED_EQ, kLow32, persona)}));
  }
  return {};
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
  EBB_CHECKED(allow_by_arguments(allow, profile));
  EBB_TRY(filter.allowed_, exported(allow));

  EBB_TRY(const Context refuse, make_context(SCMP_ACT_ALLOW));
  for (const char* name : kRefused) EBB_CHECKED(add(refuse, SCMP_ACT_ERRNO(EPERM), name));
  if (profile == SyscallProfile::kBuild) {
    for (const char* name : kForkCalls) EBB_CHECKED(add(refuse, SCMP_ACT_ERRNO(EPERM), name));
  }
  // Typing into a terminal of somebody else's.
  EBB_CHECKED(add(refuse, SCMP_ACT_ERRNO(EPERM), "ioctl", {SCMP_A1(SCMP_CMP_MASKED_EQ, kLow32, TIOCSTI)}));
  EBB_TRY(filter.refused_, exported(refuse));
  return filter;
}

base::Result<> SyscallFilter::install() const {
  EBB_CHECKED(load(allowed_));
  return load(refused_);  // installed last: of two errnos the kernel reports this one's
}

}  // namespace ebb::os
