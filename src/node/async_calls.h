// AsyncCalls: calls that nobody waits for. They are accepted, kept on disk, delivered through the engine as any other,
// and tried again.
//
// 1. accept() answers when the event is on disk, and not before. Many that come at once go there together, in one
//    transaction, from a thread of its own.
// 2. A call that was accepted is delivered at least once, or is kept as failed: over kills, restarts, spent budgets and
//    full quotas. What is tried again when is sched/async_queue.h's to say.
// 3. An attempt is no other call: it gets an instance, a record and its limits from the engine, and counts its queue
//    time from when it is handed to that.
// 4. Only the index of what waits is in memory, the events are read when their attempt begins.
// Owned by Engine. Threads: any, but where a method says that it blocks.
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "base/mutex.h"
#include "base/result.h"
#include "io/one_shot.h"
#include "io/task.h"
#include "meter/metrics.h"
#include "meter/retention.h"
#include "node/node.h"
#include "node/services.h"
#include "sched/async_queue.h"
#include "store/calls.h"

namespace ebb::node {

/// As the caller named it, when the call was accepted: a number, an alias, or "" for the current one.
void ask_for_version(Call& call, const std::string& version);

class AsyncCalls {
 public:
  /// The version that a call would go to at this moment, and how many attempts at that may be under way at one time.
  struct Room {
    std::uint32_t version = 0;  // 0: not known
    std::uint32_t places = 1;
  };
  using RoomOf = std::function<Room(const sched::AsyncCall& call)>;

  /// Borrows them, which outlive it. `invoke`: as Node::start has it.
  AsyncCalls(Services& services, store::Calls& calls, Node& node, InvokeAttempt invoke, RoomOf room_of);
  ~AsyncCalls() { close(); }
  AsyncCalls(const AsyncCalls&) = delete;
  AsyncCalls& operator=(const AsyncCalls&) = delete;

  /// Takes up what waits, and starts the thread. Blocks. Errors: those of the store.
  base::Result<> begin();
  /// No attempt begins any more.
  void stop();
  /// Attempts under way. Those that end after close() are delivered again by the next start.
  std::uint32_t under_way() const { return under_way_; }
  /// Writes what is not written yet, and ends the thread. Blocks for as long as the disk does. More than once: nothing.
  void close();

  /// On disk when it returns. Errors: kResourceExhausted (no room, with the bound), kUnavailable (the disk). `timer`:
  /// whose call it is; its due time is handled then, and where there is no room too: kResourceExhausted is said of
  /// nothing else. kConflict where it is handled already, or not in force.
  io::Task<base::Result<AcceptedCall>> accept(Call call, model::AsyncTerms terms,
                                              std::optional<store::TimerDue> timer = std::nullopt);

  /// What has become due begins. To be called often.
  void tick(base::SteadyTime now);
  /// A budget or a quota is another: what it held is looked at anew.
  void release();

  // These block.
  /// `apps`: those to be seen; nothing: all.
  base::Result<std::vector<AsyncCallView>> list(const AsyncCallQuery& query,
                                                const std::optional<std::set<std::string>>& apps);
  /// Errors: kNotFound.
  base::Result<AsyncCallView> look(const base::InvocationId& id);
  base::Result<std::string> event(const base::InvocationId& id);
  /// A failed call waits again, from its first attempt on; one that waits is due now. Errors: kNotFound, kConflict.
  base::Result<> retry(const base::InvocationId& id);
  /// Errors: kNotFound, kConflict (it runs).
  base::Result<> remove(const base::InvocationId& id);
  /// Of an app, or of one function. Gives how many.
  base::Result<std::uint64_t> remove_all(const std::string& app, const std::string& function);

  std::string metrics_text();

 private:
  using Written = std::shared_ptr<io::OneShot<base::Result<>>>;
  /// What is on its way to the disk; one of `waiters` for each call added.
  struct Unwritten {
    store::CallBatch batch;
    std::vector<Written> waiters;
    std::size_t bytes = 0;
    bool empty() const { return batch.added.empty() && batch.changed.empty() && batch.removed.empty(); }
  };
  class Attempt;

  static io::Task<> deliver(AsyncCalls& self, sched::AsyncCall picked);
  static Call call_of(store::NewCall stored, std::uint32_t attempt);
  std::string kept_by_budget(const std::string& app) const;
  sched::AsyncQueue::Leave leave_of(const sched::AsyncCall& call) const;
  void settle(const sched::AsyncCall& call, const sched::AsyncEnd& end);
  void fail(const base::InvocationId& id, std::uint32_t attempts, std::string why);
  void change(store::CallChange change);
  AsyncCallView view_of(store::StoredCall stored, base::SteadyTime now);
  bool is_done(const AsyncCallView& view, base::SteadyTime now);

  void run();
  Unwritten next_batch(base::SteadyTime until);
  void forget_old(meter::Retention& retention, base::SteadyTime now);
  bool write(Unwritten unwritten);
  void on_disk(const store::CallBatch& batch);
  base::Result<std::vector<store::Calls::Refusal>> commit(const store::CallBatch& batch);
  void queue_up(const store::StoredCall& stored) EBB_REQUIRES(changing_);
  void put_back(Unwritten unwritten, const base::Error& error);

  Services& services_;
  store::Calls& calls_;
  Node& node_;
  const InvokeAttempt invoke_;
  const RoomOf room_of_;

  base::Mutex mutex_;
  sched::AsyncQueue queue_ EBB_GUARDED_BY(mutex_);
  std::set<base::InvocationId> failing_ EBB_GUARDED_BY(mutex_);  // for good, which the disk does not say yet
  bool stopped_ EBB_GUARDED_BY(mutex_) = true;
  base::Mutex changing_;  // one change of what is kept, by hand or of a batch, at a time
  std::atomic<unsigned> next_core_ = 0;
  std::atomic<std::uint32_t> under_way_ = 0;  // attempts, until their end is on its way to the disk

  std::mutex unwritten_mutex_;
  std::condition_variable changed_;
  Unwritten unwritten_;  // guarded by unwritten_mutex_, as the next
  bool ending_ = false;
  std::thread thread_;

  meter::Counter accepted_;
  meter::Counter delivered_;
  meter::Counter failed_;
};

}  // namespace ebb::node
