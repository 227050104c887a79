#include "store/sqlite_calls.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "base/check.h"

namespace ebb::store {
namespace {

using base::Result;
using State = StoredCall::State;

constexpr std::int64_t kSchema = 2;

// The event last: who reads the rest does not read its pages.
constexpr const char* kTables =
    R"(CREATE TABLE calls (
         id TEXT PRIMARY KEY,
         app TEXT NOT NULL,
         function TEXT NOT NULL,
         version TEXT NOT NULL,
         content_type TEXT NOT NULL,
         traceparent TEXT NOT NULL,
         tracestate TEXT NOT NULL,
         retries INTEGER NOT NULL,
         retry_after_ns INTEGER NOT NULL,
         max_age_ns INTEGER NOT NULL,
         state INTEGER NOT NULL,
         accepted_ns INTEGER NOT NULL,
         due_ns INTEGER NOT NULL,
         deadline_ns INTEGER NOT NULL,
         attempts INTEGER NOT NULL,
         error TEXT NOT NULL,
         event_bytes INTEGER NOT NULL,
         event BLOB NOT NULL);
       CREATE INDEX calls_of_app ON calls (app, state, due_ns);
       CREATE INDEX calls_of_state ON calls (state, due_ns);)";

constexpr const char* kTimerTables =
    R"(CREATE TABLE timers (
         app TEXT NOT NULL,
         function TEXT NOT NULL,
         timer TEXT NOT NULL,
         handled_ns INTEGER NOT NULL,
         PRIMARY KEY (app, function, timer)) WITHOUT ROWID;)";

// Of a row that is removed, what the sums are to know.
#define EBB_GONE " RETURNING app, state, event_bytes"

#define EBB_CALL_COLUMNS                                                                         \
  "id, app, function, version, content_type, traceparent, tracestate, retries, retry_after_ns, " \
  "max_age_ns, state, accepted_ns, due_ns, deadline_ns, attempts, error, event_bytes"

constexpr int kEventColumn = 17;

std::int64_t ns_of(base::WallTime time) { return time.time_since_epoch().count(); }
base::WallTime time_of(std::int64_t ns) { return base::WallTime(std::chrono::nanoseconds(ns)); }

Result<StoredCall> read_call(const SqliteQuery& row) {
  const auto id = base::parse_invocation_id(row.text(0));
  if (!id)
    return base::internal("a stored call has the id '" + row.text(0) + "': calls.db was written by another program");
  return StoredCall{.id = *id,
                    .app = row.text(1),
                    .function = row.text(2),
                    .version = row.text(3),
                    .content_type = row.text(4),
                    .traceparent = row.text(5),
                    .tracestate = row.text(6),
                    .terms = {.retries = static_cast<std::uint32_t>(row.number(7)),
                              .retry_after = base::Duration(row.number(8)),
                              .max_age = base::Duration(row.number(9))},
                    .state = row.number(10) == 0 ? State::kWaiting : State::kFailed,
                    .accepted = time_of(row.number(11)),
                    .due = time_of(row.number(12)),
                    .deadline = time_of(row.number(13)),
                    .attempts = static_cast<std::uint32_t>(row.number(14)),
                    .error = row.text(15),
                    .event_size = base::Bytes{static_cast<std::uint64_t>(row.number(16))}};
}

Result<std::vector<StoredCall>> read_calls(SqliteQuery& query) {
  std::vector<StoredCall> calls;
  while (true) {
    EBB_TRY(const bool row, query.step());
    if (!row) return calls;
    EBB_TRY(StoredCall call, read_call(query));
    calls.push_back(std::move(call));
  }
}

bool is_full(const Calls::Kept& kept, std::uint64_t more, std::uint64_t calls_most, std::uint64_t bytes_most) {
  return kept.calls >= calls_most || kept.bytes + more > bytes_most;
}

base::Error too_many(const std::string& full) {
  return base::Error{.code = base::Code::kResourceExhausted,
                     .message = full +
                                " has as many asynchronous calls, or bytes of their events, as are kept: try "
                                "later, ebb calls ls shows what they wait for",
                     .retry_after = std::chrono::seconds(1)};
}

base::Error not_due(const StoredCall& call) {
  return base::Error{.code = base::Code::kConflict,
                     .message = "this due time of a timer of " + call.app + "/" + call.function +
                                " is handled, or the timer is not in force"};
}

}  // namespace

base::Error no_such_call(const base::InvocationId& id) {
  return base::not_found("no asynchronous call " + base::to_string(id) +
                         " is kept here: it is done (ebb usage has its records), was removed, or never was");
}

