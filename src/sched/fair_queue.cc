#include "sched/fair_queue.h"

namespace ebb::sched {

bool FairQueue::push(const Item& item) {
  if (size_ >= items_max_) return false;
  const auto [app, app_is_new] = apps_.try_emplace(item.app);
  if (app_is_new) line_.join(item.app);
  Waiting& waiting = app->second;
  const auto [function, function_is_new] = waiting.items.try_emplace(item.function);
  if (function_is_new) waiting.line.join(item.function);
  function->second.push_back(item);
  ++size_;
  return true;
}

std::optional<FairQueue::Item> FairQueue::pop() {
  return pop_of([](App) { return true; });
}

std::optional<FairQueue::Item> FairQueue::pop_of(const std::function<bool(App)>& may) {
  const std::optional<App> app = line_.next(may);
  if (!app) return std::nullopt;
  Waiting& waiting = apps_.at(*app);
  const Function function = *waiting.line.next([](Function) { return true; });
  std::deque<Item>& items = waiting.items.at(function);
  const Item item = items.front();
  items.pop_front();
  --size_;
  waiting.line.serve(function, item.cost, !items.empty());
  if (items.empty()) waiting.items.erase(function);
  line_.serve(*app, item.cost, !waiting.items.empty());
  if (waiting.items.empty()) apps_.erase(*app);
  return item;
}

// The app and the function keep their places in line: what was not used is not charged.
std::optional<FairQueue::Item> FairQueue::withdraw(App app, std::uint64_t id) {
  const auto found = apps_.find(app);
  if (found == apps_.end()) return std::nullopt;
  Waiting& waiting = found->second;
  for (auto& [function, items] : waiting.items) {
    const auto at = std::find_if(items.begin(), items.end(), [&](const Item& item) { return item.id == id; });
    if (at == items.end()) continue;
    const Item item = *at;
    items.erase(at);
    --size_;
    if (!items.empty()) return item;
    waiting.line.leave(item.function);
    waiting.items.erase(item.function);
    if (!waiting.items.empty()) return item;
    line_.leave(app);
    apps_.erase(app);
    return item;
  }
  return std::nullopt;
}

}  // namespace ebb::sched
