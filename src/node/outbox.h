// Outbox: events for the operator's own systems, posted to one URL and signed.
//
// 1. An event is on disk before it is sent, and until it was taken: neither SIGKILL nor a receiver that is down loses
//    it. Delivered at least once; its id is the same every time, and one that was taken is not put again.
// 2. A receiver that fails, hangs or redirects has it again later, with growing pauses, for limits::kWebhookAge; other
//    events are not held up by it.
// 3. All of it on a thread of its own: put() neither blocks nor fails.
// Files: ID.event in its directory, which becomes ID.sent. Owned by Receivers.
#pragma once

#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "meter/metrics.h"
#include "node/webhook_post.h"

namespace ebb::node {

struct OutboxEvent {
  std::string id;    // of letters, digits, "-" and "."; names the event for good
  std::string body;  // JSON
  base::WallTime made{};
};

class Outbox {
 public:
  struct Options {
    std::string directory;
    WebhookReceiver receiver;
  };

  /// Reads what waits and starts the thread. Blocking. Errors: kInternal naming the file.
  static base::Result<std::unique_ptr<Outbox>> open(Options options);
  /// Waits for a request under way; what waits stays on disk.
  ~Outbox();
  Outbox(const Outbox&) = delete;
  Outbox& operator=(const Outbox&) = delete;

  /// Threads: any.
  void put(OutboxEvent event);
  /// For what is sent from now on. Threads: any.
  void set_receiver(WebhookReceiver receiver);

  struct Counts {
    std::int64_t pending = 0;
    std::uint64_t delivered = 0;
    std::uint64_t dropped = 0;
  };
  Counts counts() const {
    return {.pending = pending_.value(), .delivered = delivered_.value(), .dropped = dropped_.value()};
  }

 private:
  struct Waiting {
    OutboxEvent event;
    unsigned attempts = 0;
    base::SteadyTime due{};
  };

  explicit Outbox(Options options);

  base::Result<> read_directory();
  void run();
  std::vector<OutboxEvent> next_events();
  void keep(OutboxEvent event);
  void deliver_due();
  bool deliver(Waiting& waiting);
  std::string path_of(const std::string& id, const char* ending) const;

  const std::string directory_;
  meter::Counter delivered_;
  meter::Counter dropped_;
  meter::Gauge pending_;
  std::map<std::string, Waiting> waiting_;  // by id; of the thread, as jitter_
  std::minstd_rand jitter_;

  std::mutex mutex_;
  std::condition_variable changed_;
  WebhookReceiver receiver_;  // guarded by mutex_, as the next two
  std::vector<OutboxEvent> fresh_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace ebb::node
