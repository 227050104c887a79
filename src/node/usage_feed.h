// UsageFeed: every closed usage record posted in batches to somebody's own billing, signed as other webhooks are.
//
// 1. The usage log is the queue: a place in it says how far the receiver has come, so nothing is kept twice, nothing is
//    dropped for want of room, and a receiver that was down for a week has it all. Only retention takes what waits.
// 2. At least once, one batch after the other. What is in a batch is on disk before it is sent; until it is taken it
//    goes out with the same id and the same bytes, also after SIGKILL.
// 3. A record's `sequence` is its place in the log: the same for good, and no other's. They ascend but for calls that
//    were still running when the feed passed them: those come when they are closed.
// 4. All of it on a thread of its own.
// An organisation's feed passes over what is not of its apps when it comes there. Owned by Receivers.
#pragma once

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "meter/metrics.h"
#include "meter/usage_log.h"
#include "node/webhook_post.h"

namespace ebb::node {

class UsageFeed {
 public:
  struct Options {
    std::string path;
    WebhookReceiver receiver;
    std::string organisation;                                            // records of its apps only; "": of all
    std::function<std::string(const std::string& app)> organisation_of;  // on the feed's thread
  };

  /// Goes on where it was, or begins with the oldest record there is. `log` outlives it. Blocking.
  /// Errors: kInternal naming the file.
  static base::Result<std::unique_ptr<UsageFeed>> open(Options options, const meter::UsageLog& log);
  /// Waits for a request under way; what was not taken is sent again after the next start.
  ~UsageFeed();
  UsageFeed(const UsageFeed&) = delete;
  UsageFeed& operator=(const UsageFeed&) = delete;

  /// For what is sent from now on. Threads: any.
  void set_receiver(WebhookReceiver receiver);

  struct Counts {
    std::uint64_t records = 0;   // taken by the receiver
    std::uint64_t failures = 0;  // attempts that failed
  };
  Counts counts() const { return {.records = records_.value(), .failures = failures_.value()}; }

 private:
  using Sequence = std::uint64_t;

  /// As it is on disk.
  struct State {
    std::uint64_t batch = 1;        // the one that is being sent, or the next
    base::WallTime made{};          // when that was
    std::vector<Sequence> sending;  // its records; none: there is no batch
    std::vector<Sequence> left;     // passed while their calls ran
    Sequence next = 0;              // everything before it was taken, is in the batch or left
  };

  UsageFeed(Options options, const meter::UsageLog& log);

  base::Result<> read_state();
  base::Result<> write_state() const;
  void run();
  bool wait(base::Duration pause);
  /// Makes the next batch, of what is closed now. False when there is nothing.
  base::Result<bool> gather();
  WebhookReceiver receiver();
  bool is_told(const model::UsageRecord& record) const;
  base::Result<> take_left(State& next) const;
  base::Result<bool> take_new(State& next) const;
  base::Result<std::string> body_of() const;

  const Options options_;
  const meter::UsageLog& log_;
  meter::Counter records_;
  meter::Counter failures_;
  State state_;  // of the thread, as jitter_
  std::minstd_rand jitter_;

  std::mutex mutex_;
  std::condition_variable changed_;
  bool stopping_ = false;     // guarded by mutex_
  WebhookReceiver receiver_;  // guarded by mutex_
  std::thread thread_;
};

}  // namespace ebb::node
