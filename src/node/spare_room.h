// How many spares (sched/spares.h) a node keeps, and in how much memory: all functions together.
//
// A version takes a place before it starts one and gives it back when a call has taken the spare or it has ended. What
// a spare uses is known once it is ready; so the sum may pass the bound by what those that start at one time turn out
// to use, and then no other is started. Threads: any. Cost: one lock.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <utility>

#include "base/bytes.h"
#include "base/mutex.h"

namespace ebb::node {

class SpareRoom : public std::enable_shared_from_this<SpareRoom> {
 public:
  /// `memory_most` 0: no bound but the count.
  SpareRoom(std::uint32_t spares_most, base::Bytes memory_most)
      : spares_most_(spares_most), memory_most_(memory_most) {}

  /// Given back at its end.
  class Place {
   public:
    Place(std::shared_ptr<SpareRoom> room, base::Bytes bytes) : room_(std::move(room)), bytes_(bytes) {}
    Place(Place&& other) noexcept = default;
    Place& operator=(Place&&) = delete;
    ~Place() {
      if (room_) room_->change(-1, bytes_, base::Bytes{});
    }
    /// What the spare really uses.
    void resize(base::Bytes bytes) { room_->change(0, std::exchange(bytes_, bytes), bytes); }

   private:
    std::shared_ptr<SpareRoom> room_;  // a start may be given up after the engine's end
    base::Bytes bytes_;
  };

  /// For a spare that is expected to use so much; nothing when there is no room.
  std::optional<Place> take(base::Bytes expected) {
    base::MutexLock lock(mutex_);
    if (taken_ >= spares_most_) return std::nullopt;
    if (memory_most_.count > 0 && bytes_.count + expected.count > memory_most_.count) return std::nullopt;
    ++taken_;
    bytes_.count += expected.count;
    return Place(shared_from_this(), expected);
  }

  /// Spares that are ready or starting.
  std::uint32_t taken() const {
    base::MutexLock lock(mutex_);
    return taken_;
  }

 private:
  void change(int places, base::Bytes before, base::Bytes after) {
    base::MutexLock lock(mutex_);
    taken_ += static_cast<std::uint32_t>(places);
    bytes_.count = bytes_.count - before.count + after.count;
  }

  const std::uint32_t spares_most_;
  const base::Bytes memory_most_;
  mutable base::Mutex mutex_;
  std::uint32_t taken_ EBB_GUARDED_BY(mutex_) = 0;
  base::Bytes bytes_ EBB_GUARDED_BY(mutex_);
};

}  // namespace ebb::node
