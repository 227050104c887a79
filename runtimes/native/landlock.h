// Landlock: the last wall of an instance, upon the mount namespace. What it may read and write is said once more, by
// folder, so that a descriptor or a path that leads out of its root by some mistake is of no use.
//
// 1. Read and run: the folders of its root. Write: its own /tmp and /dev/shm, devices, its own files in /proc. 2. From
// ABI 6 (Linux 6.12) on it reaches no abstract socket and signals no process but those of its own descendants:
// instances of one version share a network namespace, and this closes what they could meet at there. 3. A kernel
// without Landlock, or with an older one, gives what it has; the daemon says so once in its log. Called by
// instance_walls.c after the last mount (Landlock forbids mounts) and before user code.
#pragma once

/// Finds out once what this kernel offers and opens what every instance is given. Call it in a zygote.
void ebb_landlock_survey(void);

/// 0, or -1 with errno and the path or step in *what. Needs no_new_privs. Does nothing where the kernel has no
/// Landlock.
int ebb_landlock_instance(const char** what);
