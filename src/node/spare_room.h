// The room for spares of a node (sched/spare_bounds.h), shared by its versions.
//
// A version takes a place before it starts one and gives it back when a call has taken the spare or it has ended.
// Threads: any. Cost: one lock.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <utility>

#include "base/bytes.h"
#include "base/mutex.h"
#include "sched/spare_bounds.h"

namespace ebb::node {

class SpareRoom : public std::enable_shared_from_this<SpareRoom> {
 public:
  /// As sched::SpareBounds.
  SpareRoom(std::uint32_t spares_most, base::Bytes memory_most) : bounds_(spares_most, memory_most) {}

  /// Given back at its end.
  class Place {
   public:
    Place(std::shared_ptr<SpareRoom> room, base::Bytes bytes) : room_(std::move(room)), bytes_(bytes) {}
    Place(Place&& other) noexcept = default;
    Place& operator=(Place&&) = delete;
    ~Place() {
      if (room_) room_->give_back(bytes_);
    }
    /// What the spare really uses.
    void resize(base::Bytes bytes) { room_->resize(std::exchange(bytes_, bytes), bytes); }

   private:
    std::shared_ptr<SpareRoom> room_;  // a start may be given up after the engine's end
    base::Bytes bytes_;
  };

  /// For a spare that is expected to use so much; nothing when there is no room.
  std::optional<Place> take(base::Bytes expected) {
    base::MutexLock lock(mutex_);
    if (!bounds_.take(expected)) return std::nullopt;
    return Place(shared_from_this(), expected);
  }

  /// Spares that are ready or starting.
  std::uint32_t taken() const {
    base::MutexLock lock(mutex_);
    return bounds_.taken();
  }

 private:
  void resize(base::Bytes before, base::Bytes after) {
    base::MutexLock lock(mutex_);
    bounds_.resize(before, after);
  }
  void give_back(base::Bytes bytes) {
    base::MutexLock lock(mutex_);
    bounds_.give_back(bytes);
  }

  mutable base::Mutex mutex_;
  sched::SpareBounds bounds_ EBB_GUARDED_BY(mutex_);
};

}  // namespace ebb::node
