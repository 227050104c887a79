// Commands run in a sandbox of their own whose output becomes a layer or a package.
//
// 1. A build sees its source and its layer read-only, and writes to /ebb/out and its scratch places only. 2. What it
// leaves is sealed (tree.h) once all of its processes have ended, then named by its key in one rename: a layer is there
// complete or not at all. 3. A build that fails, is killed or runs too long leaves nothing.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>

#include "base/result.h"
#include "launcher/cgroup_removals.h"
#include "launcher/daemon_link.h"
#include "launcher/fleet.h"
#include "launcher/sandbox_start.h"
#include "launcher/worker.h"

namespace ebb::launcher {

class Builds {
 public:
  Builds(const Ground& ground, DaemonLink& daemon)
      : ground_(ground), daemon_(daemon), workers_(ground.poller), removals_(ground.poller, ground.cgroups, nullptr) {}
  ~Builds();
  Builds(const Builds&) = delete;
  Builds& operator=(const Builds&) = delete;

  /// After success the answer comes when the build has ended. `output` is its stdout and stderr.
  base::Result<> start(std::uint64_t request, const wire::Build& wanted, os::Fd output);
  void kill(std::uint64_t build);
  /// Deletes a layer or package: its name at once, its files in the background.
  base::Result<> remove_content(std::uint64_t request, const wire::RemoveTree& wanted);

  void kill_all();
  bool empty() const { return running_.empty(); }

 private:
  struct Running {
    wire::Build wanted;
    std::uint64_t request = 0;
    std::string cgroup;
    std::string output;  // its directory's name below build/
    os::Fd pidfd;
    os::Fd control;
    Poller::Timer deadline = Poller::Timer::kNone;
    std::optional<std::uint32_t> wait_status;
    std::optional<base::Error> failure;
  };

  base::Result<SandboxSpec> plan(const Running& build, const os::Fd& output, os::Fd out);
  void listen(std::uint64_t id);
  void on_end(std::uint64_t id);
  base::Result<> verdict(const Running& build, const os::CgroupUsage& usage) const;
  void publish(std::unique_ptr<Running> build);
  void remove_output(const std::string& name);

  Ground ground_;
  DaemonLink& daemon_;
  Workers workers_;
  CgroupRemovals removals_;
  std::map<std::uint64_t, std::unique_ptr<Running>> running_;
  std::uint64_t names_given_ = 0;
};

}  // namespace ebb::launcher
