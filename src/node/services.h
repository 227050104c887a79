// What every part of the node's engine uses: the launcher, the logs, the meters, and the tables that route the
// launcher's events. Owned by the Engine, which outlives everything that holds a reference to it.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <unordered_map>

#include "base/id.h"
#include "base/mutex.h"
#include "io/cores.h"
#include "io/offload.h"
#include "meter/budget.h"
#include "meter/metrics.h"
#include "meter/usage_log.h"
#include "model/config.h"
#include "node/departures.h"
#include "node/organisations.h"
#include "node/processor_pressure.h"
#include "node/quotas.h"
#include "node/reserves.h"
#include "node/secrets.h"
#include "sandbox/answers.h"
#include "sandbox/launcher_client.h"
#include "sandbox/request_bodies.h"
#include "sched/processor_bound.h"
#include "store/function_log.h"
#include "store/metadata.h"
#include "store/package.h"

namespace ebb::node {

class VersionRunner;
class SandboxPool;
class Egress;
class MemoryPressure;
class StartTurns;
class SpareRoom;

/// Which runner an instance or a zygote belongs to, for the launcher's exit events. Threads: any.
class Directory {
 public:
  void add(wire::Subject subject, std::uint64_t id, std::weak_ptr<VersionRunner> runner);
  void remove(wire::Subject subject, std::uint64_t id);
  std::shared_ptr<VersionRunner> find(wire::Subject subject, std::uint64_t id);

 private:
  using Table = std::unordered_map<std::uint64_t, std::weak_ptr<VersionRunner>>;
  Table& table_of(wire::Subject subject) EBB_REQUIRES(mutex_) {
    return subject == wire::Subject::kInstance ? instances_ : zygotes_;
  }
  base::Mutex mutex_;
  Table instances_ EBB_GUARDED_BY(mutex_);
  Table zygotes_ EBB_GUARDED_BY(mutex_);
};

struct Services {
  io::Cores& cores;
  const model::Config config;
  const std::string python_version;  // of config.python, part of the key of layers and built packages
  const std::string node_toolchain;  // part of the key of layers that npm makes
  io::Pool& pool;                    // blocking work
  store::Metadata& metadata;
  store::PackageStore& packages;
  store::FunctionLogs& log;
  meter::UsageLog& usage;
  meter::Budgets& budgets;
  meter::Metrics& metrics;
  Secrets& secrets;
  std::shared_ptr<sandbox::LauncherClient> launcher;
  SandboxPool* sandboxes = nullptr;
  Egress* egress = nullptr;
  MemoryPressure* pressure = nullptr;
  std::shared_ptr<StartTurns> turns;       // of instances
  std::shared_ptr<StartTurns> load_turns;  // of zygotes
  std::shared_ptr<SpareRoom> spare_room;
  Directory directory;
  std::atomic<std::uint64_t> next_instance = 1;
  std::atomic<std::uint64_t> next_registration = 1;  // of a runner's version with the launcher
  std::atomic<std::uint64_t> next_zygote = 1;
  std::atomic<std::uint64_t> next_sandbox = 1;
  std::atomic<std::uint64_t> next_build = 1;
  Reserves reserves;
  Quotas quotas{};
  sched::Processors processors{static_cast<double>(std::max(1U, std::thread::hardware_concurrency()))};
  ProcessorPressure processor_pressure{processors};
  sandbox::Holdings answers{sandbox::kAnswerBounds};
  sandbox::Holdings request_bodies{sandbox::kRequestBodyBounds};
  Organisations organisations{metadata, budgets, quotas};
  std::atomic<std::uint32_t> instances = 0;  // alive or starting, node-wide; bounded by config.max_instances
  Departures departures{};                   // of all instances of the node

  /// The context of the core the caller is on; core 0's from elsewhere.
  io::asio::io_context& here() {
    const unsigned core = io::Cores::current();
    return cores.context(core == io::Cores::kNone ? 0 : core);
  }
};

}  // namespace ebb::node
