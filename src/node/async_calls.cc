#include "node/async_calls.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "base/limits_async.h"
#include "base/log.h"
#include "io/offload.h"
#include "meter/prometheus_text.h"
#include "model/alias.h"
#include "node/async_end.h"
#include "node/timer_call.h"

namespace ebb::node {

namespace {

using How = sched::AsyncEnd::How;
using Next = sched::AsyncVerdict::Next;
using Stored = store::StoredCall::State;

constexpr auto kFailedLook = std::chrono::seconds(10);  // between two looks at the clock, and for what is old

// Durations outlive a clock that is set while the daemon runs: wall time is for the disk, steady time for the rest.
base::WallTime wall_of(base::SteadyTime time, base::SteadyTime now, base::WallTime wall) { return wall + (time - now); }

sched::AsyncCall waiting_call(const store::StoredCall& stored, base::SteadyTime now, base::WallTime wall) {
  const auto from_now = [&](base::WallTime time, base::Duration most) {
    return now + std::clamp<base::Duration>(time - wall, base::Duration::zero(), most);
  };
  const base::Duration age = std::clamp<base::Duration>(wall - stored.accepted, {}, limits::kAsyncAgeMax);
  return {.id = stored.id,
          .app = stored.app,
          .function = stored.function,
          .version = stored.version,
          .terms = stored.terms,
          .accepted = now - age,
          .due = from_now(stored.due, limits::kAsyncRetryAfterMax),
          .deadline = from_now(stored.deadline, stored.terms.max_age),
          .attempts = stored.attempts};
}

base::Error it_runs(const base::InvocationId& id) {
  return base::Error{.code = base::Code::kConflict,
                     .message = "call " + base::to_string(id) + " runs at this moment: wait for its end"};
}

std::string asked_version(const Call& call) {
  if (!call.alias.empty()) return call.alias;
  return call.version_number == 0 ? std::string() : std::to_string(call.version_number);
}

// Nobody reads the answer.
class Discard final : public http::BodyWriter {
 public:
  io::Task<base::Result<>> write(std::string_view) override { co_return base::Result<>(); }
  void cut() override {}
};

}  // namespace

// What an alias stands for is found out when the call is delivered.
void ask_for_version(Call& call, const std::string& version) {
  if (const auto number = model::parse_version_number(version)) {
    call.version_number = *number;
  } else {
    call.alias = version;
  }
}

/// One attempt under way. Whatever ends it ends it once: by default as a fault of the platform.
class AsyncCalls::Attempt {
 public:
  Attempt(AsyncCalls& calls, sched::AsyncCall call) : calls_(calls), call_(std::move(call)) { ++calls_.under_way_; }
  ~Attempt() {
    calls_.settle(call_, end);
    --calls_.under_way_;
  }
  Attempt(const Attempt&) = delete;
  Attempt& operator=(const Attempt&) = delete;

  sched::AsyncEnd end{.how = How::kFault, .why = "the node is stopping"};

