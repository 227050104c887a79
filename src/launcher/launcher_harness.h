// For tests: a real launcher on a directory of its own, with the test in the daemon's place.
//
// The launcher runs in a child process. The daemon it starts is the test binary again, which hands its launcher socket
// to the test over a named socket and then lives until it is killed: so the test speaks the daemon's side of the
// protocol, and killing that process is killing the daemon.
#pragma once

#include <signal.h>
#include <sys/types.h>
#include <unistd.h>

#include <chrono>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "os/fd.h"
#include "wire/launcher_protocol.h"
#include "wire/message.h"

namespace ebb::launcher {

struct Answer {
  wire::LauncherType type = wire::LauncherType::kDone;
  std::uint64_t id = 0;
  std::string payload;
  std::vector<os::Fd> fds;
};

/// An instance, seen from the daemon.
struct TestInstance {
  std::uint64_t id = 0;
  os::Fd channel;
  os::Fd cpu;
  os::Fd memory_peak;
};

struct Reply {
  bool fine = false;  // kResult, not kError
  std::string meta;
  std::string body;
};

class LauncherHarness {
 public:
  /// A temp directory; nothing runs yet.
  LauncherHarness();
  /// Kills the launcher and removes the directory.
  ~LauncherHarness();

  void start();
  void await_daemon();  // until the (next) daemon has handed over its socket
  void kill_daemon() const { ::kill(daemon_pid_, SIGKILL); }
  /// The launcher's wait status after `signal`.
  int stop(int signal);

  /// Sends a request and waits for its answer; events that come before are kept.
  Answer ask(wire::LauncherType type, std::string payload, const std::vector<int>& fds = {});
  void send_raw(const std::string& bytes, const std::vector<int>& fds = {}) const;
  std::uint64_t tell(wire::LauncherType type, std::string payload, const std::vector<int>& fds = {});
  Answer await_answer(std::uint64_t id);
  wire::Exited await_exit(wire::Subject subject, std::uint64_t id);

  // Shorthands; each fails the test when the answer is no success.
  std::string make_package(const std::string& app_py);  // its key
  void make_sandbox(std::uint64_t id);
  void make_version(std::uint64_t id, const std::string& package, std::uint64_t memory_bytes = 256 << 20,
                    const std::string& handler = "app.handler");
  wire::ZygoteReady make_zygote(std::uint64_t id, std::uint64_t sandbox, std::uint64_t version);
  TestInstance fork(std::uint64_t id, wire::Subject source, std::uint64_t source_id, std::uint64_t version);
  /// One direct invocation.
  Reply invoke(const TestInstance& instance, const std::string& body = "{}");
  /// Sends it only: for what never answers.
  void send_invoke(const TestInstance& instance, const std::string& body) const;
  /// The frame of kReady first, when none has been read.
  Reply first_invoke(const TestInstance& instance, const std::string& body = "{}");

  /// What came out of all sandboxes and builds so far.
  std::string output();
  int output_fd() const { return output_write_.get(); }
  const std::string& directory() const { return directory_; }
  std::string tag() const;
  pid_t daemon_pid() const { return daemon_pid_; }
  pid_t launcher_pid() const { return launcher_pid_; }
  /// Every process in cgroups of this launcher.
  std::vector<pid_t> processes() const;
  bool cgroups_absent() const;
  /// One of them, by its path below the launcher's own.
  bool cgroup_absent(const std::string& path) const;
  bool received_nothing_more();

 private:
  std::optional<Answer> receive(int timeout_ms);

  std::string directory_;
  os::Fd listener_;
  os::Fd socket_;
  os::Fd output_read_;
  os::Fd output_write_;
  pid_t launcher_pid_ = 0;
  pid_t daemon_pid_ = 0;
  std::uint64_t next_request_ = 1;
  std::string output_;
  std::vector<Answer> kept_;
  std::vector<wire::Exited> exits_;
};

/// Waits until `condition` holds, at most 20 s.
bool eventually(const std::function<bool()>& condition);

}  // namespace ebb::launcher
