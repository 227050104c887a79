// The sandboxes with a runtime zygote in them: one per app, dependency layer and image, shared by the functions of the
// app.
//
// Made on first need, single flight; forgotten when the launcher says it died, and made again by the next who asks.
// Called by VersionRunner before it makes a function zygote.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/mutex.h"
#include "io/one_shot.h"
#include "meter/held_count.h"
#include "node/services.h"

namespace ebb::node {

struct ReadySandbox {
  std::uint64_t id = 0;
  base::SteadyTime booted_at{};
  std::string no_forks_because;  // not empty: the host forbids forks from zygotes, and there is no sandbox
};

class SandboxPool {
 public:
  explicit SandboxPool(Services& services) : services_(services) {}

  /// Errors: the launcher's; kDeadlineExceeded when the runtime does not come up.
  /// `image_layers`: of the image that is its root; none: the host's system is.
  io::Task<base::Result<ReadySandbox>> get(std::string app, std::uint32_t uid_index, std::string layer_key,
                                           std::vector<std::string> image_layers);
  /// The launcher reports that it is gone.
  void exited(std::uint64_t id);
  /// Kills the sandboxes of an app that was removed.
  void remove_app(const std::string& app);
  /// Kills the sandboxes that have a layer which was removed: no version uses them.
  void remove_layer(const std::string& layer_key);
  /// Adds what the runtime zygotes hold to the metrics, for the time since it was called last.
  void count_held(base::SteadyTime now);
  /// Writes what each app's runtime zygotes have held as a record of model::kRuntimesName, where the last one is that
  /// old. Errors: the first one's of the usage log; what could not be written is in the next.
  base::Result<> note_held(base::SteadyTime now, base::Duration interval);

 private:
  struct Key {
    std::string app;
    std::string layer_key;
    std::vector<std::string> image_layers;
    auto operator<=>(const Key&) const = default;
  };
  struct Entry {
    std::uint64_t id = 0;
    bool ready = false;
    base::SteadyTime booted_at{};
    std::string no_forks_because;
    base::Bytes bytes;
    std::vector<std::shared_ptr<io::OneShot<base::Result<ReadySandbox>>>> waiters;
    /// There is a process.
    bool holds() const { return ready && no_forks_because.empty(); }
  };

  /// Before their number changes.
  void count(base::SteadyTime now) EBB_REQUIRES(mutex_);
  void remove_where(const std::function<bool(const Key&)>& gone);
  static io::Task<> boot(SandboxPool& pool, Key key, std::uint32_t uid_index, std::uint64_t id);
  struct Booted {
    std::string no_forks_because;  // why there are no forks from zygotes on this host; empty where there are
    base::Bytes bytes;
  };
  io::Task<base::Result<Booted>> try_boot(Key key, std::uint32_t uid_index, std::uint64_t id);

  Services& services_;
  base::Mutex mutex_;
  std::map<Key, Entry> entries_ EBB_GUARDED_BY(mutex_);
  std::map<std::string, meter::HeldCount> held_ EBB_GUARDED_BY(mutex_);  // by app
  base::SteadyTime counted_at_ EBB_GUARDED_BY(mutex_){};
};

}  // namespace ebb::node