Result<std::unique_ptr<SqliteCalls>> SqliteCalls::open(const std::string& path, CallBounds bounds) {
  EBB_TRY(auto database, SqliteDatabase::open(path));
  std::unique_ptr<SqliteCalls> calls(new SqliteCalls(std::move(database), bounds));
  {
    base::MutexLock lock(calls->mutex_);
    EBB_CHECKED(calls->make_tables(path));
    EBB_CHECKED(calls->add_up());
  }
  EBB_CHECKED(calls->open_to_read(path));
  return calls;
}

Result<> SqliteCalls::open_to_read(const std::string& path) {
  base::MutexLock lock(reading_mutex_);
  EBB_TRY(reading_, SqliteDatabase::open_to_read(path));
  return {};
}

Result<> SqliteCalls::make_tables(const std::string& path) {
  EBB_TRY(SqliteTransaction transaction, SqliteTransaction::begin(*database_));
  std::int64_t at = 0;
  {
    EBB_TRY(SqliteQuery query, database_->query("PRAGMA user_version"));
    EBB_TRY(const bool row, query.step());
    EBB_CHECK(row);
    at = query.number(0);
  }
  if (at > kSchema) {
    return base::internal("the calls in " + path + " have schema " + std::to_string(at) + ", this Ebb knows up to " +
                          std::to_string(kSchema) + ": run the newer Ebb that wrote it");
  }
  if (at < 1) EBB_CHECKED(database_->execute(kTables));
  if (at < 2) EBB_CHECKED(database_->execute(kTimerTables));
  if (at < kSchema) EBB_CHECKED(database_->execute("PRAGMA user_version = 2"));
  return transaction.commit();
}

Result<> SqliteCalls::add_up() {
  EBB_TRY(SqliteQuery query, database_->query("SELECT app, count(*), coalesce(sum(state), 0), "
                                              "coalesce(sum(event_bytes), 0) FROM calls GROUP BY app"));
  Sums sums;
  Kept sum;
  while (true) {
    EBB_TRY(const bool row, query.step());
    if (!row) break;
    const Kept kept{.calls = static_cast<std::uint64_t>(query.number(1)),
                    .failed = static_cast<std::uint64_t>(query.number(2)),
                    .bytes = static_cast<std::uint64_t>(query.number(3))};
    sums[query.text(0)] = kept;
    sum.calls += kept.calls;
    sum.failed += kept.failed;
    sum.bytes += kept.bytes;
  }
  sums_ = std::move(sums);
  sum_ = sum;
  show();
  return {};
}

void SqliteCalls::show() {
  base::MutexLock lock(shown_mutex_);
  shown_ = sums_;
}

Result<std::vector<Calls::Refusal>> SqliteCalls::commit(const CallBatch& batch) {
  base::MutexLock lock(mutex_);
  auto written = write(batch);
  if (!written) {
    EBB_CHECKED(add_up());  // what was rolled back is not counted
    return written;
  }
  show();
  return written;
}

Result<std::vector<Calls::Refusal>> SqliteCalls::write(const CallBatch& batch) {
  EBB_TRY(SqliteTransaction transaction, SqliteTransaction::begin(*database_));
  std::vector<Refusal> refusals;
  for (const NewCall& added : batch.added) {
    Refusal refusal;
    if (added.timer) {
      EBB_TRY(const bool due, handle(added.call, *added.timer));
      if (!due) refusal = not_due(added.call);
    }
    if (!refusal) {
      EBB_TRY(const std::string full, make_room(added.call.app, added.event.size()));
      if (!full.empty()) refusal = too_many(full);
    }
    if (!refusal) EBB_CHECKED(add(added));
    refusals.push_back(std::move(refusal));
  }
  for (const CallChange& changed : batch.changed) EBB_CHECKED(change(changed));
  for (const base::InvocationId& id : batch.removed) {
    EBB_TRY(SqliteQuery query, database_->query("DELETE FROM calls WHERE id = ?" EBB_GONE));
    EBB_CHECKED(remove(query.bind(base::to_string(id))));
  }
  EBB_CHECKED(transaction.commit());
  return refusals;
}

Result<bool> SqliteCalls::handle(const StoredCall& call, const TimerDue& timer) {
  EBB_TRY(SqliteQuery query, database_->query("UPDATE timers SET handled_ns = ?1 WHERE app = ?2 AND function = ?3 "
                                              "AND timer = ?4 AND handled_ns < ?1 RETURNING handled_ns"));
  return query.bind(ns_of(timer.due)).bind(call.app).bind(call.function).bind(timer.timer).step();
}

Result<std::string> SqliteCalls::make_room(const std::string& app, std::uint64_t bytes) {
  while (is_full(sums_[app], bytes, bounds_.app_calls, bounds_.app_bytes)) {
    EBB_TRY(const bool room, make_way(app));
    if (!room) return "app " + app;
  }
  while (is_full(sum_, bytes, bounds_.node_calls, bounds_.node_bytes)) {
    EBB_TRY(const bool room, make_way(""));
    if (!room) return std::string("this node");
  }
  return std::string();
}

