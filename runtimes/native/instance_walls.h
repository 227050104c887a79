// What a fresh child of a zygote does before any user code runs: it builds its own walls and waits for the launcher.
//
// 1. Its first act is kBorn on its control socket, which tells the launcher its pid; its last is to wait for kGo. The
//    launcher moves it to its cgroup meanwhile.
// 2. Afterwards descriptors are 0 (/dev/null), 1 and 2 (its pipes), 3 (an instance's channel, a function zygote's
//    control socket), and those named in `keep`; nothing else is open.
// 3. Afterwards no capability is left and none can come back.
// 4. Any failure ends the process: the step and its errno on stderr, exit status 111.
// The steps and their reasons stand in instance_walls.c. Called by the language runtimes right after ebb_fork().
#pragma once

#include <stddef.h>

struct ebb_birth {
  int control;      // this child's own control socket
  int channel;      // an instance's socket to the daemon; -1 in a function zygote
  int out;          // becomes descriptor 1
  int err;          // becomes descriptor 2
  int tree;         // detached mount for /var/task; -1 when the parent already has it there
  unsigned turn;    // of a function zygote: how many its parent has made before
  int own_network;  // not 0: the child has a new network namespace, whose loopback is down
  int inherit_tmp;  // not 0: the parent's /tmp is to be seen, read from it and written beside it
  const int* keep;  // further descriptors that stay open, in rising order, all above 3
  size_t keep_count;
};

/// Where the tree of the function's code is mounted; and where instead when the root is a container image, which may
/// have code of its own there. Only such a root has the second, in a place that no image can fill
/// (launcher/sandbox_root.h).
#define EBB_TASK_DIRECTORY "/var/task"
#define EBB_IMAGE_TASK_DIRECTORY "/ebb/package"
/// How long a child waits for kGo before it gives up.
enum { kEbbGoTimeoutMs = 10000 };

/// Of a function zygote: user, mount, ipc, uts and network namespaces, its own /tmp and /dev/shm, no capabilities, one
/// CPU, in turns with its siblings.
/// It keeps what its own forks need: /proc stays unmasked (a nested fresh one is allowed only then), and the right to
/// clone and mount in new user namespaces.
void ebb_walls_function(const struct ebb_birth* birth);

/// Of an instance: as above, and a fresh masked /proc, every CPU, a seccomp filter against new namespaces and mounts,
/// and ends for the signals that pid 1 would otherwise ignore.
void ebb_walls_instance(const struct ebb_birth* birth);

/// Finds out once which files of /proc an instance has to mask here. Call it in a zygote: children inherit the answer.
void ebb_walls_survey(void);
