// The fork of a zygote: a raw clone() with namespace flags, and everything glibc's own fork() would have done around
// it.
//
// 1. Only a process with one thread may call it (a zygote: the fitness check has seen to that).
// 2. Flags travel in a register (clone, not clone3), so that a seccomp filter can hold them to exactly two words.
// 3. The child's thread id is kept right in glibc, and its robust-mutex list is registered again.
// 4. Handlers given to pthread_atfork run in glibc's order, if libebb_atfork.so (atfork_record.c) was preloaded.
// 5. A child that sees the pid its parent sees of itself dies: OpenSSL and others know a fork only by getpid().
// Called by the language runtimes (python/_ebbmodule.c), always followed by instance_walls.h in the child.
#pragma once

#include <sys/types.h>

enum ebb_fork_kind {
  kEbbForkFunction,            // runtime zygote -> function zygote: all namespaces but a pid namespace
  kEbbForkInstance,            // function zygote -> instance: a pid namespace too, the zygote's network
  kEbbForkInstanceOwnNetwork,  // runtime zygote -> instance: a network of its own as well
};

/// Finds the recorded handlers. Call once, before the first fork; cost: three symbol look-ups.
void ebb_fork_init(void);

/// Like fork(): the child's pid in the parent, 0 in the child, -1 with errno when no child was made (the handlers of
/// the parent have run then). The child's handlers have NOT run yet: build the walls, then call ebb_fork_child(). The
/// child is a child of the caller's parent (CLONE_PARENT): the caller has nothing to reap.
pid_t ebb_fork(enum ebb_fork_kind kind);

/// In the child: runs the recorded child handlers.
void ebb_fork_child(void);