Result<> SqliteCalls::add(const NewCall& added) {
  const StoredCall& call = added.call;
  EBB_TRY(SqliteQuery query,
          database_->query("INSERT INTO calls (" EBB_CALL_COLUMNS
                           ", event) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"));
  EBB_CHECKED(query.bind(base::to_string(call.id))
                  .bind(call.app)
                  .bind(call.function)
                  .bind(call.version)
                  .bind(call.content_type)
                  .bind(call.traceparent)
                  .bind(call.tracestate)
                  .bind(std::int64_t{call.terms.retries})
                  .bind(call.terms.retry_after.count())
                  .bind(call.terms.max_age.count())
                  .bind(static_cast<std::int64_t>(call.state))
                  .bind(ns_of(call.accepted))
                  .bind(ns_of(call.due))
                  .bind(ns_of(call.deadline))
                  .bind(std::int64_t{call.attempts})
                  .bind(call.error)
                  .bind(static_cast<std::int64_t>(added.event.size()))
                  .bind_bytes(added.event)
                  .run());
  Kept& kept = sums_[call.app];
  for (Kept* one : {&kept, &sum_}) {
    ++one->calls;
    one->bytes += added.event.size();
  }
  return {};
}

// The oldest failed call of the app, of any for "", gives its room. False when there is none.
Result<bool> SqliteCalls::make_way(std::string_view app) {
  EBB_TRY(SqliteQuery query,
          app.empty() ? database_->query("DELETE FROM calls WHERE id = "
                                         "(SELECT id FROM calls WHERE state = 1 ORDER BY due_ns LIMIT 1)" EBB_GONE)
                      : database_->query(
                            "DELETE FROM calls WHERE id = "
                            "(SELECT id FROM calls WHERE app = ? AND state = 1 ORDER BY due_ns LIMIT 1)" EBB_GONE));
  if (!app.empty()) query.bind(app);
  EBB_TRY(const std::uint64_t gone, remove(query));
  return gone > 0;
}

Result<> SqliteCalls::change(const CallChange& change) {
  const std::string id = base::to_string(change.id);
  std::string app;
  std::int64_t state = 0;
  {
    EBB_TRY(SqliteQuery find, database_->query("SELECT app, state FROM calls WHERE id = ?"));
    EBB_TRY(const bool there, find.bind(id).step());
    if (!there) return {};
    app = find.text(0);
    state = find.number(1);
  }
  EBB_TRY(SqliteQuery query, database_->query("UPDATE calls SET state = ?1, attempts = ?2, due_ns = ?3, error = ?4, "
                                              "deadline_ns = iif(?5 = 0, deadline_ns, ?5) WHERE id = ?6"));
  EBB_CHECKED(query.bind(static_cast<std::int64_t>(change.state))
                  .bind(std::int64_t{change.attempts})
                  .bind(ns_of(change.due))
                  .bind(change.error)
                  .bind(ns_of(change.deadline))
                  .bind(id)
                  .run());
  const bool failed = change.state == State::kFailed;
  for (Kept* one : {&sums_[app], &sum_}) one->failed += static_cast<std::uint64_t>(failed) - (state == 1 ? 1U : 0U);
  return {};
}

// By a statement with EBB_GONE. Gives how many. The sums change when all of it is done.
Result<std::uint64_t> SqliteCalls::remove(SqliteQuery& query) {
  Sums gone;
  while (true) {
    EBB_TRY(const bool row, query.step());
    if (!row) break;
    Kept& of_app = gone[query.text(0)];
    ++of_app.calls;
    of_app.failed += static_cast<std::uint64_t>(query.number(1));
    of_app.bytes += static_cast<std::uint64_t>(query.number(2));
  }
  std::uint64_t count = 0;
  for (const auto& [app, kept] : gone) {
    for (Kept* one : {&sums_[app], &sum_}) {
      one->calls -= kept.calls;
      one->failed -= kept.failed;
      one->bytes -= kept.bytes;
    }
    if (sums_[app].calls == 0) sums_.erase(app);
    count += kept.calls;
  }
  return count;
}

// Outside of a transaction: the statement is one.
Result<std::uint64_t> SqliteCalls::remove_now(SqliteQuery query) {
  EBB_TRY(const std::uint64_t count, remove(query));
  if (count > 0) show();
  return count;
}

Result<StoredCall> SqliteCalls::call(const base::InvocationId& id) {
  base::MutexLock lock(reading_mutex_);
  EBB_TRY(SqliteQuery query, reading_->query("SELECT " EBB_CALL_COLUMNS " FROM calls WHERE id = ?"));
  EBB_TRY(const bool there, query.bind(base::to_string(id)).step());
  if (!there) return no_such_call(id);
  return read_call(query);
}

