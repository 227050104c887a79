// What of the node functions and apps have reserved (`scale.reserve`, `reserve`) and do not use yet: room for instances
// that nobody else is given.
//
// 1. It holds back the starts of others; what they run already may still grow to its limits.
// 2. What an app has reserved and what its functions have are one room: the larger counts, not the sum. Another app is
// to leave it whole, a function of the app what the app's other functions have reserved for themselves.
// Each version says how many instances it has whenever that changes. Cost: O(n), n of the app's versions that have
// instances or keep room. Threads: any.
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
#include "store/metadata.h"

namespace ebb::node {

class Reserves {
 public:
  struct Room {
    base::Bytes memory;
    std::uint32_t instances = 0;
  };

  /// Of one version.
  struct Use {
    std::uint32_t reserve = 0;    // that it is to have room for; 0 unless it is the current one
    std::uint32_t instances = 0;  // that it has
    base::Bytes each;             // what an instance needs; 0 unless it is the current one
  };

  /// How many instances of the app, whichever function's, there is to be room for, as long as it has a current version.
  void set_app(const std::string& app, std::uint32_t reserve) EBB_EXCLUDES(mutex_);
  std::uint32_t of_app(const std::string& app) EBB_EXCLUDES(mutex_);
  /// In place of what the version said before. An empty one forgets it.
  void set(const model::Version& version, Use use) EBB_EXCLUDES(mutex_);
  /// What is to be left by a start of this version. Another version of the same function is to have its place, not to
  /// stand beside it.
  Room of_others(const model::Version& version) EBB_EXCLUDES(mutex_);

 private:
  struct Key {
    std::string function;
    base::VersionId version{};
    auto operator<=>(const Key&) const = default;
  };
  struct App {
    std::uint32_t reserve = 0;
    std::map<Key, Use> uses{};
    Room lacks{};  // as it is counted in all_
  };
  static Room lacking(const Use& use);
  static Room lacking(const App& app);
  /// After a change of the app's.
  void count(const std::string& name, App& app) EBB_REQUIRES(mutex_);

  base::Mutex mutex_;
  std::map<std::string, App> apps_ EBB_GUARDED_BY(mutex_);
  Room all_ EBB_GUARDED_BY(mutex_);
};

/// Whether the node can keep what its functions and apps will have reserved once `wanted` is deployed beside `current`,
/// at most limits::kReservableShare of its memory and of its instances. A function's instances are counted by its
/// `memory`, an app's by the largest `memory` of its functions. `apps` are those there are.
/// Errors: kInvalidArgument with the sum and the remedy.
base::Result<> check_reserves(const model::Manifest& wanted, const std::vector<model::Version>& current,
                              const std::vector<store::App>& apps, const model::Config& config);

}  // namespace ebb::node
