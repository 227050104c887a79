#define _GNU_SOURCE
#include "instance_walls.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/magic.h>
#include <linux/mount.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "landlock.h"
#include "seccomp_delta.h"

enum { kWallFailed = 111, kChannelFd = 3, kUserId = 1000 };

// wire/message.h and wire/zygote_protocol.h.
enum { kMessageMagic = 0x31424245, kMessageVersion = 1, kGo = 3, kBorn = 16 };
struct message_header {
  uint32_t magic;
  uint16_t version;
  uint16_t type;
  uint32_t payload_bytes;
  uint32_t zero;
  uint64_t id;
};

static _Noreturn void fail(const char* step) {
  dprintf(2, "ebb: walls: %s: %s\n", step, strerror(errno));
  _exit(kWallFailed);
}

// Step 1: be known to the launcher. The kernel adds our pid to the message; what we might say of it would prove
// nothing.
static void say_born(int control) {
  const struct message_header born = {kMessageMagic, kMessageVersion, kBorn, 0, 0, 0};
  if (send(control, &born, sizeof born, MSG_NOSIGNAL) != (ssize_t)sizeof born) fail("tell the launcher of the birth");
}

// Step 2: our own output, so that whatever fails from here on is read in the right log.
static void redirect_output(const struct ebb_birth* birth) {
  if (dup2(birth->out, 1) != 1 || dup2(birth->err, 2) != 2) fail("redirect stdout and stderr");
}

// Only to the kernel: whatever was laid over a file of /proc must not take the write. EIO: it is not procfs.
static void write_procfs(const char* path, const char* text) {
  const int fd = open(path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
  struct statfs system;
  if (fd < 0 || fstatfs(fd, &system) != 0) fail(path);
  if (system.f_type != PROC_SUPER_MAGIC) errno = EIO;
  if (system.f_type != PROC_SUPER_MAGIC || write(fd, text, strlen(text)) != (ssize_t)strlen(text)) fail(path);
  close(fd);
}

// Step 3: in the new user namespace we are nobody until the maps are written. One id is mapped, onto itself: there is
// no root in here to become. A process without privilege may write gid_map only after giving up setgroups.
static void map_ids(void) {
  write_procfs("/proc/self/setgroups", "deny");
  write_procfs("/proc/self/uid_map", "1000 1000 1");
  write_procfs("/proc/self/gid_map", "1000 1000 1");
}

// Step 4: no mount of ours shows outside, none made outside shows here.
static void make_mounts_private(void) {
  if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0) fail("make mounts private");
}

// Step 5: the function's code, a read-only tree the launcher made and passed as a descriptor.
static void place_code(int tree) {
  const int in_image = access(EBB_IMAGE_TASK_DIRECTORY, F_OK) == 0;
  const char* place = in_image ? EBB_IMAGE_TASK_DIRECTORY : EBB_TASK_DIRECTORY;
  if (syscall(SYS_move_mount, tree, "", AT_FDCWD, place, MOVE_MOUNT_F_EMPTY_PATH) != 0) fail("mount the package");
  close(tree);
}

static void mount_tmpfs(const char* path) {
  if (mount("tmpfs", path, "tmpfs", MS_NOSUID | MS_NODEV, "size=512m,nr_inodes=65536,mode=1777") != 0) fail(path);
}

// The parent's /tmp under ours: a cache or an unpacked model that init left there is seen by every instance, and what
// an instance writes is seen by none. Where the kernel cannot do it the instance begins with an empty /tmp, and says
// so.
static void lay_over_tmp(int lower) {
  char options[128];
  if (mkdir("/tmp/.upper", 01777) != 0 || mkdir("/tmp/.work", 0700) != 0) fail("make the layers of /tmp");
  if (chmod("/tmp/.upper", 01777) != 0) fail("open /tmp to all");
  snprintf(options, sizeof options, "lowerdir=/proc/self/fd/%d,upperdir=/tmp/.upper,workdir=/tmp/.work,userxattr",
           lower);
  if (mount("overlay", "/tmp", "overlay", MS_NOSUID | MS_NODEV, options) != 0) {
    dprintf(2, "ebb: files written to /tmp while the function was loaded are not visible: overlay: %s\n",
            strerror(errno));
    rmdir("/tmp/.upper");
    rmdir("/tmp/.work");
  }
}

