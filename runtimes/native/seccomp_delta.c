#define _GNU_SOURCE
#include "seccomp_delta.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__x86_64__)
#define EBB_AUDIT_ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define EBB_AUDIT_ARCH AUDIT_ARCH_AARCH64
#else
#error "name the audit architecture of this machine"
#endif

#ifndef SYS_mount_setattr
#define SYS_mount_setattr 442
#endif

enum { kX32Bit = 0x40000000 };
enum {
  kNamespaceFlags =
      CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET
};

#define LOAD(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define RETURN(what) BPF_STMT(BPF_RET | BPF_K, (what))
// Each is complete in itself, so that no jump crosses another line of the table.
#define DENY(number) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (number), 0, 1), RETURN(SECCOMP_RET_ERRNO | EPERM)

static const struct sock_filter kProgram[] = {
    LOAD(arch),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, EBB_AUDIT_ARCH, 1, 0),
    RETURN(SECCOMP_RET_KILL_PROCESS),
    LOAD(nr),
#if defined(__x86_64__)
    BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, kX32Bit, 0, 1),
    RETURN(SECCOMP_RET_KILL_PROCESS),
#endif
    // clone: the flags are the first argument; their low word holds every namespace bit.
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone, 0, 4),
    LOAD(args[0]),
    BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, kNamespaceFlags, 0, 1),
    RETURN(SECCOMP_RET_ERRNO | EPERM),
    RETURN(SECCOMP_RET_ALLOW),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone3, 0, 1),
    RETURN(SECCOMP_RET_ERRNO | ENOSYS),
#define EBB_FORK_ONLY(name) DENY(SYS_##name),
#define EBB_REFUSE_TWICE(name) DENY(SYS_##name),
#include "../../src/os/syscalls.def"
    RETURN(SECCOMP_RET_ALLOW),
};

int ebb_seccomp_delta(void) {
  const struct sock_fprog program = {sizeof kProgram / sizeof *kProgram, (struct sock_filter*)kProgram};
  return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program);
}
