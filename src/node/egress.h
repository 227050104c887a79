// The network of functions as the daemon sees it: opened with the launcher when the first version asks for it, and the
// resolver told which sandbox may ask for which names.
//
// Threads: open, announce and forget from any core; the launcher's events come on the launcher client's home core,
// where the resolver lives too. Called by VersionRunner and Engine.
#pragma once

#include <map>
#include <memory>
#include <vector>

#include "base/id.h"
#include "base/mutex.h"
#include "base/result.h"
#include "io/task.h"
#include "model/config.h"
#include "model/function_spec.h"
#include "node/resolver.h"
#include "node/services.h"
#include "wire/launcher_protocol.h"

namespace ebb::node {

/// The first entry of an allow-list that can never be reached on this node, with the remedy: an address of a private
/// network that the configuration does not permit, or one that nobody reaches.
base::Result<> check_reachable(const model::FunctionSpec& spec, const model::Config& config);

/// What the launcher has to know of a version's network.
void describe_reach(const model::FunctionSpec& spec, wire::MakeVersion& order);

class Egress {
 public:
  explicit Egress(Services& services) : services_(services) {}

  /// Errors: the launcher's, which says what the host lacks. Tried again by the next who asks.
  io::Task<base::Result<>> open();
  /// Between the launcher's answer about a version and the first order for a process of it.
  void announce(base::VersionId version, const model::FunctionSpec& spec);
  /// Before the launcher is told to drop it: another runner of the same version announces it later.
  void forget(base::VersionId version);

  void linked(const wire::Linked& event);
  void unlinked(const wire::Unlinked& event);

 private:
  base::Result<> start_resolver(std::vector<os::Fd> sockets);

  Services& services_;
  base::Mutex mutex_;
  std::shared_ptr<Resolver> resolver_ EBB_GUARDED_BY(mutex_);
  std::map<base::VersionId, ResolverClient> versions_ EBB_GUARDED_BY(mutex_);
};

}  // namespace ebb::node
