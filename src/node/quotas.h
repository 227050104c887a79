// Quotas: how many calls a second and how many at once an app may have, over all its functions and versions.
//
// A call that finds no place is refused with 429 before it waits or costs anything, so a quota is never exceeded. Set
// and removed by an administrator; a quota belongs to a name, as a budget does. Asked by Engine for every call. Cost of
// a call: two atomic operations without a quota, four with one; no lock. Threads: any.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "base/result.h"
#include "model/quota.h"
#include "sched/call_rate.h"

namespace ebb::node {

/// Of one app; it stays valid, quota or not.
class Gate {
 public:
  explicit Gate(std::string app) : app_(std::move(app)) {}

  /// A call's place, from its arrival to its answer's last byte.
  class Place {
   public:
    explicit Place(std::shared_ptr<Gate> gate) : gate_(std::move(gate)) {}
    ~Place() {
      if (gate_) gate_->inside_.fetch_sub(1);
    }
    Place(Place&& other) noexcept = default;
    Place(const Place&) = delete;
    Place& operator=(const Place&) = delete;
    Place& operator=(Place&&) = delete;

   private:
    std::shared_ptr<Gate> gate_;
  };

  /// Errors: kResourceExhausted, with the quota and when to come again.
  static base::Result<Place> enter(const std::shared_ptr<Gate>& gate, base::SteadyTime now);

 private:
  friend class Quotas;

  const std::string app_;
  sched::CallRate rate_;
  std::atomic<std::uint64_t> milli_calls_per_second_{0};  // as it was set
  std::atomic<std::uint64_t> inside_most_{0};             // 0: no bound
  std::atomic<std::uint64_t> inside_{0};
};

class Quotas {
 public:
  std::shared_ptr<Gate> gate(const std::string& app) EBB_EXCLUDES(mutex_);
  /// In place of what was set before; an empty one removes it. Calls that are inside stay.
  void set(const model::Quota& quota);

  struct View {
    model::Quota quota;
    std::uint64_t calls_now = 0;
  };
  /// Those of apps that have one, by name.
  std::vector<View> views() EBB_EXCLUDES(mutex_);

 private:
  base::Mutex mutex_;
  std::map<std::string, std::shared_ptr<Gate>> gates_ EBB_GUARDED_BY(mutex_);
};

}  // namespace ebb::node
