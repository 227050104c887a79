// In which order the apps of a node get what they all want (forks, memory): shares of service, not of requests.
//
// Start-time fair queueing: each waiting item gets a tag, the later of the virtual time and the end of its app's last
// item; the least tag goes first and sets the virtual time. An app that floods only delays itself: a light app's next
// item waits for at most one item of every other app. Items of one app leave in order of arrival, whichever of its
// functions they are for: an app is one owner's, who bounds a function by its scale.max. Invariants: size() items are
// inside; virtual time never falls. Cost: O(1) for an item whose app has others waiting, else O(log apps waiting).
// Allocation: only when more apps wait than ever before, or an app's backlog grows. Source: Goyal, Vin and Cheng,
// SIGCOMM 1996; per-flow fairness in front of workers as in Iluvatar (MQFQ).
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <queue>
#include <vector>

namespace ebb::sched {

class FairQueue {
 public:
  using App = std::uint32_t;  // small numbers

  struct Item {
    App app = 0;
    std::uint64_t id = 0;
    double cost = 1;  // of service, in whatever unit all items share: seconds of a processor, MB
  };

  explicit FairQueue(std::size_t items_max) : items_max_(items_max) {}

  /// False when the queue is full.
  bool push(Item item);
  std::optional<Item> pop();
  /// True when it was inside and is not any more. Cost: O(backlog of its app).
  bool withdraw(App app, std::uint64_t id);
  std::size_t size() const { return size_; }
  std::size_t backlog(App app) const { return app < apps_.size() ? apps_[app].items.size() : 0; }

 private:
  struct Flow {
    std::deque<Item> items;
    double finish = 0;  // virtual end of the item served last
    double tag = 0;     // of the item in front
    std::uint64_t turn = 0;
  };
  struct Head {
    double tag;
    std::uint64_t order;  // equal tags: who came first
    App app;
    bool operator>(const Head& other) const { return tag != other.tag ? tag > other.tag : order > other.order; }
  };

  void line_up(App app);

  std::size_t items_max_;
  std::size_t size_ = 0;
  double virtual_time_ = 0;
  std::uint64_t order_ = 0;
  std::vector<Flow> apps_;
  std::priority_queue<Head, std::vector<Head>, std::greater<>> heads_;  // stale ones are skipped by their order
};

}  // namespace ebb::sched
