#define _GNU_SOURCE
#include "landlock.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "instance_walls.h"

// The kernel's interface, spelt out: Debian 12's headers know a part of it only.
#define EBB_LANDLOCK_CREATE_RULESET 444
#define EBB_LANDLOCK_ADD_RULE 445
#define EBB_LANDLOCK_RESTRICT_SELF 446
enum { kVersionQuestion = 1, kPathBeneath = 1 };
struct ruleset_attr {
  uint64_t handled_fs;
  uint64_t handled_net;
  uint64_t scoped;
};
struct path_beneath {
  uint64_t allowed;
  int32_t parent;
} __attribute__((packed));

#define EXECUTE (1ULL << 0)
#define WRITE_FILE (1ULL << 1)
#define READ_FILE (1ULL << 2)
#define READ_DIR (1ULL << 3)
#define REFER (1ULL << 13)      // ABI 2
#define TRUNCATE (1ULL << 14)   // ABI 3
#define IOCTL_DEV (1ULL << 15)  // ABI 5
#define EVERYTHING ((1ULL << 16) - 1)
#define READ (EXECUTE | READ_FILE | READ_DIR)
#define SCOPE_ABSTRACT_UNIX_SOCKET 1ULL  // ABI 6
#define SCOPE_SIGNAL 2ULL

// What the handled rights are by version of the interface.
static uint64_t rights_of(int abi) {
  uint64_t rights = EVERYTHING;
  if (abi < 2) rights &= ~REFER;
  if (abi < 3) rights &= ~TRUNCATE;
  if (abi < 5) rights &= ~IOCTL_DEV;
  return rights;
}

// Folders that need not be there are skipped.
static const struct {
  const char* path;
  uint64_t allowed;
} kRules[] = {
    {"/", READ_DIR},  // what there is may be listed; of an image, whose files lie anywhere, all be read
    {"/usr", READ},
    {"/bin", READ},
    {"/sbin", READ},
    {"/lib", READ},
    {"/lib32", READ},
    {"/lib64", READ},
    {"/libx32", READ},
    {"/etc", READ},
    {"/ebb", READ},
    {"/var", READ},
    {"/run", READ},
    {"/dev", READ | WRITE_FILE | TRUNCATE | IOCTL_DEV},
    {"/proc", READ | WRITE_FILE | TRUNCATE},
    {"/tmp", EVERYTHING},
    {"/dev/shm", EVERYTHING},
};

static int surveyed_abi = -1;

void ebb_landlock_survey(void) {
  const long abi = syscall(EBB_LANDLOCK_CREATE_RULESET, NULL, 0, kVersionQuestion);
  surveyed_abi = abi > 0 ? (int)abi : 0;
}

static int add_rule(int ruleset, const char* path, uint64_t allowed) {
  const int folder = open(path, O_PATH | O_CLOEXEC | O_DIRECTORY | O_NOFOLLOW);
  // Links (merged /usr) are named by what they lead to, as the kernel sees it.
  if (folder < 0) return errno == ENOENT || errno == ENOTDIR || errno == ELOOP ? 0 : -1;
  const struct path_beneath rule = {.allowed = allowed, .parent = folder};
  const int rc = (int)syscall(EBB_LANDLOCK_ADD_RULE, ruleset, kPathBeneath, &rule, 0);
  const int code = errno;
  close(folder);
  errno = code;
  return rc;
}

int ebb_landlock_instance(const char** what) {
  if (surveyed_abi < 0) ebb_landlock_survey();
  if (surveyed_abi == 0) return 0;
  const uint64_t rights = rights_of(surveyed_abi);
  const struct ruleset_attr wanted = {
      .handled_fs = rights,
      .scoped = surveyed_abi >= 6 ? SCOPE_ABSTRACT_UNIX_SOCKET | SCOPE_SIGNAL : 0,
  };
  // Older kernels know a shorter struct and refuse a longer one only if it holds more than they know.
  const int in_image = access(EBB_IMAGE_TASK_DIRECTORY, F_OK) == 0;
  *what = "make a landlock ruleset";
  const int ruleset = (int)syscall(EBB_LANDLOCK_CREATE_RULESET, &wanted, sizeof wanted, 0);
  if (ruleset < 0) return -1;
  for (size_t i = 0; i < sizeof kRules / sizeof *kRules; ++i) {
    *what = kRules[i].path;
    const uint64_t allowed = i == 0 && in_image ? READ : kRules[i].allowed;
    if (add_rule(ruleset, kRules[i].path, allowed & rights) != 0) return -1;
  }
  *what = "enter the landlock domain";
  const int rc = (int)syscall(EBB_LANDLOCK_RESTRICT_SELF, ruleset, 0);
  const int code = errno;
  close(ruleset);
  errno = code;
  return rc;
}