 private:
  AsyncCalls& calls_;
  const sched::AsyncCall call_;
};

AsyncCalls::AsyncCalls(Services& services, store::Calls& calls, Node& node, InvokeAttempt invoke, RoomOf room_of)
    : services_(services),
      calls_(calls),
      node_(node),
      invoke_(invoke ? std::move(invoke) : [](Node& of, Call call) { return of.invoke(std::move(call)); }),
      room_of_(std::move(room_of)),
      queue_({.per_app = limits::kAsyncRunningPerApp, .per_node = limits::kAsyncRunningPerNode}) {}

void AsyncCalls::close() {
  stop();
  {
    std::lock_guard lock(unwritten_mutex_);
    ending_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

base::Result<> AsyncCalls::begin() {
  EBB_TRY(const std::vector<store::StoredCall> waiting, calls_.waiting());
  const base::SteadyTime now = base::steady_now();
  const base::WallTime wall = base::wall_now();
  base::MutexLock lock(mutex_);
  for (const store::StoredCall& stored : waiting) queue_.add(waiting_call(stored, now, wall));
  stopped_ = false;
  thread_ = std::thread([this] { run(); });
  return {};
}

void AsyncCalls::stop() {
  base::MutexLock lock(mutex_);
  stopped_ = true;
}

// --- acceptance ---

io::Task<base::Result<AcceptedCall>> AsyncCalls::accept(Call call, model::AsyncTerms terms,
                                                        std::optional<store::TimerDue> timer) {
  const base::WallTime now = base::wall_now();
  const bool of_timer = timer.has_value();
  std::string version = asked_version(call);
  AcceptedCall accepted{.waits_because = kept_by_budget(call.app)};
  if (accepted.waits_because.empty()) {
    base::MutexLock lock(mutex_);
    accepted.waits_because = queue_.held_because(call.app, call.function, version, base::steady_now());
  }
  const Written written = std::make_shared<io::OneShot<base::Result<>>>();
  bool too_many = false;
  {
    std::lock_guard lock(unwritten_mutex_);
    too_many = unwritten_.bytes + call.body.size() > limits::kAsyncUnwrittenBytes;
    if (!too_many) {
      unwritten_.bytes += call.body.size();
      unwritten_.waiters.push_back(written);
      unwritten_.batch.added.push_back({.call = {.id = call.id,
                                                 .app = call.app,
                                                 .function = call.function,
                                                 .version = std::move(version),
                                                 .content_type = std::move(call.content_type),
                                                 .traceparent = std::move(call.traceparent),
                                                 .tracestate = std::move(call.tracestate),
                                                 .terms = terms,
                                                 .accepted = now,
                                                 .due = now,
                                                 .deadline = now + terms.max_age,
                                                 .event_size = base::Bytes{call.body.size()}},
                                        .event = std::move(call.body),
                                        .timer = std::move(timer)});
    }
  }
  if (too_many) {
    // A timer's due time is not handled by this, as it is where the calls that are kept find no room.
    co_return base::Error{.code = of_timer ? base::Code::kUnavailable : base::Code::kResourceExhausted,
                          .message = "more events come than the disk takes, " +
                                     base::to_string(base::Bytes{limits::kAsyncUnwrittenBytes}) +
                                     " are on their way to it: try later",
                          .retry_after = std::chrono::seconds(1)};
  }
  changed_.notify_all();
  const base::SteadyTime limit = base::steady_now() + limits::kAsyncWriteTimeout;
  const std::optional<base::Result<>> result = co_await written->wait(limit);
  if (!result) {
    co_return base::unavailable("the disk has not taken the event within " +
                                base::to_string(base::Duration(limits::kAsyncWriteTimeout)) +
                                ": whether it is kept is not known, ebb calls ls may show it");
  }
  if (!*result) co_return result->error();
  co_return accepted;
}

// --- the thread that writes ---

void AsyncCalls::run() {
  meter::Retention retention(limits::kAsyncFailedDays, base::steady_now(), base::wall_now());
  base::SteadyTime look = base::steady_now();
  for (;;) {
    Unwritten unwritten = next_batch(look);
    const bool written = unwritten.empty() || write(std::move(unwritten));
    {
      std::lock_guard lock(unwritten_mutex_);
      // What the disk does not take now is as it was before: it is delivered again after the next start.
      if (ending_ && (unwritten_.empty() || !written)) return;
    }
    const base::SteadyTime now = base::steady_now();
    if (now < look) continue;
    look = now + kFailedLook;
    forget_old(retention, now);
  }
}

void AsyncCalls::forget_old(meter::Retention& retention, base::SteadyTime now) {
  const base::WallTime wall = base::wall_now();
  retention.see(now, wall);
  const auto before = retention.before(now, wall);
  const auto forgotten = before ? calls_.forget_failed(*before) : 0;
  if (!forgotten) {
    base::log(base::LogLevel::kError, "async_failed_calls_not_forgotten", {{"error", forgotten.error().message}});
  }
}

AsyncCalls::Unwritten AsyncCalls::next_batch(base::SteadyTime until) {
  std::unique_lock lock(unwritten_mutex_);
  changed_.wait_until(lock, until, [this] { return ending_ || !unwritten_.empty(); });
  return std::exchange(unwritten_, {});
}

bool AsyncCalls::write(Unwritten unwritten) {
  const auto refusals = commit(unwritten.batch);
  if (!refusals) {
    for (const Written& waiter : unwritten.waiters) waiter->set(refusals.error());
    // What is done makes room on a full disk, if what is new does not stand in its way.
    const bool with_new = !unwritten.batch.added.empty();
    unwritten.batch.added.clear();
    if (with_new && calls_.commit(unwritten.batch)) {
      on_disk(unwritten.batch);
      return true;
    }
    put_back(std::move(unwritten), refusals.error());
    return false;
  }
  on_disk(unwritten.batch);
  for (std::size_t at = 0; at < unwritten.waiters.size(); ++at) {
    const store::Calls::Refusal& refusal = refusals->at(at);
    unwritten.waiters[at]->set(refusal ? base::Result<>(*refusal) : base::Result<>());
  }
  tick(base::steady_now());
  return true;
}

void AsyncCalls::on_disk(const store::CallBatch& batch) {
  base::MutexLock lock(mutex_);
  for (const store::CallChange& changed : batch.changed) failing_.erase(changed.id);
}

base::Result<std::vector<store::Calls::Refusal>> AsyncCalls::commit(const store::CallBatch& batch) {
  base::MutexLock changing(changing_);
  EBB_TRY(auto refusals, calls_.commit(batch));
  for (std::size_t at = 0; at < batch.added.size(); ++at) {
    if (refusals.at(at)) continue;
    queue_up(batch.added[at].call);
    accepted_.add();
  }
  return refusals;
}

// It is on disk, waiting: what a removal takes away is there and queued, or neither.
void AsyncCalls::queue_up(const store::StoredCall& stored) {
  const sched::AsyncCall call = waiting_call(stored, base::steady_now(), base::wall_now());
  base::MutexLock lock(mutex_);
  queue_.add(call);
}

// What has become of calls is written when the disk is well again.
void AsyncCalls::put_back(Unwritten unwritten, const base::Error& error) {
  base::log(base::LogLevel::kError, "async_calls_not_written",
            {{"error", error.message}, {"effect", "calls that are done run again if the node ends before it is well"}});
  std::unique_lock lock(unwritten_mutex_);
  store::CallBatch& batch = unwritten.batch;
  std::move(unwritten_.batch.changed.begin(), unwritten_.batch.changed.end(), std::back_inserter(batch.changed));
  std::move(unwritten_.batch.removed.begin(), unwritten_.batch.removed.end(), std::back_inserter(batch.removed));
  unwritten_.batch.changed = std::move(batch.changed);
  unwritten_.batch.removed = std::move(batch.removed);
  changed_.wait_for(lock, limits::kAsyncWriteAgain, [this] { return ending_; });
}

void AsyncCalls::change(store::CallChange change) {
  {
    std::lock_guard lock(unwritten_mutex_);
    unwritten_.batch.changed.push_back(std::move(change));
  }
  changed_.notify_all();
}

// --- delivery ---

std::string AsyncCalls::kept_by_budget(const std::string& app) const {
  const auto account = services_.budgets.account(app);
  return account->spent() ? services_.budgets.refusal(*account, base::wall_now()).message : std::string();
}

sched::AsyncQueue::Leave AsyncCalls::leave_of(const sched::AsyncCall& call) const {
  const Room room = room_of_(call);
  return {.version = room.version,
          .places = room.places,
          .why_not = kept_by_budget(call.app),
          .ask_again = limits::kAsyncBudgetLook};
}

void AsyncCalls::tick(base::SteadyTime now) {
  std::vector<sched::AsyncCall> begun;
  std::vector<sched::AsyncQueue::Expired> expired;
  {
    base::MutexLock lock(mutex_);
    if (stopped_) return;
    expired = queue_.expire(now);
    const auto leave = [this](const sched::AsyncCall& call) { return leave_of(call); };
    while (auto call = queue_.next(now, leave)) begun.push_back(*std::move(call));
  }
  for (auto& call : expired) fail(call.id, call.attempts, std::move(call.why));
  for (auto& call : begun) {
    io::asio::io_context& core = services_.cores.context(next_core_++ % services_.cores.count());
    io::spawn(core, "deliver a call", deliver(*this, std::move(call)));
  }
}

void AsyncCalls::release() {
  {
    base::MutexLock lock(mutex_);
    queue_.release();
  }
  tick(base::steady_now());
}

Call AsyncCalls::call_of(store::NewCall stored, std::uint32_t attempt) {
  Call call{.id = stored.call.id, .app = std::move(stored.call.app), .function = std::move(stored.call.function)};
  ask_for_version(call, stored.call.version);
  call.kind = Call::Kind::kDirect;
  call.key_shown = Call::KeyShown::kGranted;
  call.content_type = std::move(stored.call.content_type);
  call.traceparent = std::move(stored.call.traceparent);
  call.tracestate = std::move(stored.call.tracestate);
  call.body = std::move(stored.event);
  call.arrived = base::steady_now();
  call.attempt = attempt;
  if (call.content_type == model::kTimerEventType) make_timer_call(call);
  return call;
}

io::Task<> AsyncCalls::deliver(AsyncCalls& self, sched::AsyncCall picked) {
  const base::InvocationId id = picked.id;
  const std::uint32_t number = picked.attempts + 1;
  Attempt attempt(self, std::move(picked));
  store::Calls& calls = self.calls_;
  std::function<base::Result<store::NewCall>()> read = [&calls, id] { return calls.with_event(id); };
  auto stored = co_await io::offload(self.services_.pool, "read an event", std::move(read));
  if (!stored) {
    attempt.end.why = stored.error().message;
    // It made way for others, or went with its app, in the moment in which it was queued: nothing is left to do.
    if (stored.error().code == base::Code::kNotFound) attempt.end.how = How::kDone;
    co_return;
  }
  Call call = call_of(*std::move(stored), number);
  const bool of_timer = !call.timer.empty();
  const auto outcome = std::make_shared<std::optional<model::Outcome>>();
  call.outcome = outcome;
  Reply reply = co_await self.invoke_(self.node_, std::move(call));
  if (reply.stream) {
    Discard nobody;
    const auto ended = co_await reply.stream(nobody);
    if (!ended) reply.error = ended.error();
  }
  attempt.end = async_end_of(reply.error, *outcome, of_timer ? std::optional(reply.status) : std::nullopt);
}

void AsyncCalls::settle(const sched::AsyncCall& call, const sched::AsyncEnd& end) {
  const base::SteadyTime now = base::steady_now();
  std::optional<sched::AsyncVerdict> verdict;
  {
    base::MutexLock lock(mutex_);
    verdict = queue_.ended(call.id, end, now);
  }
  if (!verdict) return;  // removed meanwhile
  if (verdict->next == Next::kDone) {
    delivered_.add();
    {
      std::lock_guard lock(unwritten_mutex_);
      unwritten_.batch.removed.push_back(call.id);
    }
    changed_.notify_all();
  } else if (verdict->next == Next::kFailed) {
    fail(call.id, verdict->attempts, std::move(verdict->why));
  } else if (end.how == How::kFailed) {
    change({.id = call.id,
            .attempts = verdict->attempts,
            .due = wall_of(verdict->due, now, base::wall_now()),
            .error = std::move(verdict->why)});
  }
  tick(now);
}

// The reason may hold what the function says: it is kept with the call, and not logged.
void AsyncCalls::fail(const base::InvocationId& id, std::uint32_t attempts, std::string why) {
  failed_.add();
  {
    base::MutexLock lock(mutex_);
    failing_.insert(id);
  }
  base::log(base::LogLevel::kWarning, "async_call_failed",
            {{"call", base::to_string(id)}, {"attempts", attempts}, {"see", "ebb calls show"}});
  change({.id = id, .state = Stored::kFailed, .attempts = attempts, .due = base::wall_now(), .error = std::move(why)});
}

// --- what is kept ---

AsyncCallView AsyncCalls::view_of(store::StoredCall stored, base::SteadyTime now) {
  AsyncCallView view;
  if (stored.state == Stored::kFailed) {
    view.state = AsyncCallView::State::kFailed;
  } else {
    base::MutexLock lock(mutex_);
    if (auto inside = queue_.view(stored.id, now)) {
      view.state = inside->running ? AsyncCallView::State::kRunning : AsyncCallView::State::kWaiting;
      view.waits_because = std::move(inside->waits_because);
    } else if (failing_.contains(stored.id)) {
      view.state = AsyncCallView::State::kRunning;
    }
  }
  view.call = std::move(stored);
  return view;
}

// Its end is on its way to the disk.
bool AsyncCalls::is_done(const AsyncCallView& view, base::SteadyTime now) {
  base::MutexLock lock(mutex_);
  const base::InvocationId& id = view.call.id;
  return view.call.state == Stored::kWaiting && !queue_.view(id, now) && !failing_.contains(id);
}

base::Result<std::vector<AsyncCallView>> AsyncCalls::list(const AsyncCallQuery& query,
                                                          const std::optional<std::set<std::string>>& apps) {
  using State = AsyncCallView::State;
  std::vector<std::string> asked{query.app};
  if (query.app.empty() && apps) {
    asked.clear();
    for (const auto& [app, kept] : calls_.kept()) {
      if (apps->contains(app)) asked.push_back(app);
    }
  }
  const base::SteadyTime now = base::steady_now();
  std::vector<AsyncCallView> views;
  const auto take = [&](std::vector<store::StoredCall> stored) {
    for (store::StoredCall& call : stored) {
      AsyncCallView view = view_of(std::move(call), now);
      if ((!query.state || *query.state == view.state) && !is_done(view, now)) views.push_back(std::move(view));
    }
  };
  for (const std::string& app : asked) {
    const store::CallFilter filter{.app = app, .function = query.function, .limit = query.limit};
    if (query.state != State::kFailed) {
      // The oldest run, and a page has the newest that wait.
      std::vector<base::InvocationId> running;
      {
        base::MutexLock lock(mutex_);
        running = queue_.running(app, query.function);
      }
      EBB_TRY(std::vector<store::StoredCall> waiting, calls_.calls(filter, Stored::kWaiting));
      for (const base::InvocationId& id : running) {
        const auto is_it = [&](const store::StoredCall& one) { return one.id == id; };
        if (std::any_of(waiting.begin(), waiting.end(), is_it)) continue;
        auto one = calls_.call(id);
        if (one) waiting.push_back(*std::move(one));
      }
      take(std::move(waiting));
    }
    if (!query.state || query.state == State::kFailed) {
      EBB_TRY(std::vector<store::StoredCall> failed, calls_.calls(filter, Stored::kFailed));
      take(std::move(failed));
    }
  }
  std::sort(views.begin(), views.end(), [](const auto& a, const auto& b) { return b.call.id < a.call.id; });
  if (views.size() > query.limit) views.resize(query.limit);
  return views;
}

base::Result<AsyncCallView> AsyncCalls::look(const base::InvocationId& id) {
  EBB_TRY(store::StoredCall stored, calls_.call(id));
  const base::SteadyTime now = base::steady_now();
  AsyncCallView view = view_of(std::move(stored), now);
  if (!is_done(view, now)) return view;
  // Its failure may have come to the disk since that was read.
  EBB_TRY(stored, calls_.call(id));
  view = view_of(std::move(stored), now);
  if (is_done(view, now)) return store::no_such_call(id);
  return view;
}

base::Result<std::string> AsyncCalls::event(const base::InvocationId& id) {
  EBB_TRY(store::NewCall stored, calls_.with_event(id));
  return std::move(stored.event);
}

base::Result<> AsyncCalls::retry(const base::InvocationId& id) {
  base::MutexLock changing(changing_);
  EBB_TRY(store::StoredCall stored, calls_.call(id));
  if (stored.state == Stored::kWaiting) {
    base::MutexLock lock(mutex_);
    if (!queue_.hasten(id, base::steady_now())) return it_runs(id);
  } else {
    const base::WallTime wall = base::wall_now();
    stored.state = Stored::kWaiting;
    stored.attempts = 0;
    stored.due = wall;
    stored.deadline = wall + stored.terms.max_age;
    store::CallBatch batch;
    batch.changed.push_back({.id = id, .due = wall, .error = stored.error, .deadline = stored.deadline});
    EBB_CHECKED(calls_.commit(batch));
    queue_up(stored);
  }
  tick(base::steady_now());
  return {};
}

base::Result<> AsyncCalls::remove(const base::InvocationId& id) {
  base::MutexLock changing(changing_);
  EBB_TRY(const store::StoredCall stored, calls_.call(id));
  auto removed = sched::AsyncQueue::Removed::kNotInside;
  {
    base::MutexLock lock(mutex_);
    removed = queue_.remove(id);
  }
  if (removed == sched::AsyncQueue::Removed::kRuns) return it_runs(id);
  store::CallBatch batch;
  batch.removed.push_back(id);
  const auto committed = calls_.commit(batch);
  if (committed) return {};
  if (removed == sched::AsyncQueue::Removed::kYes) queue_up(stored);  // it goes on as before
  return committed.error();
}

base::Result<std::uint64_t> AsyncCalls::remove_all(const std::string& app, const std::string& function) {
  base::MutexLock changing(changing_);
  // From the disk first: one that begins meanwhile finds no event.
  EBB_TRY(const std::uint64_t count, calls_.remove_all(app, function));
  base::MutexLock lock(mutex_);
  queue_.remove_all(app, function);
  return count;
}

std::string AsyncCalls::metrics_text() {
  std::map<std::string, sched::AsyncQueue::Count> counts;
  {
    base::MutexLock lock(mutex_);
    counts = queue_.counts();
  }
  std::map<std::string, std::uint64_t> failed;
  for (const auto& [app, kept] : calls_.kept()) {
    if (kept.failed > 0) failed[app] = kept.failed;
  }
  std::string out;
  const base::SteadyTime now = base::steady_now();
  const auto label = [](const std::string& app) { return "app=\"" + app + "\""; };
  meter::append_head(out, "ebb_async_calls", "gauge", "Asynchronous calls that are kept.");
  for (const auto& [app, count] : counts) {
    meter::append_sample(out, "ebb_async_calls", label(app) + ",state=\"waiting\"", std::to_string(count.waiting));
    meter::append_sample(out, "ebb_async_calls", label(app) + ",state=\"running\"", std::to_string(count.running));
  }
  for (const auto& [app, count] : failed)
    meter::append_sample(out, "ebb_async_calls", label(app) + ",state=\"failed\"", std::to_string(count));
  meter::append_head(out, "ebb_async_oldest_seconds", "gauge", "Since the oldest call that is not done was accepted.");
  for (const auto& [app, count] : counts) {
    const auto age = std::chrono::duration_cast<std::chrono::seconds>(now - count.oldest);
    meter::append_sample(out, "ebb_async_oldest_seconds", label(app), std::to_string(age.count()));
  }
  meter::append_counter(out, "ebb_async_accepted_total", "Asynchronous calls that were accepted.", accepted_.value());
  meter::append_counter(out, "ebb_async_delivered_total", "Asynchronous calls that are done.", delivered_.value());
  meter::append_counter(out, "ebb_async_failed_total", "Asynchronous calls that failed for good.", failed_.value());
  return out;
}

}  // namespace ebb::node
