#include "sched/async_queue.h"

#include <algorithm>

#include "base/check.h"
#include "base/limits_async.h"

namespace ebb::sched {
namespace {

base::Duration doubled(base::Duration first, std::uint32_t times, base::Duration most) {
  for (; times > 0 && first < most; --times) first *= 2;
  return std::min(first, most);
}

std::string count_text(std::uint32_t attempts) {
  return std::to_string(attempts) + (attempts == 1 ? " attempt" : " attempts");
}

}  // namespace

void AsyncQueue::add(AsyncCall call) {
  const base::InvocationId id = call.id;
  const auto [at, fresh] = calls_.emplace(id, Entry{.call = std::move(call), .order = next_order_++});
  EBB_CHECK(fresh);
  deadlines_.emplace(at->second.call.deadline, id);
  wait(at->second);
}

void AsyncQueue::wait(Entry& entry) {
  Lane& lane = lanes_[name_of(entry.call)];
  const bool fresh = lane.waiting.emplace(Turn{entry.call.due, entry.order}, entry.call.id).second;
  EBB_CHECK(fresh);
}

void AsyncQueue::leave_lane(const Entry& entry) {
  const Name name = name_of(entry.call);
  lanes_.at(name).waiting.erase({entry.call.due, entry.order});
  forget_lane(name);
}

void AsyncQueue::forget_lane(const Name& name) {
  const auto at = lanes_.find(name);
  if (at != lanes_.end() && at->second.waiting.empty() && at->second.running == 0) lanes_.erase(at);
}

bool AsyncQueue::has_room(const std::string& app) const {
  const std::uint32_t free = bounds_.per_node - std::min(bounds_.per_node, running_);
  const auto at = running_of_.find(app);
  return (at == running_of_.end() ? 0 : at->second) < std::min(bounds_.per_app, free);
}

std::optional<AsyncQueue::VersionName> AsyncQueue::may_begin(Lane& lane, base::SteadyTime now,
                                                             const LeaveOf& leave_of) const {
  if (lane.waiting.empty() || lane.waiting.begin()->first.first > now || lane.held_until > now) return std::nullopt;
  const AsyncCall& call = calls_.at(lane.waiting.begin()->second).call;
  if (!has_room(call.app)) return std::nullopt;
  Leave leave = leave_of(call);
  lane.held_because = std::move(leave.why_not);
  if (!lane.held_because.empty()) {
    lane.held_until = now + leave.ask_again;
    return std::nullopt;
  }
  const VersionName version{call.app, call.function, leave.version};
  const auto at = running_at_.find(version);
  if (at != running_at_.end() && at->second >= leave.places) return std::nullopt;
  return version;
}

std::optional<AsyncCall> AsyncQueue::next(base::SteadyTime now, const LeaveOf& leave_of) {
  auto at = lanes_.upper_bound(last_);
  for (std::size_t looked_at = 0; looked_at < lanes_.size(); ++looked_at, ++at) {
    if (at == lanes_.end()) at = lanes_.begin();
    auto& [name, lane] = *at;
    const std::optional<VersionName> version = may_begin(lane, now, leave_of);
    if (!version) continue;
    Entry& entry = calls_.at(lane.waiting.begin()->second);
    lane.waiting.erase(lane.waiting.begin());
    entry.running = true;
    entry.version = std::get<2>(*version);
    ++lane.running;
    ++running_;
    ++running_of_[entry.call.app];
    ++running_at_[*version];
    last_ = name;
    return entry.call;
  }
  return std::nullopt;
}

void AsyncQueue::ended_running(const Entry& entry) {
  const AsyncCall& call = entry.call;
  const Name name = name_of(call);
  --lanes_.at(name).running;
  --running_;
  if (--running_of_.at(call.app) == 0) running_of_.erase(call.app);
  const auto at = running_at_.find({call.app, call.function, entry.version});
  EBB_CHECK(at != running_at_.end());
  if (--at->second == 0) running_at_.erase(at);
  forget_lane(name);
}

std::optional<AsyncVerdict> AsyncQueue::ended(const base::InvocationId& id, const AsyncEnd& end, base::SteadyTime now) {
  using How = AsyncEnd::How;
  using Next = AsyncVerdict::Next;
  const auto at = calls_.find(id);
  if (at == calls_.end() || !at->second.running) return std::nullopt;
  Entry& entry = at->second;
  AsyncCall& call = entry.call;
  AsyncVerdict verdict{.next = Next::kWaits, .why = end.why};
  entry.running = false;
  if (end.how == How::kFailed) ++call.attempts;
  entry.faults = end.how == How::kFault ? entry.faults + 1 : 0;
  switch (end.how) {
    case How::kDone: verdict.next = Next::kDone; break;
    case How::kHopeless: verdict.next = Next::kFailed; break;
    case How::kFailed:
      call.due = now + doubled(call.terms.retry_after, call.attempts - 1, limits::kAsyncRetryAfterMax);
      if (call.attempts > call.terms.retries) {
        verdict.next = Next::kFailed;
      } else if (call.due >= call.deadline) {
        verdict.next = Next::kFailed;
        verdict.why += "; the next attempt would begin after max_age";
      }
      break;
    case How::kRefused: {
      Lane& lane = lanes_.at(name_of(call));
      const base::Duration least = std::chrono::seconds(1);
      lane.held_until = now + std::clamp<base::Duration>(end.retry_after, least, limits::kAsyncHoldMax);
      lane.held_because = end.why;
      break;
    }
    case How::kFault:
      call.due = now + doubled(limits::kAsyncFaultPauseMin, entry.faults - 1, limits::kAsyncFaultPauseMax);
      break;
  }
  verdict.attempts = call.attempts;
  verdict.due = call.due;
  if (verdict.next == Next::kWaits) wait(entry);
  ended_running(entry);
  if (verdict.next == Next::kWaits) return verdict;
  deadlines_.erase({call.deadline, id});
  calls_.erase(at);
  return verdict;
}

std::vector<AsyncQueue::Expired> AsyncQueue::expire(base::SteadyTime now) {
  std::vector<Expired> expired;
  for (auto at = deadlines_.begin(); at != deadlines_.end() && at->first <= now;) {
    const auto found = calls_.find(at->second);
    EBB_CHECK(found != calls_.end());
    const Entry& entry = found->second;
    if (entry.running) {  // it ends as it ends
      ++at;
      continue;
    }
    const std::string held = held_because(entry.call.app, entry.call.function, entry.call.version, now);
    expired.push_back({.id = entry.call.id,
                       .attempts = entry.call.attempts,
                       .why = "it waited for its max_age of " + base::to_string(entry.call.terms.max_age) + ", after " +
                              count_text(entry.call.attempts) + (held.empty() ? "" : ": " + held)});
    leave_lane(entry);
    calls_.erase(found);
    at = deadlines_.erase(at);
  }
  return expired;
}

AsyncQueue::Removed AsyncQueue::remove(const base::InvocationId& id) {
  const auto at = calls_.find(id);
  if (at == calls_.end()) return Removed::kNotInside;
  if (at->second.running) return Removed::kRuns;
  deadlines_.erase({at->second.call.deadline, id});
  leave_lane(at->second);
  calls_.erase(at);
  return Removed::kYes;
}

void AsyncQueue::remove_all(const std::string& app, const std::string& function) {
  for (auto at = calls_.begin(); at != calls_.end();) {
    const Entry& entry = at->second;
    if (entry.call.app != app || (!function.empty() && entry.call.function != function)) {
      ++at;
      continue;
    }
    deadlines_.erase({entry.call.deadline, at->first});
    if (entry.running) {
      ended_running(entry);
    } else {
      leave_lane(entry);
    }
    at = calls_.erase(at);
  }
}

bool AsyncQueue::hasten(const base::InvocationId& id, base::SteadyTime now) {
  const auto at = calls_.find(id);
  if (at == calls_.end() || at->second.running) return false;
  leave_lane(at->second);
  at->second.call.due = std::min(at->second.call.due, now);
  wait(at->second);
  return true;
}

void AsyncQueue::release() {
  for (auto& [name, lane] : lanes_) lane.held_until = {};
}

std::string AsyncQueue::held_because(const std::string& app, const std::string& function, const std::string& version,
                                     base::SteadyTime now) const {
  const auto at = lanes_.find({app, function, version});
  // A moment after its end it is still what kept them: they are looked at again with the next tick.
  const bool held = at != lanes_.end() && at->second.held_until + limits::kAsyncBudgetLook > now;
  return held ? at->second.held_because : std::string();
}

std::optional<AsyncQueue::View> AsyncQueue::view(const base::InvocationId& id, base::SteadyTime now) const {
  const auto at = calls_.find(id);
  if (at == calls_.end()) return std::nullopt;
  const Entry& entry = at->second;
  if (entry.running) return View{.running = true};
  View view{.waits_because = held_because(entry.call.app, entry.call.function, entry.call.version, now)};
  if (view.waits_because.empty() && entry.call.due > now) {
    view.waits_because = entry.faults > 0
                             ? "the platform failed, it is tried again soon"
                             : "it has failed after " + count_text(entry.call.attempts) + ", the next one comes later";
  }
  return view;
}

std::vector<base::InvocationId> AsyncQueue::running(const std::string& app, const std::string& function) const {
  std::vector<base::InvocationId> running;
  for (const auto& [id, entry] : calls_) {
    const bool asked = (app.empty() || entry.call.app == app) && (function.empty() || entry.call.function == function);
    if (entry.running && asked) running.push_back(id);
  }
  return running;
}

std::map<std::string, AsyncQueue::Count> AsyncQueue::counts() const {
  std::map<std::string, Count> counts;
  for (const auto& [id, entry] : calls_) {
    Count& count = counts[entry.call.app];
    ++(entry.running ? count.running : count.waiting);
    count.oldest = std::min(count.oldest, entry.call.accepted);
  }
  return counts;
}

}  // namespace ebb::sched
