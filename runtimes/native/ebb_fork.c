#define _GNU_SOURCE
#include "ebb_fork.h"

#include <dlfcn.h>
#include <errno.h>
#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

typedef void (*handlers_fn)(void);
static handlers_fn run_prepare;
static handlers_fn run_parent;
static handlers_fn run_child;

// The launcher's seccomp filter allows these two words and no others.
enum {
  kCommonFlags = CLONE_PARENT | CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_CHILD_SETTID |
                 CLONE_CHILD_CLEARTID | SIGCHLD,
};

static handlers_fn find(const char* name) {
  // ISO C has no conversion from an object pointer to a function pointer; POSIX promises that it works.
  handlers_fn fn;
  *(void**)&fn = dlsym(RTLD_DEFAULT, name);
  return fn;
}

void ebb_fork_init(void) {
  run_prepare = find("ebb_atfork_prepare");
  run_parent = find("ebb_atfork_parent");
  run_child = find("ebb_atfork_child");
}

static unsigned long flags_of(enum ebb_fork_kind kind) {
  switch (kind) {
    case kEbbForkFunction: return kCommonFlags | CLONE_NEWNET;
    case kEbbForkInstance: return kCommonFlags | CLONE_NEWPID;
    case kEbbForkInstanceOwnNetwork: return kCommonFlags | CLONE_NEWPID | CLONE_NEWNET;
  }
  return 0;
}

pid_t ebb_fork(enum ebb_fork_kind kind) {
  // glibc keeps the thread id in the thread's descriptor and asked the kernel to clear it there when the thread ends.
  // Naming the same address again lets the kernel write the child's id into the child's copy.
  pid_t* tid_address = NULL;
  if (prctl(PR_GET_TID_ADDRESS, &tid_address, 0, 0, 0) != 0) return -1;
  const pid_t own = getpid();
  if (tid_address == NULL || *tid_address != own) {
    errno = EINVAL;
    return -1;
  }
  struct robust_list_head* robust = NULL;
  size_t robust_size = 0;
  if (syscall(SYS_get_robust_list, 0, &robust, &robust_size) != 0) robust = NULL;

  if (run_prepare != NULL) run_prepare();
#if defined(__x86_64__)
  const long pid = syscall(SYS_clone, flags_of(kind), 0, NULL, tid_address, 0);
#else
  const long pid = syscall(SYS_clone, flags_of(kind), 0, NULL, 0, tid_address);
#endif
  if (pid != 0) {
    const int clone_errno = errno;
    if (run_parent != NULL) run_parent();
    errno = clone_errno;
    return (pid_t)pid;
  }

  if (robust != NULL) syscall(SYS_set_robust_list, robust, robust_size);
  if (getpid() == own) {
    dprintf(2, "ebb: fork: the child's pid %d is its zygote's: random numbers would repeat\n", (int)own);
    _exit(111);
  }
  return 0;
}

void ebb_fork_child(void) {
  if (run_child != NULL) run_child();
}