Result<NewCall> SqliteCalls::with_event(const base::InvocationId& id) {
  base::MutexLock lock(reading_mutex_);
  EBB_TRY(SqliteQuery query, reading_->query("SELECT " EBB_CALL_COLUMNS ", event FROM calls WHERE id = ?"));
  EBB_TRY(const bool there, query.bind(base::to_string(id)).step());
  if (!there) return no_such_call(id);
  EBB_TRY(StoredCall call, read_call(query));
  return NewCall{.call = std::move(call), .event = query.text(kEventColumn)};
}

Result<std::vector<StoredCall>> SqliteCalls::calls(const CallFilter& filter, State state) {
  base::MutexLock lock(reading_mutex_);
  EBB_TRY(SqliteQuery query,
          reading_->query("SELECT " EBB_CALL_COLUMNS
                          " FROM calls WHERE state = ?1 AND (?2 = '' OR app = ?2) AND (?3 = '' OR function = ?3) "
                          "ORDER BY id DESC LIMIT ?4"));
  query.bind(static_cast<std::int64_t>(state))
      .bind(filter.app)
      .bind(filter.function)
      .bind(static_cast<std::int64_t>(filter.limit));
  return read_calls(query);
}

Result<std::vector<StoredCall>> SqliteCalls::waiting() {
  base::MutexLock lock(reading_mutex_);
  EBB_TRY(SqliteQuery query, reading_->query("SELECT " EBB_CALL_COLUMNS " FROM calls WHERE state = 0 ORDER BY id"));
  return read_calls(query);
}

Result<std::uint64_t> SqliteCalls::remove_all(std::string_view app, std::string_view function) {
  base::MutexLock lock(mutex_);
  {
    EBB_TRY(SqliteQuery query, database_->query("DELETE FROM timers WHERE app = ?1 AND (?2 = '' OR function = ?2)"));
    EBB_CHECKED(query.bind(app).bind(function).run());
  }
  EBB_TRY(SqliteQuery query,
          database_->query("DELETE FROM calls WHERE app = ?1 AND (?2 = '' OR function = ?2)" EBB_GONE));
  query.bind(app).bind(function);
  return remove_now(std::move(query));
}

Result<std::vector<StoredTimer>> SqliteCalls::timers() {
  base::MutexLock lock(reading_mutex_);
  EBB_TRY(SqliteQuery query,
          reading_->query("SELECT app, function, timer, handled_ns FROM timers ORDER BY app, function"));
  std::vector<StoredTimer> timers;
  while (true) {
    EBB_TRY(const bool row, query.step());
    if (!row) return timers;
    timers.push_back({query.text(0), query.text(1), query.text(2), time_of(query.number(3))});
  }
}

Result<> SqliteCalls::set_timers(std::string_view app, std::string_view function,
                                 const std::vector<std::string>& timers, base::WallTime now) {
  base::MutexLock lock(mutex_);
  EBB_TRY(SqliteTransaction transaction, SqliteTransaction::begin(*database_));
  std::vector<std::string> gone;
  {
    EBB_TRY(SqliteQuery query, database_->query("SELECT timer FROM timers WHERE app = ? AND function = ?"));
    query.bind(app).bind(function);
    while (true) {
      EBB_TRY(const bool row, query.step());
      if (!row) break;
      std::string timer = query.text(0);
      if (std::find(timers.begin(), timers.end(), timer) == timers.end()) gone.push_back(std::move(timer));
    }
  }
  for (const std::string& timer : gone) {
    EBB_TRY(SqliteQuery query, database_->query("DELETE FROM timers WHERE app = ? AND function = ? AND timer = ?"));
    EBB_CHECKED(query.bind(app).bind(function).bind(timer).run());
  }
  for (const std::string& timer : timers) {
    EBB_TRY(SqliteQuery query, database_->query("INSERT OR IGNORE INTO timers VALUES (?, ?, ?, ?)"));
    EBB_CHECKED(query.bind(app).bind(function).bind(timer).bind(ns_of(now)).run());
  }
  return transaction.commit();
}

// Where there is none, nothing is written and the disk is not waited for.
Result<std::uint64_t> SqliteCalls::forget_failed(base::WallTime before) {
  base::MutexLock lock(mutex_);
  EBB_TRY(SqliteQuery query, database_->query("DELETE FROM calls WHERE state = 1 AND due_ns < ?" EBB_GONE));
  query.bind(ns_of(before));
  return remove_now(std::move(query));
}

std::map<std::string, Calls::Kept> SqliteCalls::kept() {
  base::MutexLock lock(shown_mutex_);
  return shown_;
}

}  // namespace ebb::store
