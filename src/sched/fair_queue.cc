#include "sched/fair_queue.h"

#include <algorithm>

#include "base/check.h"

namespace ebb::sched {

bool FairQueue::push(Item item) {
  if (size_ >= items_max_) return false;
  if (item.app >= apps_.size()) apps_.resize(std::size_t{item.app} + 1);
  Flow& flow = apps_[item.app];
  flow.items.push_back(item);
  ++size_;
  if (flow.items.size() == 1) {
    flow.tag = std::max(virtual_time_, flow.finish);
    line_up(item.app);
  }
  return true;
}

std::optional<FairQueue::Item> FairQueue::pop() {
  while (!heads_.empty()) {
    const Head head = heads_.top();
    heads_.pop();
    Flow& flow = apps_[head.app];
    if (flow.turn != head.order || flow.items.empty()) continue;
    const Item item = flow.items.front();
    flow.items.pop_front();
    EBB_CHECK(size_ > 0);
    --size_;
    virtual_time_ = std::max(virtual_time_, head.tag);
    flow.finish = head.tag + std::max(0.0, item.cost);
    if (!flow.items.empty()) {
      flow.tag = flow.finish;
      line_up(head.app);
    }
    return item;
  }
  return std::nullopt;
}

bool FairQueue::withdraw(App app, std::uint64_t id) {
  if (app >= apps_.size()) return false;
  std::deque<Item>& items = apps_[app].items;
  const auto at = std::find_if(items.begin(), items.end(), [&](const Item& item) { return item.id == id; });
  if (at == items.end()) return false;
  items.erase(at);  // the app keeps its place in line: what it did not use is not charged
  --size_;
  if (size_ == 0) heads_ = {};  // else what is withdrawn for ever would stay in line for ever
  return true;
}

void FairQueue::line_up(App app) {
  apps_[app].turn = order_;
  heads_.push({.tag = apps_[app].tag, .order = order_++, .app = app});
}

}  // namespace ebb::sched