// Step 6: places to write, our own and empty. Their pages count as our memory.
static void make_scratch(const struct ebb_birth* birth) {
  const int lower = birth->inherit_tmp ? open("/tmp", O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;
  if (birth->inherit_tmp && lower < 0) fail("open the zygote's /tmp");
  mount_tmpfs("/tmp");
  if (lower >= 0) {
    lay_over_tmp(lower);
    close(lower);
  }
  mount_tmpfs("/dev/shm");
}

// Files of /proc that tell of the host, its kernel or its other tenants. Those that this uid cannot open anyway need no
// mask; that does not change between forks, so it is found out once, in the zygote.
static const char* const kMaskedFiles[] = {
#define EBB_MASK_FILE(path) path,
#include "../../src/os/proc_masks.def"
};
static const char* const kMaskedDirectories[] = {
#define EBB_MASK_DIRECTORY(path) path,
#include "../../src/os/proc_masks.def"
};
enum {
  kMaskedFileCount = sizeof kMaskedFiles / sizeof *kMaskedFiles,
  kMaskedDirectoryCount = sizeof kMaskedDirectories / sizeof *kMaskedDirectories,
};
static int surveyed;
static unsigned char mask_file[kMaskedFileCount];
static unsigned char mask_directory[kMaskedDirectoryCount];

void ebb_walls_survey(void) {
  for (int i = 0; i < kMaskedFileCount; ++i) {
    mask_file[i] = access(kMaskedFiles[i], R_OK) == 0 || access(kMaskedFiles[i], W_OK) == 0;
  }
  for (int i = 0; i < kMaskedDirectoryCount; ++i) mask_directory[i] = access(kMaskedDirectories[i], F_OK) == 0;
  ebb_landlock_survey();
  surveyed = 1;
}

// A mask is a bind of /dev/null: of the device itself, not of a link or file in its place (CVE-2025-31133). /dev is
// read-only and was made by the launcher; this holds even if that should ever change.
static void verify_mask_source(void) {
  struct stat null;
  if (lstat("/dev/null", &null) != 0) fail("/dev/null");
  errno = EIO;
  if (!S_ISCHR(null.st_mode) || null.st_rdev != makedev(1, 3)) fail("/dev/null is not the device");
}

// Step 7: a /proc that shows our processes only, with masks over what belongs to the machine. Masks may go only here:
// one over the zygote's /proc would make the kernel refuse fresh ones below it.
static void make_proc(void) {
  if (!surveyed) ebb_walls_survey();
  if (mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) != 0) fail("mount /proc");
  verify_mask_source();
  for (int i = 0; i < kMaskedFileCount; ++i) {
    if (mask_file[i] && mount("/dev/null", kMaskedFiles[i], NULL, MS_BIND, NULL) != 0) fail(kMaskedFiles[i]);
  }
  for (int i = 0; i < kMaskedDirectoryCount; ++i) {
    const unsigned long flags = MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC;
    if (mask_directory[i] && mount("tmpfs", kMaskedDirectories[i], "tmpfs", flags, "size=4k,mode=0555") != 0) {
      fail(kMaskedDirectories[i]);
    }
  }
}

// Step 8: a new network namespace has nothing but a loopback that is down; code that talks to itself expects it up.
static void raise_loopback(void) {
  const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  struct ifreq request = {.ifr_name = "lo"};
  if (fd < 0) fail("open a socket for the loopback");
  request.ifr_flags = IFF_UP;
  if (ioctl(fd, SIOCSIFFLAGS, &request) != 0) fail("raise the loopback");
  close(fd);
}

// Step 9: the capabilities that the new user namespace gave us have done their work. The bounding set goes first (that
// takes a capability), then all of the rest; no_new_privs keeps any exec from bringing one back.
static void drop_privilege(void) {
  for (int capability = 0; prctl(PR_CAPBSET_READ, capability, 0, 0, 0) >= 0; ++capability) {
    if (prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) != 0) fail("drop a capability from the bounding set");
  }
  if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) != 0) fail("drop ambient capabilities");
  const struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  const struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {{0, 0, 0}, {0, 0, 0}};
  if (syscall(SYS_capset, &header, none) != 0) fail("drop capabilities");
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) fail("set no_new_privs");
}

static void close_between(unsigned first, unsigned last) {
  if (first <= last && syscall(SYS_close_range, first, last, 0) != 0) fail("close descriptors");
}

// Step 10: no descriptor of the zygote stays but those that user code opened itself and may keep.
static void close_others(const struct ebb_birth* birth, int control) {
  unsigned first = kChannelFd + 1;
  int control_open = control != kChannelFd;
  for (size_t i = 0; i < birth->keep_count; ++i) {
    const unsigned keep = (unsigned)birth->keep[i];
    if (control_open && (unsigned)control < keep) {
      close_between(first, (unsigned)control - 1);
      first = (unsigned)control + 1;
      control_open = 0;
    }
    close_between(first, keep - 1);
    first = keep + 1;
  }
  if (control_open) {
    close_between(first, (unsigned)control - 1);
    first = (unsigned)control + 1;
  }
  close_between(first, ~0U);
}

