// Loaded before the C library into a daemon under test: makes the chosen call fail, as a full disk, a broken one or a
// used-up table would. The test and this library share one page (struct Control), so faults can be set while it runs.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

struct Control {
  _Atomic int armed;     // 1: faults happen
  _Atomic int os_errno;  // what the call says
  _Atomic int skip;      // calls that still succeed
  _Atomic int times;     // calls that fail then
  _Atomic int hits;      // faults so far
  char call[32];         // its name; written before `armed`
};

static struct Control* control;

__attribute__((constructor)) static void map_control(void) {
  const char* path = getenv("EBB_FAULT_CONTROL");
  if (path == NULL || geteuid() == 0) return;  // the launcher's turn is not here
  const int fd = (int)syscall(257, AT_FDCWD, path, O_RDWR | O_CLOEXEC);
  if (fd < 0) return;
  void* page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  close(fd);
  if (page != MAP_FAILED) control = page;
}

static int fails(const char* call) {
  if (control == NULL || atomic_load(&control->armed) == 0 || strcmp(control->call, call) != 0) return 0;
  if (atomic_fetch_sub(&control->skip, 1) > 0) return 0;
  if (atomic_fetch_sub(&control->times, 1) <= 0) return 0;
  atomic_fetch_add(&control->hits, 1);
  errno = atomic_load(&control->os_errno);
  return 1;
}

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

// A variadic mode is passed on whether it is there or not.
#define OPEN(name, call, parameters, ...)     \
  int name parameters {                       \
    va_list list;                             \
    va_start(list, flags);                    \
    const mode_t mode = va_arg(list, mode_t); \
    va_end(list);                             \
    if (fails(call)) return -1;               \
    return NEXT(name)(__VA_ARGS__, mode);     \
  }
OPEN(open, "open", (const char* path, int flags, ...), path, flags)
OPEN(open64, "open", (const char* path, int flags, ...), path, flags)
OPEN(openat, "open", (int at, const char* path, int flags, ...), at, path, flags)
OPEN(openat64, "open", (int at, const char* path, int flags, ...), at, path, flags)

#define PLAIN(type, name, call, parameters, ...) \
  type name parameters { return fails(call) ? (type) - 1 : NEXT(name)(__VA_ARGS__); }
PLAIN(ssize_t, pwrite, "write", (int fd, const void* data, size_t size, off_t at), fd, data, size, at)
PLAIN(ssize_t, pwrite64, "write", (int fd, const void* data, size_t size, off64_t at), fd, data, size, at)
PLAIN(int, fsync, "fsync", (int fd), fd)
PLAIN(int, fdatasync, "fsync", (int fd), fd)
PLAIN(int, msync, "fsync", (void* at, size_t size, int flags), at, size, flags)
PLAIN(int, ftruncate, "truncate", (int fd, off_t size), fd, size)
PLAIN(int, ftruncate64, "truncate", (int fd, off64_t size), fd, size)
PLAIN(int, fallocate, "truncate", (int fd, int mode, off_t at, off_t size), fd, mode, at, size)
PLAIN(int, fallocate64, "truncate", (int fd, int mode, off64_t at, off64_t size), fd, mode, at, size)
PLAIN(int, mkdir, "mkdir", (const char* path, mode_t mode), path, mode)
PLAIN(int, mkdirat, "mkdir", (int at, const char* path, mode_t mode), at, path, mode)
PLAIN(int, rename, "rename", (const char* from, const char* to), from, to)
PLAIN(int, renameat, "rename", (int f, const char* from, int t, const char* to), f, from, t, to)
PLAIN(int, renameat2, "rename", (int f, const char* from, int t, const char* to, unsigned flags), f, from, t, to, flags)
PLAIN(int, socketpair, "socketpair", (int domain, int type, int protocol, int ends[2]), domain, type, protocol, ends)
PLAIN(int, pipe2, "pipe", (int ends[2], int flags), ends, flags)
PLAIN(int, accept4, "accept", (int fd, struct sockaddr* address, socklen_t* size, int flags), fd, address, size, flags)
PLAIN(int, accept, "accept", (int fd, struct sockaddr* address, socklen_t* size), fd, address, size)

// To a file only: sockets and pipes have tests of their own.
ssize_t write(int fd, const void* data, size_t size) {
  struct stat status;
  if (control != NULL && atomic_load(&control->armed) && fstat(fd, &status) == 0 && S_ISREG(status.st_mode) &&
      fails("write")) {
    return -1;
  }
  return NEXT(write)(fd, data, size);
}

void* mmap(void* at, size_t size, int protection, int flags, int fd, off_t offset) {
  if (fd >= 0 && fails("mmap")) return MAP_FAILED;
  return (void*)syscall(9, at, size, protection, flags, fd, offset);
}
