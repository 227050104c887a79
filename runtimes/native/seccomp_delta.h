// The filter an instance lays over its zygote's: it takes away what only forking a zygote needed.
//
// The big allow-list is loaded once by the launcher into the runtime zygote and inherited; filters stack, the strictest
// answer wins. This one is a static program of about thirty instructions, so that a birth pays 20 us for it, not 160.
// What it refuses is marked in the one list, src/os/syscalls.def.
// Called by instance_walls.c, after the capabilities are gone and no_new_privs is set.
#pragma once

/// 0, or -1 with errno. Afterwards: mounts, new or other namespaces and other roots are refused with EPERM; clone3 is
/// ENOSYS (its flags are out of a filter's sight, and glibc falls back to clone); a foreign architecture's calls kill.
int ebb_seccomp_delta(void);