// Step 11: no user code before kGo. By then we are in our cgroup, with our limits.
static void await_go(int control) {
  struct pollfd wait = {.fd = control, .events = POLLIN};
  struct message_header go = {0};
  int ready;
  do {
    ready = poll(&wait, 1, kEbbGoTimeoutMs);
  } while (ready < 0 && errno == EINTR);
  if (ready == 0) errno = ETIMEDOUT;
  if (ready <= 0) fail("wait for the launcher's go");
  const ssize_t got = recv(control, &go, sizeof go, 0);
  if (got != (ssize_t)sizeof go || go.magic != kMessageMagic || go.version != kMessageVersion || go.type != kGo) {
    if (got >= 0) errno = got == 0 ? ECONNRESET : EPROTO;
    fail("receive the launcher's go");
  }
}

// Orders arrive on descriptors above 3 unless user code closed some of 0 to 3; then they are moved out of the way.
static int lift(int fd) {
  if (fd < 0 || fd > kChannelFd) return fd;
  const int lifted = fcntl(fd, F_DUPFD_CLOEXEC, kChannelFd + 1);
  if (lifted < 0) fail("move a descriptor");
  return lifted;
}

static struct ebb_birth lift_all(const struct ebb_birth* birth) {
  struct ebb_birth lifted = *birth;
  lifted.control = lift(birth->control);
  lifted.channel = lift(birth->channel);
  lifted.out = lift(birth->out);
  lifted.err = lift(birth->err);
  lifted.tree = lift(birth->tree);
  return lifted;
}

// Step 12 (instances): pid 1 ignores any signal it has no handler for, so that SIGTERM, alarm() or a broken pipe would
// do nothing. A handler that ends the process restores what a program expects. Worker processes inherit it; there the
// signal's own effect is to be had.
static void end_by_signal(int number) {
  if (getpid() == 1) _exit(128 + number);
  signal(number, SIG_DFL);
  raise(number);
}

static void answer_signals(void) {
  static const int kEnding[] = {SIGTERM,   SIGHUP,  SIGALRM, SIGUSR1, SIGUSR2,
                                SIGVTALRM, SIGPROF, SIGXCPU, SIGPIPE, SIGINT};
  for (size_t i = 0; i < sizeof kEnding / sizeof *kEnding; ++i) {
    struct sigaction action;
    if (sigaction(kEnding[i], NULL, &action) != 0) fail("read a signal's action");
    if (action.sa_handler != SIG_DFL) continue;
    memset(&action, 0, sizeof action);
    action.sa_handler = end_by_signal;
    action.sa_flags = SA_NODEFER;
    if (sigaction(kEnding[i], &action, NULL) != 0) fail("set a signal's action");
  }
}

// A zygote is held to one CPU while it loads (libraries size their thread pools by that); instances use what the cgroup
// and the host's cpuset leave them.
static void widen_affinity(void) {
  cpu_set_t all;
  memset(&all, 0xff, sizeof all);
  if (sched_setaffinity(0, sizeof all, &all) != 0) fail("use every cpu");
}

// Those of one app load, and fork, on different ones in turn: on the one that their runtime zygote has they would all
// wait for each other.
static void choose_cpu(unsigned turn) {
  int cpu = sched_getcpu();
  widen_affinity();
  cpu_set_t all;
  if (cpu < 0 || sched_getaffinity(0, sizeof all, &all) != 0 || !CPU_ISSET((size_t)cpu, &all)) fail("see the cpus");
  for (unsigned left = turn % (unsigned)CPU_COUNT(&all); left > 0;) {
    cpu = (cpu + 1) % CPU_SETSIZE;
    if (CPU_ISSET((size_t)cpu, &all)) --left;
  }
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET((size_t)cpu, &one);
  if (sched_setaffinity(0, sizeof one, &one) != 0) fail("use one cpu");
}

void ebb_walls_function(const struct ebb_birth* order) {
  const struct ebb_birth birth = lift_all(order);
  say_born(birth.control);
  redirect_output(&birth);
  map_ids();
  make_mounts_private();
  if (birth.tree >= 0) place_code(birth.tree);
  make_scratch(&birth);
  raise_loopback();
  drop_privilege();
  choose_cpu(birth.turn);
  if (dup3(birth.control, kChannelFd, O_CLOEXEC) != kChannelFd) fail("place the control socket");
  close_others(&birth, kChannelFd);
  await_go(kChannelFd);
}

void ebb_walls_instance(const struct ebb_birth* order) {
  const struct ebb_birth birth = lift_all(order);
  say_born(birth.control);
  redirect_output(&birth);
  map_ids();
  make_mounts_private();
  if (birth.tree >= 0) place_code(birth.tree);
  make_proc();
  make_scratch(&birth);
  if (birth.own_network) raise_loopback();
  drop_privilege();
  answer_signals();
  widen_affinity();
  if (dup3(birth.channel, kChannelFd, O_CLOEXEC) != kChannelFd) fail("place the channel");
  close_others(&birth, birth.control);
  const char* what = NULL;
  if (ebb_landlock_instance(&what) != 0) fail(what);
  if (ebb_seccomp_delta() != 0) fail("load the system-call filter");
  await_go(birth.control);
  close(birth.control);
}
