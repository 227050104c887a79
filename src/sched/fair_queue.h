// In which order the apps of a node, and the functions of each, get what they all want (forks, memory): shares of
// service, not of requests.
//
// Start-time fair queueing, twice: each app that waits has a tag, the later of the virtual time and the end of its last
// service; the least tag goes first and sets the virtual time. Whose turn it is among the functions of that app is
// found likewise. An app that floods only delays itself: a light app's next item waits for at most one item of every
// other app; and a function that floods delays its siblings by one item each. Items of one function leave in order of
// arrival. Invariants: size() items are inside; virtual times never fall while something waits. Cost: O(log apps
// waiting + log functions waiting of the app). Source: Goyal, Vin and Cheng, SIGCOMM 1996, hierarchical as there in
// section 3; per-flow fairness in front of workers as in Iluvatar (MQFQ).
#pragma once

#include <algorithm>
#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <set>
#include <tuple>
#include <unordered_map>

namespace ebb::sched {

/// Whose turn it is among keys that have something waiting. It remembers every key that ever joined.
template <typename Key>
class FairLine {
 public:
  /// `key` has something waiting from now on; it had nothing.
  void join(Key key) {
    Flow& flow = flows_[key];
    line_up(key, flow, std::max(virtual_time_, flow.finish));
  }
  /// It has nothing waiting any more, and its place in line is free.
  void leave(Key key) {
    const Flow& flow = flows_.at(key);
    heads_.erase({flow.tag, flow.order, key});
  }
  /// Whose turn it is, of those that `may`. Cost: O(those before it that may not).
  template <typename May>
  std::optional<Key> next(const May& may) const {
    for (const auto& [tag, order, key] : heads_) {
      if (may(key)) return key;
    }
    return std::nullopt;
  }
  /// It was served, and has `more` waiting or not.
  void serve(Key key, double cost, bool more) {
    leave(key);
    Flow& flow = flows_.at(key);
    virtual_time_ = std::max(virtual_time_, flow.tag);
    flow.finish = flow.tag + std::max(0.0, cost);
    if (more) line_up(key, flow, flow.finish);
  }

 private:
  struct Flow {
    double finish = 0;        // virtual end of what was served last
    double tag = 0;           // of what is in front
    std::uint64_t order = 0;  // equal tags: who came first
  };

  void line_up(Key key, Flow& flow, double tag) {
    flow.tag = tag;
    flow.order = next_order_++;
    heads_.emplace(flow.tag, flow.order, key);
  }

  double virtual_time_ = 0;
  std::uint64_t next_order_ = 0;
  std::unordered_map<Key, Flow> flows_;
  std::set<std::tuple<double, std::uint64_t, Key>> heads_;
};

class FairQueue {
 public:
  using App = std::uint32_t;
  using Function = std::uint64_t;  // of whatever version; a number that no two functions of the app have

  struct Item {
    App app = 0;
    Function function = 0;
    std::uint64_t id = 0;
    double cost = 1;  // of service, in whatever unit all items share: seconds of a processor, MB
  };

  explicit FairQueue(std::size_t items_max) : items_max_(items_max) {}

  /// False when the queue is full.
  bool push(const Item& item);
  std::optional<Item> pop();
  /// The next of those apps alone that `may`, whoever is before them.
  std::optional<Item> pop_of(const std::function<bool(App)>& may);
  /// The item, when it was inside and is not any more. Cost: O(backlog of its app).
  std::optional<Item> withdraw(App app, std::uint64_t id);
  std::size_t size() const { return size_; }

 private:
  struct Waiting {
    FairLine<Function> line;
    std::unordered_map<Function, std::deque<Item>> items;  // none of them is empty
  };

  std::size_t items_max_;
  std::size_t size_ = 0;
  FairLine<App> line_;
  std::unordered_map<App, Waiting> apps_;  // those that wait
};

}  // namespace ebb::sched
