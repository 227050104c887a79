// What the launcher and a language runtime say to each other, in messages (message.h) over *control sockets*
// (seqpacket).
//
// Every process that begins in a sandbox has a control socket of its own whose other end the launcher holds with
// SO_PASSCRED:
//   1. the child sends kBorn as its first act; the kernel's credentials on it tell the launcher the true pid,
//   2. the launcher moves it to its cgroup, while the child builds its walls, then sends kGo,
//   3. no user code runs before kGo. A zygote keeps the socket and takes fork orders from it; an instance closes it
//   after kGo.
// A fork order is answered on the parent's socket by kForked. Children are cloned with CLONE_PARENT, so they are
// children of the sandbox's init, which reaps them and tells the launcher on its own control socket (kReaped). All a
// sandbox says is untrusted.
#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"

namespace ebb::wire {

enum class ZygoteType : std::uint16_t {
  // Launcher to runtime.
  kForkFunction = 1,  // u64 token, text config. fds: control, stdout, stderr, package tree (detached mount)
  kForkInstance = 2,  // u64 token, u8 with_code, text config (empty unless with_code). fds: control, channel, stdout,
                      // stderr[, tree if with_code]
  kGo = 3,            // no payload
  // Runtime to launcher.
  kBorn = 16,        // no payload; first message of a child on its control socket
  kReady = 17,       // payload of launcher_protocol.h ZygoteReady: u64 init_ns, u8 forkable, text unfit_reason
  kInitFailed = 18,  // text type, text message, text trace
  kForked = 19,      // u64 token, u32 errno (0: done), u32 pid as the parent sees it
  // Init to launcher.
  kReaped = 32,  // u32 pid as init sees it, u32 wait status
};

// `config` is JSON: {"app","function","version" (number),"handler","interface" ("auto"|"event"|"wsgi"|"asgi"),
// "env" {name: value},"memory_bytes","timeout_ms","command","kind": "python3"|"node"|"native"|"http"|"lambda"|"model",
// "model": {"file","batch_size","batch_window_ms","platform"} or empty}.

struct InitFailed {
  std::string type;
  std::string message;
  std::string trace;
};
struct ForkedPid {
  std::uint64_t token = 0;
  std::uint32_t os_errno = 0;
  std::uint32_t pid = 0;
};
struct Reaped {
  std::uint32_t pid = 0;
  std::uint32_t wait_status = 0;
};

std::string encode_fork_function(std::uint64_t token, std::string_view config);
std::string encode_fork_instance(std::uint64_t token, bool with_code, std::string_view config);
std::string encode(const InitFailed&);
std::string encode(const ForkedPid&);
std::string encode(const Reaped&);
base::Result<InitFailed> decode_init_failed(std::string_view payload);
base::Result<ForkedPid> decode_forked(std::string_view payload);
base::Result<Reaped> decode_reaped(std::string_view payload);

}  // namespace ebb::wire
