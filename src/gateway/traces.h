// Traces: which calls are traced, and the way of those that are to an OpenTelemetry collector (OTLP over HTTP, JSON).
//
// 1. A caller's traceparent is continued: its sampled flag decides. Without one a trace begins here, and the ratio
//    decides. Either way the function is told the context that it is to continue.
// 2. Off the request path: a call that has ended is one entry of a bounded queue; a thread of its own sends them. A
//    collector that is slow, down or hostile costs traces, never a call.
// 3. No call is told twice by choice: a batch is sent again only when the collector said so, or did not answer.
// 4. An asynchronous call has a span for its acceptance, whose context is kept with the event, and one for each
//    attempt, which continues from there. A try that was refused for want of room is no attempt and has none: it comes
//    again every few seconds.
// Made by the daemon where otlp_traces_endpoint is set. Used by FunctionUrl, and by the node for attempts.
#pragma once

#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "base/result.h"
#include "gateway/otlp.h"
#include "http/message.h"
#include "io/task.h"
#include "meter/metrics.h"
#include "model/config.h"
#include "node/node.h"

namespace ebb::gateway {

class Traces;

/// A call that is traced, from its arrival on. Told to Traces once, when it ends; unless somebody said how, as
/// cancelled. Threads: one at a time. Borrows the Traces.
class OpenTrace {
 public:
  OpenTrace(Traces& traces, CallTrace call, base::SteadyTime arrived);
  ~OpenTrace();
  OpenTrace(const OpenTrace&) = delete;
  OpenTrace& operator=(const OpenTrace&) = delete;

  /// The node has answered, with the whole or with the head of a stream.
  void answered(const node::Reply& reply);
  /// The call is on disk, or refused: this was all of it.
  void accepted(const base::Result<node::AcceptedCall>& how);
  /// The answer is whole.
  void end();
  /// Nobody is told.
  void drop() { ended_ = true; }
  /// The stream of the answer has ended.
  void end_stream(const base::Result<>& how);

 private:
  void fail(const base::Error& error);

  Traces& traces_;
  CallTrace call_;
  const base::SteadyTime arrived_;
  bool answered_ = false;
  bool ended_ = false;
};

class Traces {
 public:
  struct Options {
    std::string endpoint;   // where batches are posted
    http::Headers headers;  // with each
    double sample_ratio = 1;
    std::string host;  // this machine's name
  };

  /// Of the configuration; nothing where there is no endpoint. Blocking: reads otlp_headers_file.
  /// Errors: kInvalidArgument, kNotFound, naming the key.
  static base::Result<std::optional<Options>> options(const model::Config& config);
  /// With these options; nullptr where there are none. Errors: as options.
  static base::Result<std::unique_ptr<Traces>> start(const model::Config& config);
  /// Starts the thread.
  explicit Traces(Options options);
  /// As stop, and waits for a request under way.
  ~Traces();
  Traces(const Traces&) = delete;
  Traces& operator=(const Traces&) = delete;

  /// Sets what the function is told, or what is kept of an acceptance, in `headers` and in the call. nullptr when the
  /// call is not sampled. Before the call is moved from; `headers` are those of the caller. Cost: 0.25 us, with the end
  /// about 1 us. Threads: any.
  std::shared_ptr<OpenTrace> begin(node::Call& call, http::Headers& headers,
                                   CallTrace::Part part = CallTrace::Part::kWhole);
  /// One attempt of an asynchronous call, invoked as node::InvokeAttempt says. Borrows `traces` and `node`.
  static io::Task<node::Reply> attempt(Traces& traces, node::Node& node, node::Call call);
  /// Never waits for more than the queue's lock. Threads: any.
  void record(CallTrace call);

  /// Prometheus text.
  std::string metrics_text() const;

  /// Sends what waits, once, for at most kTraceStopWait.
  void stop();

 private:
  enum class Sent : std::uint8_t { kTaken, kRefused, kLater };

  void run();
  std::vector<CallTrace> next_batch();
  void deliver(const std::vector<CallTrace>& batch);
  Sent send(const std::string& body, base::Duration& wait);
  void tell_failure(const std::string& why);
  bool pause(base::Duration wait);

  const Options options_;
  meter::Counter exported_;
  meter::Counter dropped_full_;
  meter::Counter dropped_undelivered_;
  bool failing_ = false;     // told in the log; of the thread
  std::minstd_rand jitter_;  // of the thread

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<CallTrace> queue_;  // guarded by mutex_, as are those below
  bool stopping_ = false;
  bool done_ = false;
  std::thread thread_;
};

/// The trace is told of the reply, and of the end of its stream: one that nobody asks for ends with the last reference
/// to it.
void trace_to_the_end(std::shared_ptr<OpenTrace> trace, node::Reply& reply);

/// As the caller sent it, for a function of a node that does not trace; "" when malformed.
std::string traceparent_of(const http::Headers& headers);
/// All of that header in one; "" when it is longer than limits::kTraceStateBytes.
std::string tracestate_of(const http::Headers& headers);

/// Lines "Name: value"; empty ones and those from "#" on are left out. Errors: kInvalidArgument naming the line, never
/// its value.
base::Result<http::Headers> parse_header_lines(std::string_view text);

}  // namespace ebb::gateway
