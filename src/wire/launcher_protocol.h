// What the daemon may ask of the launcher, and what the launcher answers.
//
// A request carries an id of the daemon's choice; exactly one answer bears the same id. Events bear id 0. Answers may
// come out of order. Things are named by the daemon's counters; a content key is 64 hexadecimal digits, never a path.
// After kFailed nothing of what was asked for stays, and no kExited follows. A build has kDone or kFailed only.
//
// A *sandbox* is one runtime zygote with its init and namespaces, for one app and one dependency layer. A *version* is
// the cgroup, package tree and configuration of a function version. A *zygote* (function zygote) and an *instance* are
// forks.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/id.h"
#include "base/ip.h"
#include "base/result.h"
#include "wire/message.h"

namespace ebb::wire {

enum class LauncherType : std::uint16_t {
  // Requests.
  kMakeSandbox =
      1,  // fds: stdout, stderr of the runtime zygote (pipe write ends). Answer: kZygoteReady, or kFailed. Where
          // the host forbids what forks need: kZygoteReady, not forkable, and no sandbox is made
  kMakeVersion = 2,  // Answer: kDone
  kDropVersion = 3,  // all its zygotes and instances are killed first. Answer: kDone
  kMakeZygote =
      4,  // fds: stdout, stderr. Answer: kZygoteReady when user init has run, or kFailed (kFunctionFailed: init raised)
  kFork = 5,   // fds: channel, stdout, stderr. Answer: kForked, or kFailed: then the channel's peer never ran user code
  kKill = 6,   // SIGKILL to a thing and all in it. Answer: kDone at once; kExited follows. Unknown id: kDone too
  kBuild = 7,  // fds: stdout+stderr of the build. Answer when it ended: kDone, or kFailed (kFunctionFailed: exit status
               // in the message)
  kRemoveTree = 8,       // deletes a layer or package. Answer: kDone
  kOpenEgress = 20,      // makes what sandboxes with a way out need, once. Answer: kDone with fds: the UDP and the TCP
                         // socket that their resolvers ask; kFailed (kUnavailable) says what the host lacks
  kAllowAddresses = 21,  // what a name stands for, to be reached by one sandbox for a while. Answer: kDone
  kFreeze = 10,          // stops every process of an instance until kThaw. Answer: kDone; unknown instance: kDone too
  kThaw = 11,            // Answer: kDone; unknown instance: kDone too
  kStart = 12,           // an instance that is forked from nothing; fds: channel, stdout, stderr. Answer: as to kFork
  kReadCpu = 14,         // what an app's sandboxes have used of the processors. Answer: kCpuUse
  kOpenSockets = 13,     // TCP sockets of an instance's network namespace, not connected to anything. Answer: kDone
                         // with so many fds
  // Answers.
  kDone = 64,
  kFailed = 65,
  kForked =
      66,  // fds: cpu usage file, memory peak file of the instance's cgroup (usage_files.h of os says how to read them)
  kZygoteReady = 67,
  kCpuUse = 68,
  // Events.
  kExited = 80,
  kLinked = 90,       // a sandbox has a way out, before its user code runs
  kUnlinked = 91,     // and has it no more
  kMemoryShort = 92,  // nothing would be started now: too much of the memory budget is in use. Again and again for as
                      // long as it is so; without a payload
};

enum class Subject : std::uint8_t { kInstance = 0, kZygote = 1, kSandbox = 2, kBuild = 3 };
enum class TreeKind : std::uint8_t { kLayer = 0, kPackage = 1 };

struct MakeSandbox {
  base::SandboxId sandbox{};
  std::string app;
  std::uint32_t uid_index = 0;  // which range of 65,536 uids above the configured base; 0 is for builds
  std::string runtime;          // "python3"
  std::string layer_key;        // empty: no dependencies
  std::uint64_t memory_bytes = 0;
  std::uint32_t pids = 0;
  std::vector<std::string> image_layers;  // keys of layers, lowest first; empty: the host's system is the root
};

/// What the processes of a version reach beside their own loopback.
enum class Reach : std::uint8_t {
  kNothing = 0,
  kPublic = 1,  // every public address
  kListed = 2,  // the ranges, and what kAllowAddresses says
};

struct ReachRange {
  base::IpRange range;
  std::uint16_t port = 0;  // 0: every port
};

struct MakeVersion {
  base::VersionId version{};
  std::string app;
  std::uint32_t uid_index = 0;
  std::string package_key;
  std::uint64_t memory_bytes = 0;  // of the zygote, and again of each instance beyond what it shares
  std::uint32_t cpu_millis = 0;    // of each instance; 1000 is one core
  std::uint32_t pids = 0;          // of each instance
  std::uint32_t instances_max = 0;
  std::string config;  // for the runtime, opaque to the launcher (zygote_protocol.h)
  Reach reach = Reach::kNothing;
  std::vector<ReachRange> ranges;  // of kListed; at most limits::kEgressRules
};

struct AllowAddresses {
  std::uint32_t link = 0;
  std::uint32_t seconds = 0;
  std::vector<ReachRange> targets;  // single addresses; at most limits::kEgressAddresses
};

/// A sandbox's way out: a function zygote with its instances, or an instance that was forked from a runtime zygote.
struct Linked {
  base::VersionId version{};
  std::uint32_t link = 0;   // never used twice in a launcher's life
  base::IpAddress address;  // its IPv4 address: what its questions for names come from
};

struct Unlinked {
  std::uint32_t link = 0;
};

struct DropVersion {
  base::VersionId version{};
};

/// What a start needs of the node's memory budget, and what it must leave.
struct Room {
  std::uint64_t expected_bytes = 0;  // likely to be used by it, beyond what is in use now; 0: not known
  std::uint64_t reserved_bytes = 0;  // kept free for other versions
};

struct MakeZygote {
  base::ZygoteId zygote{};
  base::SandboxId sandbox{};
  base::VersionId version{};
  Room room;
};

struct Fork {
  base::InstanceId instance{};
  Subject source =
      Subject::kZygote;  // kZygote: a function zygote; kSandbox: its runtime zygote, user init runs in the instance
  std::uint64_t source_id = 0;
  base::VersionId version{};
  Room room;
};

/// An instance started fresh, without a zygote: the runtime, then user init, in a sandbox of its own. Its configuration
/// is the first frame on its channel (frame.h).
struct Start {
  base::InstanceId instance{};
  base::VersionId version{};
  std::string layer_key;  // empty: no dependencies
  bool gvisor = false;    // on a user-space kernel
  Room room;
  std::vector<std::string> image_layers;  // as in MakeSandbox
};

struct Kill {
  Subject subject = Subject::kInstance;
  std::uint64_t id = 0;
};

/// A command in a build sandbox: the source package at /ebb/source (read-only, optional), the layer on the path
/// (read-only, optional), an empty writable /ebb/out that becomes layers/<output_key> or packages/<output_key> when the
/// command succeeds.
struct Build {
  std::uint64_t build = 0;
  std::string source_key;
  std::string layer_key;
  TreeKind output = TreeKind::kLayer;
  std::string output_key;
  bool host_network = false;  // pip needs the registry; a build command does not
  std::uint64_t memory_bytes = 0;
  std::vector<std::string> argv;  // argv[0] is an absolute path inside the sandbox
  std::vector<std::string> env;   // NAME=value
};

/// kFreeze and kThaw. They may overtake each other on their way from different cores: the one with the higher sequence
/// stands, whichever comes last.
struct FreezeOrder {
  base::InstanceId instance{};
  std::uint64_t sequence = 0;
};

/// IPv4, non-blocking. What they connect to is the daemon's to choose, within that namespace.
struct OpenSockets {
  base::InstanceId instance{};
  std::uint32_t count = 0;  // 1 to limits::kSocketsAtOnce
};

struct ReadCpu {
  std::string app;
};

/// The answer kCpuUse, as the kernel counts it, for as long as the app has had a sandbox or a version; zeros before.
struct CpuUse {
  std::uint64_t total_ns = 0;     // everything in sandboxes of the app, instances included
  std::uint64_t runtimes_ns = 0;  // of it the runtime zygotes
  std::uint64_t zygotes_ns = 0;   // of it the function zygotes, with what a fork takes until it is in its own cgroup
};

struct RemoveTree {
  TreeKind kind = TreeKind::kLayer;
  std::string key;
};

struct Failed {
  base::Code code = base::Code::kInternal;
  std::string message;
  std::string detail;  // a traceback, when user code failed
};

struct ZygoteReady {
  std::uint64_t init_ns = 0;
  bool forkable = true;
  std::string unfit_reason;  // names the culprit when not forkable: "2 threads (started by libgomp.so.1)"
};

/// The answer kZygoteReady.
struct ZygoteMade {
  ZygoteReady zygote;              // what it says of itself
  std::uint64_t memory_bytes = 0;  // of a function zygote, as the kernel counts it
};

struct Exited {
  Subject subject = Subject::kInstance;
  std::uint64_t id = 0;
  std::uint32_t wait_status = 0;  // as waitpid gives it; of no use when the whole sandbox went
  bool out_of_memory = false;
  bool orphaned = false;  // an instance that had to go because its zygote did
  std::uint64_t cpu_ns = 0;
  std::uint64_t memory_peak_bytes = 0;
};

std::string encode(const MakeSandbox&);
std::string encode(const MakeVersion&);
std::string encode(const DropVersion&);
std::string encode(const MakeZygote&);
std::string encode(const Fork&);
std::string encode(const Start&);
std::string encode(const Kill&);
std::string encode(const Build&);
std::string encode(const RemoveTree&);
std::string encode(const AllowAddresses&);
std::string encode(const Linked&);
std::string encode(const Unlinked&);
std::string encode(const FreezeOrder&);
std::string encode(const OpenSockets&);
std::string encode(const ReadCpu&);
std::string encode(const CpuUse&);
std::string encode(const Failed&);
std::string encode(const ZygoteReady&);
std::string encode(const ZygoteMade&);
std::string encode(const Exited&);

/// decode<T>(payload): kInvalidArgument when it is not exactly a T. Names, keys and numbers are bounded here.
template <typename T>
base::Result<T> decode(std::string_view payload);

}  // namespace ebb::wire
