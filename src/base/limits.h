// Every bound of the program in one place: what it bounds, its unit last in the name, and why it is that number.
// docs/reference/limits.md is generated from this file by tools/limits_doc.py; a test holds the two together.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

namespace ebb::limits {

using namespace std::chrono_literals;

// Names.
inline constexpr std::size_t kNameLength = 40;  // app and function names; both fit inline in a usage record

// HTTP, from clients.
inline constexpr std::size_t kHttpHeaderBytes = 16 * 1024;       // request line and headers together: 431 beyond
inline constexpr std::size_t kHttpBodyBytes = 32 * 1024 * 1024;  // a request's or a response's body: 413 / 502 beyond
inline constexpr std::size_t kUnreadBodyBytes =
    64 * 1024;  // a request to a function with a longer body, or one in chunks, is served before its body is read
inline constexpr std::size_t kHttpTargetBytes = 8 * 1024;  // path and query
inline constexpr std::size_t kBufferedBodyBytes = std::size_t{3}
                                                  << 29;  // all bodies held by the daemon at once: 429 beyond
inline constexpr std::size_t kConnections = 8192;         // open client connections of a daemon
inline constexpr auto kHttpHeaderTimeout = 15s;           // from the first byte of a request to the end of its headers
inline constexpr auto kHttpIdleTimeout = 75s;             // a kept-alive connection without a request
inline constexpr auto kHttpBodyStallTimeout = 30s;        // between two reads of a body, or two writes of a response
inline constexpr std::size_t kHttpHeaders = 128;          // header lines of one message: 431 beyond
inline constexpr auto kHttpLingerTimeout = 2s;  // a refused client's bytes are dropped for that long, so that it
inline constexpr std::size_t kHttpLingerBytes = 64 << 20;  // can read the answer; and that many
inline constexpr std::size_t kHttpRoutes = 256;            // of one router

// Deployments.
inline constexpr std::size_t kPackageUploadBytes = 256 * 1024 * 1024;           // compressed upload
inline constexpr std::uint64_t kPackageUnpackedBytes = std::uint64_t{1} << 30;  // 1 GiB after unpacking
inline constexpr std::size_t kPackageEntries = 50'000;                          // files and directories in a package
inline constexpr std::size_t kManifestBytes = 256 * 1024;                       // ebb.yaml, requirements.txt
inline constexpr std::size_t kLockBytes = 16 * 1024 * 1024;                     // package-lock.json
inline constexpr std::size_t kYamlDepth = 16;           // maps and lists inside one another, ebb.yaml and config file
inline constexpr std::size_t kPackagePathBytes = 1024;  // one path in a package
inline constexpr std::size_t kPackagePathDepth = 32;    // directories above a file in a package
inline constexpr std::size_t kFunctionsPerApp = 64;
inline constexpr std::size_t kApps = 4095;                  // each has a range of 65,536 uids
inline constexpr auto kBuildTimeout = 20min;                // pip install, build command, byte-compilation
inline constexpr std::size_t kBuildLogBytes = 1024 * 1024;  // kept of a build's output
inline constexpr std::size_t kBuildTailBytes = 16 * 1024;   // of a failed build's output in the error's detail
inline constexpr std::uint64_t kBuildMemoryBytes = 4ull << 30;
inline constexpr auto kPackageRemoveTimeout = 60s;        // deleting an unused package after a deployment
inline constexpr std::size_t kDeploymentsWaiting = 8;     // each holds its upload in memory: 429 beyond
inline constexpr std::size_t kDeploymentEvents = 10'000;  // lines of progress kept of one deployment
inline constexpr std::size_t kDeploymentsKept = 64;       // finished deployments that can still be asked about

// Container images.
inline constexpr std::size_t kImageReferenceBytes = 512;  // "docker://registry/name:tag"
inline constexpr std::uint32_t kImageLayers = 120;        // of one image; each is one directory of an overlay mount
inline constexpr std::uint64_t kImageBytes = 8ull
                                             << 30;  // all layers of an image as they are pulled, and each unpacked
inline constexpr std::size_t kImageLayerEntries = 400'000;  // files and directories of one layer, whiteouts included
inline constexpr std::size_t kImageDescriptionBytes = 256 * 1024;  // what a build says of an image: digests, settings
inline constexpr std::size_t kImageSettingBytes = 8 * 1024;        // of an image's command, and of all its environment
inline constexpr std::size_t kRegistryAuthBytes = 16 * 1024;       // a registry auth file

// Functions.
inline constexpr std::uint64_t kFunctionMemoryBytesMin = 16ull << 20;
inline constexpr std::uint64_t kFunctionMemoryBytesMax = 64ull << 30;
inline constexpr std::uint32_t kFunctionCpuMillisMin = 50;  // thousandths of a core
inline constexpr std::uint32_t kFunctionCpuMillisMax = 64'000;
inline constexpr std::size_t kHandlerBytes = 255;    // "package.module.attribute"
inline constexpr std::size_t kCommandBytes = 2'000;  // what starts a program (runtimes http and lambda)
inline constexpr std::uint32_t kBatchRows = 1024;    // that one run of a model takes together
inline constexpr auto kBatchWindowMax = 1s;          // that a call waits for others to run together with
inline constexpr std::uint32_t kFunctionPids = 512;  // processes and threads of one instance
inline constexpr auto kFunctionTimeoutMax = 24h;
inline constexpr std::uint32_t kInstancesPerFunction = 1000;
inline constexpr std::size_t kScaleWindows = 16;          // hours in which more instances of a function are kept
inline constexpr unsigned kReservableShare = 80;          // percent of a node that functions can reserve, all together
inline constexpr auto kScaleWindowMax = 7 * 24h;          // each of them
inline constexpr std::size_t kEnvBytes = 16 * 1024;       // all of a function's env, names and values
inline constexpr auto kInitTimeout = 120s;                // import of the user's module in a zygote or an instance
inline constexpr std::uint64_t kTmpBytes = 512ull << 20;  // an instance's private /tmp; counted as its memory

inline constexpr std::size_t kEgressRules = 64;  // entries of a function's allow-list

// Invocations.
inline constexpr std::size_t kQueuedPerVersion = 10'000;  // waiting invocations of one version: 429 beyond
inline constexpr auto kSandboxBootTimeout = 30s;          // from the order to a runtime zygote that answers
inline constexpr std::uint64_t kRuntimeZygoteMemoryBytes = 512ull << 20;
inline constexpr std::uint32_t kSandboxPids =
    32'768;                                 // processes of one sandbox: all zygotes and instances of an app and layer
inline constexpr auto kQueueTimeout = 60s;  // of a call for an instance, boot of a zygote included: 504 beyond
inline constexpr auto kProgramEndTimeout = 6s;           // from SIGTERM to a web server to the end of its instance
inline constexpr auto kDepartureTimeout = 2s;            // a start without room waits for an instance that is ending
inline constexpr auto kTunnelIdleTimeout = 10min;        // of a WebSocket on which nothing passes
inline constexpr std::uint32_t kCallsPerInstance = 250;  // at a time, in an instance of a web server
inline constexpr std::uint32_t kSocketsAtOnce = 8;       // into an instance's network, asked of the launcher together
inline constexpr std::uint32_t kStartsAtOnce = 32;  // forks of one version under way: more only wait inside the zygote
inline constexpr std::size_t kLogBytesPerInvocation = 1024 * 1024;  // stdout and stderr kept of one invocation
inline constexpr std::size_t kLogLineBytes = 64 * 1024;             // a longer line is cut in pieces
inline constexpr std::uint64_t kLogBytesPerFunction = 64ull << 20;  // kept on disk; the oldest half is dropped beyond
inline constexpr std::uint32_t kUsageSegmentRecords = 16'384;       // 320-byte usage records in one file: 5 MiB

// Control plane.
inline constexpr auto kDrainTimeout = 10s;                // running requests of a daemon that was told to stop
inline constexpr auto kLongPoll = 30s;                    // the longest wait_ms of a request
inline constexpr auto kLogFollowInterval = 100ms;         // between two looks for new log lines by a waiting request
inline constexpr std::size_t kLogPageLines = 10'000;      // of one answer
inline constexpr std::size_t kTuneSizes = 64;             // that one `ebb tune` tries
inline constexpr std::size_t kUsagePageRecords = 10'000;  // of one answer

// Wire.
inline constexpr std::size_t kWireMessageBytes = 64 * 1024;  // one seqpacket message to or from the launcher
inline constexpr std::size_t kWireFds = 8;                   // descriptors that travel with one message
inline constexpr std::size_t kLauncherOutbox = 8192;         // requests waiting for room in the launcher socket
inline constexpr std::size_t kFrameMetaBytes = 256 * 1024;   // the JSON part of a frame from an instance
inline constexpr std::size_t kStreamPieceBytes =
    64 * 1024;  // of a streamed answer in one frame and in the daemon; a stream's length is bounded by its timeout only
inline constexpr std::size_t kConfigBlobBytes = 48 * 1024;  // a version's configuration for the runtime

// Launcher.
inline constexpr std::size_t kBirthsAtOncePerZygote = 64;  // fork orders a zygote works on; more wait in the launcher
inline constexpr std::size_t kBirthsWaitingPerZygote = 1024;  // and no more than these
inline constexpr std::size_t kSandboxProcesses = 16'384;      // zygotes and instances of a node
inline constexpr auto kBirthTimeout = 20s;                    // from a fork order to the child's first word
inline constexpr auto kRuntimeInitTimeout = 30s;              // from the start of a sandbox to its runtime being ready
inline constexpr auto kReapWait = 50ms;                 // for an exit status, once a process is known to have ended
inline constexpr auto kLingering = 200ms;               // from SIGKILL until what is still there gets processors to end
inline constexpr auto kCollapseTimeout = 3s;            // giving a new zygote huge pages
inline constexpr std::size_t kCgroupsPremade = 4;       // per version, ready before they are asked for
inline constexpr auto kCgroupRemoveTimeout = 10s;       // members of a dead cgroup linger a moment
inline constexpr std::size_t kAnswersWaiting = 16'384;  // for the daemon to read; it is broken beyond
inline constexpr auto kDaemonStopGrace = 10s;           // from SIGTERM to SIGKILL
inline constexpr auto kDaemonBackoffMin = 50ms;         // before a daemon that died young is started again
inline constexpr auto kDaemonBackoffMax = 5s;  // the wait doubles up to this; a life of a tenth of it resets it
inline constexpr std::uint32_t kBuildPids = 512;
inline constexpr std::uint64_t kBuildTmpBytes = 4ull << 30;  // /tmp of a build; counted as its memory
inline constexpr std::size_t kTreeEntries = 1'000'000;       // files and directories that a build may leave
inline constexpr std::size_t kTreeDepth = 64;                // directories within directories in what a build leaves

// Network of functions.
inline constexpr std::size_t kEgressLinks = 1000;          // sandboxes with a way out at one time, on a node
inline constexpr std::size_t kEgressLinksPremade = 2;      // pairs of interfaces ready before they are asked for
inline constexpr std::uint32_t kEgressConnections = 1024;  // open connections of one sandbox; more are refused
inline constexpr std::size_t kEgressAddresses = 1024;      // that a sandbox's names may stand for at one time
inline constexpr std::size_t kNetlinkBytes = 32 * 1024;    // one message to the kernel's network configuration
inline constexpr auto kEgressAddressMin = 60s;             // a name's address is needed at least so long, whatever
inline constexpr auto kEgressAddressMax = 1h;             // its time to live, and at most so long; given for twice that
inline constexpr std::size_t kDnsMessageBytes = 4096;     // a query or an answer
inline constexpr std::size_t kDnsQueries = 1024;          // under way on a node; more are dropped, clients repeat
inline constexpr std::size_t kDnsQueriesPerSandbox = 64;  // of these
inline constexpr std::size_t kDnsConnections = 64;        // of clients that ask over TCP
inline constexpr std::size_t kDnsAddresses = 64;          // taken from one answer
inline constexpr auto kDnsTimeout = 4s;                   // for one resolver's answer
inline constexpr auto kDnsIdleTimeout = 10s;              // of a client's TCP connection

}  // namespace ebb::limits
