// Quotas: how many calls a second and how many at once an app may have, over all its functions and versions, how much
// memory its instances may take together, and how much its packages and layers on disk; and an organisation over all
// its apps. Beside what an administrator set there is the most instances that an app's own manifest allows.
//
// A call that finds no place is refused with 429 before it waits or costs anything, an instance that finds no room is
// not started, and a deployment that would take too much is refused; so a quota is never exceeded. Set
// and removed by an administrator; a quota belongs to a name, as a budget does. Asked by Engine for every call. Cost of
// a call: a few atomic operations; no lock. Threads: any.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "base/result.h"
#include "model/quota.h"
#include "node/departures.h"
#include "sched/call_rate.h"

namespace ebb::node {

/// Of one app or organisation; it stays valid, quota or not.
class Gate : public std::enable_shared_from_this<Gate> {
 public:
  explicit Gate(model::Holder holder) : holder_(std::move(holder)) {}

  /// A call's place, from its arrival to its answer's last byte: in the app and in the organisation that it was in.
  class Place {
   public:
    explicit Place(std::shared_ptr<Gate> gate) : gate_(std::move(gate)) {}
    ~Place() {
      if (gate_) gate_->inside_.fetch_sub(1);
      if (organisation_) organisation_->inside_.fetch_sub(1);
    }
    Place(Place&& other) noexcept = default;
    Place(const Place&) = delete;
    Place& operator=(const Place&) = delete;
    Place& operator=(Place&&) = delete;

   private:
    friend class Gate;
    std::shared_ptr<Gate> gate_;
    std::shared_ptr<Gate> organisation_;
  };

  /// The place and the memory of an instance, from the order to start it to its end: in the app and in the organisation
  /// that it was in.
  class Room {
   public:
    Room(std::shared_ptr<Gate> gate, base::Bytes memory) : gate_(std::move(gate)), memory_(memory) {}
    ~Room() {
      if (gate_) gate_->give_back(memory_, leaving_);
      if (organisation_) organisation_->give_back(memory_, leaving_);
    }
    Room(Room&& other) noexcept = default;
    Room(const Room&) = delete;
    Room& operator=(const Room&) = delete;
    Room& operator=(Room&&) = delete;

    /// The instance was told to end: who finds no room may wait for this one. Once.
    void leave();
    bool leaving() const { return leaving_; }

   private:
    friend class Gate;
    std::shared_ptr<Gate> gate_;
    std::shared_ptr<Gate> organisation_;
    base::Bytes memory_;
    bool leaving_ = false;
  };

  /// `gate` is an app's. Errors: kResourceExhausted, with the quota or the most instances, and what to do.
  static base::Result<Room> make_room(const std::shared_ptr<Gate>& gate, base::Bytes memory);

  /// Of an app's instances and, where it is in an organisation, those of all its apps.
  static Departures& departures(Gate& gate);

  /// Whether an app's instances, or its organisation's, share a quota of memory or a number of places.
  bool bounds_room() const;
  struct Instances {
    std::uint32_t now = 0;
    std::uint32_t most = 0;  // by the app's manifest; 0: no bound
  };
  /// Of an app, in any state.
  Instances instances() const;

  /// Whether an instance with so much memory has room when it is alone: else nothing need end for it.
  bool may_ever_hold(base::Bytes memory) const;

  using Taker = sched::CallRate::Taker;
  /// `gate` is an app's. A yielding call comes in only where half of the quota is left free, so that callers who wait
  /// find room. Errors: kResourceExhausted, with the quota and when to come again.
  static base::Result<Place> enter(const std::shared_ptr<Gate>& gate, base::SteadyTime now,
                                   Taker taker = Taker::kFirst);

 private:
  friend class Quotas;

  /// Counts the call, and says whether it has a place.
  bool step_in(Taker taker);
  /// Takes so much, and says whether there was that; `most` is 0 for no bound.
  static bool take(std::atomic<std::uint64_t>& taken, std::uint64_t most, std::uint64_t amount);
  void give_back(base::Bytes memory, bool leaving);
  base::Error no_room(base::Bytes memory) const;
  base::Error no_place() const;
  base::Error too_many(Taker taker) const;
  base::Error too_fast(base::Duration wait) const;

  const model::Holder holder_;
  std::atomic<Gate*> organisation_{nullptr};  // of an app: kept by Quotas as long as this
  sched::CallRate rate_;
  std::atomic<std::uint64_t> milli_calls_per_second_{0};  // as it was set
  std::atomic<std::uint64_t> inside_most_{0};             // 0: no bound
  std::atomic<std::uint64_t> inside_{0};
  std::atomic<std::uint64_t> memory_most_{0};  // 0: no bound
  std::atomic<std::uint64_t> memory_{0};       // of the instances there are
  std::atomic<std::uint64_t> storage_most_{0};
  std::atomic<std::uint64_t> instances_most_{0};  // of an app, by its manifest; 0: no bound
  std::atomic<std::uint64_t> instances_{0};
  Departures departures_;
};

class Quotas {
 public:
  /// An app's.
  std::shared_ptr<Gate> gate(const std::string& app) EBB_EXCLUDES(mutex_);
  /// In place of what was set before; an empty one removes it. Calls that are inside stay.
  void set(const model::Quota& quota) EBB_EXCLUDES(mutex_);
  /// How many instances the app may have from now on, 0 for no bound; those that are too many by then stay.
  void limit_instances(const std::string& app, std::uint32_t most) EBB_EXCLUDES(mutex_);
  /// From the next call on the app's calls count for that organisation.
  void belong(const std::string& app, const std::string& organisation) EBB_EXCLUDES(mutex_);

  /// What packages and layers may take; nothing: no bound.
  std::optional<base::Bytes> storage_of(const model::Holder& holder) EBB_EXCLUDES(mutex_);

  struct View {
    model::Quota quota;
    std::uint64_t calls_now = 0;
    base::Bytes memory_now{};
  };
  /// Those of apps that have one, by name, then those of organisations.
  std::vector<View> views() EBB_EXCLUDES(mutex_);

 private:
  using Gates = std::map<std::string, std::shared_ptr<Gate>>;
  std::shared_ptr<Gate> gate_of(const model::Holder& holder) EBB_REQUIRES(mutex_);

  base::Mutex mutex_;
  Gates apps_ EBB_GUARDED_BY(mutex_);
  Gates organisations_ EBB_GUARDED_BY(mutex_);
};

}  // namespace ebb::node
