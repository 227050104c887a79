// What of the node functions have reserved (`scale.reserve`) and do not use yet: room for instances that no other
// function is given.
//
// It holds back the starts of others; what they run already may still grow to its limits. Each version says what is
// missing to its own reserve whenever it has an instance more or less. Cost: O(log n), n of functions with a reserve.
// Threads: any.
#pragma once

#include <compare>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/id.h"
#include "base/mutex.h"
#include "base/result.h"
#include "model/config.h"
#include "model/manifest.h"
#include "model/version.h"

namespace ebb::node {

class Reserves {
 public:
  struct Room {
    base::Bytes memory;
    std::uint32_t instances = 0;
  };

  /// What a version lacks now, in place of what it said before. An empty room forgets it.
  void set(const model::Version& version, Room room) EBB_EXCLUDES(mutex_);
  /// What other functions lack: another version of the same function is to have its place, not to stand beside it.
  Room of_others(const model::Version& version) EBB_EXCLUDES(mutex_);

 private:
  struct Key {
    std::string app;
    std::string function;
    base::VersionId version{};
    auto operator<=>(const Key&) const = default;
  };

  base::Mutex mutex_;
  std::map<Key, Room> rooms_ EBB_GUARDED_BY(mutex_);
  Room all_ EBB_GUARDED_BY(mutex_);
};

/// Whether the node can keep what its functions will have reserved once `wanted` is deployed beside `current`, at
/// most limits::kReservableShare of its memory and of its instances, counted by the functions' own limits.
/// Errors: kInvalidArgument with the sum and the remedy.
base::Result<> check_reserves(const model::Manifest& wanted, const std::vector<model::Version>& current,
                              const model::Config& config);

}  // namespace ebb::node
