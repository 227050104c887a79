// Asynchronous calls in one SQLite file of their own: a commit waits for the disk, and nobody who asks for metadata
// shall wait behind it. Nor who reads calls: that has a connection of its own.
#pragma once

#include <memory>
#include <string>

#include "base/limits_async.h"
#include "base/mutex.h"
#include "store/calls.h"
#include "store/sqlite.h"

namespace ebb::store {

/// What is kept at most.
struct CallBounds {
  std::uint64_t app_calls = limits::kAsyncCallsPerApp;
  std::uint64_t app_bytes = limits::kAsyncBytesPerApp;
  std::uint64_t node_calls = limits::kAsyncCallsPerNode;
  std::uint64_t node_bytes = limits::kAsyncBytesPerNode;
};

class SqliteCalls final : public Calls {
 public:
  /// Opens or creates. Errors: kInternal (damaged, of a newer Ebb, not writable), with the file and the remedy.
  static base::Result<std::unique_ptr<SqliteCalls>> open(const std::string& path, CallBounds bounds = {});

  base::Result<std::vector<Refusal>> commit(const CallBatch& batch) override;
  base::Result<StoredCall> call(const base::InvocationId& id) override;
  base::Result<NewCall> with_event(const base::InvocationId& id) override;
  base::Result<std::vector<StoredCall>> calls(const CallFilter& filter, StoredCall::State state) override;
  base::Result<std::vector<StoredCall>> waiting() override;
  base::Result<std::uint64_t> remove_all(std::string_view app, std::string_view function) override;
  base::Result<std::uint64_t> forget_failed(base::WallTime before) override;
  base::Result<std::vector<StoredTimer>> timers() override;
  base::Result<> set_timers(std::string_view app, std::string_view function, const std::vector<std::string>& timers,
                            base::WallTime now) override;
  std::map<std::string, Kept> kept() override;

 private:
  using Sums = std::map<std::string, Kept>;

  SqliteCalls(std::unique_ptr<SqliteDatabase> database, CallBounds bounds)
      : bounds_(bounds), database_(std::move(database)) {}
  base::Result<> open_to_read(const std::string& path);
  base::Result<> make_tables(const std::string& path) EBB_REQUIRES(mutex_);
  base::Result<> add_up() EBB_REQUIRES(mutex_);
  base::Result<std::vector<Refusal>> write(const CallBatch& batch) EBB_REQUIRES(mutex_);
  /// Who is full: what a refusal names; "" for nobody, there is room.
  base::Result<std::string> make_room(const std::string& app, std::uint64_t bytes) EBB_REQUIRES(mutex_);
  /// Whether the due time was not handled yet; it is now.
  base::Result<bool> handle(const StoredCall& call, const TimerDue& timer) EBB_REQUIRES(mutex_);
  base::Result<> add(const NewCall& added) EBB_REQUIRES(mutex_);
  base::Result<> change(const CallChange& change) EBB_REQUIRES(mutex_);
  base::Result<bool> make_way(std::string_view app) EBB_REQUIRES(mutex_);
  base::Result<std::uint64_t> remove(SqliteQuery& query) EBB_REQUIRES(mutex_);
  base::Result<std::uint64_t> remove_now(SqliteQuery query) EBB_REQUIRES(mutex_);
  void show() EBB_REQUIRES(mutex_);

  const CallBounds bounds_;
  base::Mutex mutex_;  // who writes
  std::unique_ptr<SqliteDatabase> database_ EBB_GUARDED_BY(mutex_);
  Sums sums_ EBB_GUARDED_BY(mutex_);  // of what is in the database, and in the transaction under way
  Kept sum_ EBB_GUARDED_BY(mutex_);   // of all apps

  // Apart, as all that reads: it must not wait for the disk behind who writes.
  base::Mutex reading_mutex_;
  std::unique_ptr<SqliteDatabase> reading_ EBB_GUARDED_BY(reading_mutex_);
  base::Mutex shown_mutex_;
  Sums shown_ EBB_GUARDED_BY(shown_mutex_);
};

}  // namespace ebb::store
