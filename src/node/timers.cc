#include "node/timers.h"

#include <set>

#include "base/limits_timers.h"
#include "base/log.h"
#include "io/deadline.h"
#include "io/offload.h"
#include "meter/prometheus_text.h"

namespace ebb::node {

namespace {

Call call_at(const Timers::Name& name, const sched::TimerPlan::Due& due) {
  Call call{.id = base::new_invocation_id(), .app = name.first, .function = name.second};
  call.kind = Call::Kind::kDirect;
  call.content_type = model::kTimerEventType;
  call.body = model::timer_event(due.timer, due.at);
  return call;
}

}  // namespace

// --- what is in force ---

base::Result<> Timers::begin(const std::vector<model::Version>& current) {
  EBB_TRY(const std::vector<store::StoredTimer> stored, calls_.timers());
  const base::WallTime wall = base::wall_now();
  std::set<Name> names;
  {
    base::MutexLock lock(mutex_);
    for (const model::Version& version : current) {
      if (version.spec.timers.empty()) continue;
      const Name name{version.app, version.function};
      OfFunction& one = functions_[name];
      one.plan.set(version.spec.timers, wall);
      one.since = wall;
      one.terms = version.spec.async;
      names.insert(name);
    }
    for (const store::StoredTimer& timer : stored) {
      const Name name{timer.app, timer.function};
      names.insert(name);
      if (const auto at = functions_.find(name); at != functions_.end())
        at->second.plan.resume(timer.timer, timer.handled);
    }
  }
  for (const Name& name : names) keep(name);
  return {};
}

void Timers::in_force(const model::Version& version) {
  set({version.app, version.function}, version.spec.timers, version.spec.async);
}

void Timers::end(const std::string& app, const std::string& function) { set({app, function}, {}, {}); }

void Timers::set(const Name& name, const std::vector<model::Timer>& timers, const model::AsyncTerms& terms) {
  {
    base::MutexLock lock(mutex_);
    if (timers.empty() && !functions_.contains(name)) return;
    OfFunction& one = functions_[name];
    const base::WallTime wall = base::wall_now();
    if (one.kept || one.plan.empty()) one.since = wall;
    one.plan.set(timers, wall);
    one.terms = terms;
    one.kept = false;
    one.keep_again = base::steady_now() + limits::kTimerWriteAgain;
  }
  keep(name);
}

void Timers::forget(const std::string& app, const std::string& function) {
  base::MutexLock keeping(keeping_);
  base::MutexLock lock(mutex_);
  std::erase_if(functions_, [&](const auto& entry) {
    return entry.first.first == app && (function.empty() || entry.first.second == function);
  });
}

bool Timers::keep(const Name& name) {
  base::MutexLock keeping(keeping_);
  std::vector<std::string> keys;
  base::WallTime since{};
  {
    base::MutexLock lock(mutex_);
    if (const auto at = functions_.find(name); at != functions_.end()) {
      keys = at->second.plan.keys();
      since = at->second.since;
    }
  }
  const base::Result<> kept = calls_.set_timers(name.first, name.second, keys, since);
  if (!kept) {
    base::log(base::LogLevel::kError, "timers_not_kept",
              {{"function", name.first + "/" + name.second}, {"error", kept.error().message}});
    return false;
  }
  base::MutexLock lock(mutex_);
  const auto at = functions_.find(name);
  if (at == functions_.end()) return true;
  at->second.kept = at->second.plan.keys() == keys;
  if (at->second.kept && keys.empty()) functions_.erase(at);
  return true;
}

io::Task<> Timers::keep_later(Timers& self, Name name) {
  std::function<base::Result<bool>()> keep = [&self, name] { return self.keep(name); };
  const auto kept = co_await io::offload(self.services_.pool, "keep timers", std::move(keep));
  (void)kept;  // else the next tick tries again
}

void Timers::stop() {
  base::MutexLock lock(mutex_);
  stopped_ = true;
}

bool Timers::stopped() {
  base::MutexLock lock(mutex_);
  return stopped_;
}

// --- calls ---

void Timers::tick(base::WallTime wall, base::SteadyTime now) {
  struct Begun {
    Name name;
    model::AsyncTerms terms;
    sched::TimerPlan::Due due;
  };
  std::vector<Begun> begun;
  std::vector<Name> unkept;
  {
    base::MutexLock lock(mutex_);
    if (stopped_) return;
    for (auto& [name, one] : functions_) {
      if (!one.kept) {
        if (now < one.keep_again) continue;
        one.keep_again = now + limits::kTimerWriteAgain;
        unkept.push_back(name);
        continue;
      }
      for (sched::TimerPlan::Due& due : one.plan.take(wall)) begun.push_back({name, one.terms, std::move(due)});
    }
  }
  for (Name& name : unkept) io::spawn(services_.here(), "keep timers", keep_later(*this, std::move(name)));
  for (Begun& one : begun) {
    if (one.due.missed || one.due.stale) tell_missed(one.name, one.due);
    if (one.due.stale) continue;
    io::spawn(services_.here(), "call by a timer", call(*this, std::move(one.name), one.terms, std::move(one.due)));
  }
}

// Until the disk has said what became of it.
io::Task<> Timers::call(Timers& self, Name name, model::AsyncTerms terms, sched::TimerPlan::Due due) {
  const std::string key = sched::key_of(due.timer);
  while (!self.stopped()) {
    Call call = call_at(name, due);
    std::optional<store::TimerDue> of = store::TimerDue{.timer = key, .due = due.at};
    const auto accepted = co_await self.async_calls_.accept(std::move(call), terms, std::move(of));
    if (accepted) {
      self.called_.add();
      break;
    }
    if (accepted.error().code == base::Code::kConflict) break;
    if (accepted.error().code == base::Code::kResourceExhausted) {
      self.skipped(name, due, accepted.error());
      break;
    }
    co_await io::sleep_for(limits::kTimerWriteAgain);
  }
  base::MutexLock lock(self.mutex_);
  if (const auto at = self.functions_.find(name); at != self.functions_.end()) at->second.plan.settled(key);
}

// --- what is told ---

void Timers::tell(const Name& name, const std::string& line) {
  // It is forgotten before its log is removed, which no line makes again for who has the name next.
  base::MutexLock lock(mutex_);
  if (!functions_.contains(name)) return;
  const std::vector<store::LogLine> lines{{.invocation = {},
                                           .wall = base::wall_now(),
                                           .stream = store::LogStream::kPlatform,
                                           .instance = {},
                                           .text = line}};
  const auto told = services_.log.append(name.first, name.second, lines);
  if (told) return;
  base::log(base::LogLevel::kError, "function_log_lost",
            {{"function", name.first + "/" + name.second}, {"error", told.error().message}});
}

void Timers::tell_missed(const Name& name, const sched::TimerPlan::Due& due) {
  missed_.add();
  const std::string since = base::to_rfc3339(due.missed.value_or(due.at));
  std::string line = "timer " + model::name_of(due.timer) + ": due times from " + since +
                     " on were missed (the node was "
                     "down, or its clock was set): ";
  line += due.stale ? "none is called any more, all are older than " + base::to_string(limits::kTimerMadeUp)
                    : "the latest one, " + base::to_rfc3339(due.at) + ", is called now";
  tell(name, line);
}

void Timers::skipped(const Name& name, const sched::TimerPlan::Due& due, const base::Error& error) {
  skipped_.add();
  const std::string timer = model::name_of(due.timer);
  const std::string at = base::to_rfc3339(due.at);
  base::log(base::LogLevel::kWarning, "timer_skipped",
            {{"function", name.first + "/" + name.second}, {"timer", timer}, {"due", at}, {"error", error.message}});
  tell(name, "timer " + timer + ": the call due at " + at + " was skipped: " + error.message);
}

std::vector<std::pair<Timers::Name, base::WallTime>> Timers::next_calls() {
  std::vector<std::pair<Name, base::WallTime>> calls;
  base::MutexLock lock(mutex_);
  for (const auto& [name, one] : functions_) {
    if (const auto soonest = one.plan.soonest()) calls.emplace_back(name, *soonest);
  }
  return calls;
}

std::vector<TimerView> Timers::view(const std::string& app, const std::string& function) {
  std::vector<TimerView> views;
  base::MutexLock lock(mutex_);
  const auto at = functions_.find({app, function});
  if (at == functions_.end()) return views;
  for (const sched::TimerPlan::Next& next : at->second.plan.next()) views.push_back({*next.timer, next.due});
  return views;
}

std::string Timers::metrics_text() {
  std::string out;
  meter::append_counter(out, "ebb_timer_calls_total", "Due times of timers that became asynchronous calls.",
                        called_.value());
  meter::append_counter(out, "ebb_timer_skipped_total", "Due times of timers whose call found no room.",
                        skipped_.value());
  meter::append_counter(out, "ebb_timer_missed_total",
                        "Times that a timer was found to be behind, and skipped due times.", missed_.value());
  return out;
}

}  // namespace ebb::node
