#include "os/landlock.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "os/fd.h"

namespace ebb::os {
namespace {

// The kernel's interface, spelt out: Debian 12's headers know a part of it only.
constexpr long kCreateRuleset = 444;
constexpr long kAddRule = 445;
constexpr long kRestrictSelf = 446;
constexpr unsigned kVersionQuestion = 1;
constexpr int kPathBeneath = 1;
struct RulesetAttributes {
  std::uint64_t handled_files = 0;
  std::uint64_t handled_network = 0;
  std::uint64_t scoped = 0;
};
struct [[gnu::packed]] PathBeneath {
  std::uint64_t allowed = 0;
  std::int32_t parent = -1;
};

constexpr std::uint64_t kExecute = 1 << 0;
constexpr std::uint64_t kWriteFile = 1 << 1;
constexpr std::uint64_t kReadFile = 1 << 2;
constexpr std::uint64_t kReadDirectory = 1 << 3;
constexpr std::uint64_t kRefer = 1 << 13;
constexpr std::uint64_t kTruncate = 1 << 14;
constexpr std::uint64_t kIoctlDevice = 1 << 15;
constexpr std::uint64_t kEverything = (1 << 16) - 1;
constexpr std::uint64_t kOfFiles = kExecute | kWriteFile | kReadFile | kTruncate | kIoctlDevice;
constexpr std::uint64_t kAbstractSocketsAndSignals = 3;

std::uint64_t rights_of(int abi) {
  std::uint64_t rights = kEverything;
  if (abi < 2) rights &= ~kRefer;
  if (abi < 3) rights &= ~kTruncate;
  if (abi < 5) rights &= ~kIoctlDevice;
  return rights;
}

std::uint64_t rights_of(PathAccess access) {
  switch (access) {
    case PathAccess::kRead: return kReadFile | kReadDirectory;
    case PathAccess::kReadExecute: return kReadFile | kReadDirectory | kExecute;
    case PathAccess::kReadWrite: return kEverything & ~kExecute;
    case PathAccess::kDevice: return kReadFile | kReadDirectory | kWriteFile | kTruncate | kIoctlDevice;
  }
  return 0;
}

base::Result<> add_rule(const Fd& ruleset, const PathRule& rule, std::uint64_t handled) {
  const Fd target(::open(rule.path.c_str(), O_PATH | O_CLOEXEC));
  if (!target.valid()) return errno == ENOENT ? base::Result<>() : base::os_error("open " + rule.path, errno);
  struct stat status{};
  if (::fstat(target.get(), &status) != 0) return base::os_error("stat " + rule.path, errno);
  std::uint64_t allowed = rights_of(rule.access) & handled;
  if (!S_ISDIR(status.st_mode)) allowed &= kOfFiles;
  const PathBeneath beneath{.allowed = allowed, .parent = target.get()};
  if (::syscall(kAddRule, ruleset.get(), kPathBeneath, &beneath, 0) == 0) return {};
  return base::os_error("landlock rule for " + rule.path, errno);
}

}  // namespace

int landlock_abi() {
  const long abi = ::syscall(kCreateRuleset, nullptr, 0, kVersionQuestion);
  return abi > 0 ? static_cast<int>(abi) : 0;
}

base::Result<> restrict_files(std::span<const PathRule> rules) {
  const int abi = landlock_abi();
  if (abi == 0) return {};
  const RulesetAttributes wanted{.handled_files = rights_of(abi), .scoped = abi >= 6 ? kAbstractSocketsAndSignals : 0};
  const Fd ruleset(static_cast<int>(::syscall(kCreateRuleset, &wanted, sizeof wanted, 0)));
  if (!ruleset.valid()) return base::os_error("landlock ruleset", errno);
  for (const PathRule& rule : rules) EBB_CHECKED(add_rule(ruleset, rule, wanted.handled_files));
  if (::syscall(kRestrictSelf, ruleset.get(), 0) != 0) return base::os_error("landlock restrict", errno);
  return {};
}

}  // namespace ebb::os
