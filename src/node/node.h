// One machine's engine, as the gateway sees it: invoke a function, deploy an app, look at what runs.
//
// The node owns the launcher connection, the runners of all current versions, metadata, packages, usage records and
// logs. All calls are coroutines on the caller's core; nothing here blocks a core: blocking work goes to the node's
// pool.
#pragma once

#include <boost/json/object.hpp>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/id.h"
#include "base/result.h"
#include "http/forwarded.h"
#include "http/message.h"
#include "io/cores.h"
#include "io/task.h"
#include "meter/budget.h"
#include "meter/month.h"
#include "model/access_key.h"
#include "model/alias.h"
#include "model/config.h"
#include "model/organisation.h"
#include "model/scale.h"
#include "model/usage.h"
#include "model/version.h"
#include "model/webhook.h"
#include "node/quotas.h"
#include "os/fd.h"
#include "store/calls.h"

namespace ebb::meter {
struct Bill;
enum class BillBy : std::uint8_t;
}  // namespace ebb::meter

namespace ebb::node {

/// What the gateway asks to be run. The body is moved all the way to the socket of the instance.
struct Call {
  base::InvocationId id;  // made by the gateway: the request id in every answer, log line and record
  std::string app;
  std::string function;
  std::uint32_t version_number = 0;  // 0: the current one
  std::string alias{};               // not "": the version is the one that this alias of the function stands for
  enum class Kind : std::uint8_t { kHttp, kDirect } kind = Kind::kHttp;
  http::Request request;   // kHttp: as it came, without a key of ours; of either kind the body, where it is unread
  std::string url_prefix;  // kHttp: the part of its path that is not the function's to see, "/fn/app/function" or ""
  http::Forwarded forwarded{};  // kHttp: what a trusted proxy says of its client
  /// kHttp: the event of payload version 2.0 without "body" and "isBase64Encoded", as JSON text. Made where it is
  /// needed: a web server gets the request itself.
  std::string (*event_of)(const Call&) = nullptr;
  std::string content_type;  // kDirect: of the body; "" is JSON
  std::string body;
  std::shared_ptr<const void> body_held{};  // kept as long as the body: its part of what the node may hold
  base::SteadyTime arrived{};               // its head
  base::SteadyTime
      whole_at{};  // its body too, where it is read whole, which may take minutes more: from here on it waits
  /// What the function is told of the trace that it is part of (W3C Trace Context); "" is none.
  std::string traceparent{};
  std::string tracestate{};
  std::uint32_t attempt = 0;  // of an asynchronous call, from 1; 0: somebody waits for the answer
  std::string timer{};        // whose call it is, by its name; "": of none. The request is filled in as well then
  /// Where it is written how the invocation ended, as its record has it; nothing: it got no instance.
  std::shared_ptr<std::optional<model::Outcome>> outcome{};
  /// What the caller has shown of a key for this app: a function of `auth: key` runs for kGranted only.
  enum class KeyShown : std::uint8_t { kNone, kUnknown, kNotAllowed, kGranted } key_shown = KeyShown::kNone;

  /// kHttp: the function's own part of the path, still percent-encoded; begins with "/".
  std::string_view function_path() const {
    return url_prefix.size() < request.path.size() ? std::string_view(request.path).substr(url_prefix.size()) : "/";
  }
  /// kHttp: the client as far as it is known: who connected, or whom a trusted proxy speaks for; and how it addressed
  /// this call.
  std::string_view client_address() const { return forwarded.client.empty() ? request.peer_address : forwarded.client; }
  bool over_https() const { return forwarded.scheme.empty() ? request.over_tls : forwarded.scheme == "https"; }
  std::string_view host() const { return forwarded.host.empty() ? request.headers.get("host") : forwarded.host; }
  /// The answer goes out without its body.
  bool head_only() const { return request.method == "HEAD"; }
};

/// How long each phase took; every response carries it as Server-Timing, every usage record as nanoseconds.
struct Phases {
  base::Duration queue{};    // waiting for an instance, less `start`
  base::Duration start{};    // making the instance that served, if it was made for this call
  base::Duration init{};     // the part of `start` in which the user's module was imported
  base::Duration handler{};  // from the request's first byte to the instance until its last byte back
  model::Rung rung = model::Rung::kIdle;
};

/// An answer of user code, or the error that took its place. The usage record is closed when this exists, unless it is
/// a stream.
struct Reply {
  int status = 200;
  http::Headers headers;  // validated: no hop-by-hop headers, no control characters
  std::string body;
  /// Set: the body is what this writes, as it is produced; `body` is empty. It holds the instance, and returns when the
  /// usage record is closed. Called once at most, on the core of the call; dropped uncalled, it ends the invocation.
  /// Errors: those of the writer; what befell the invocation, and then the answer is not whole.
  std::function<io::Task<base::Result<>>(http::BodyWriter&)> stream{};
  /// Status 101: what the client's connection becomes; as `stream` otherwise. `headers` say to what ("Upgrade").
  std::function<io::Task<base::Result<>>(http::Tunnel&)> tunnel{};
  std::optional<std::uint64_t> stream_bytes{};  // announced by the function: it writes as many, or fails
  std::shared_ptr<const void> held{};           // kept as long as the body: its part of what the node may hold
  Phases phases;
  std::uint32_t version_number = 0;
  std::optional<base::Error> error;  // set: render it as an error response; kFunctionFailed carries type and message
  bool replaced = false;             // the version was closed before the call had an instance: inside the node only
};

/// One step of a deployment, for progress bars and logs.
struct DeploymentEvent {
  std::uint64_t sequence = 0;
  std::string phase;    // "package", "layer", "build", "zygote", "publish"
  std::string message;  // one line for a person
};

struct DeployedFunction {
  std::string name;
  std::uint32_t version_number = 0;
  bool unchanged = false;
  std::string note;  // "cannot be forked: 2 threads (libgomp.so.1)", or empty
};

struct DeploymentOptions {
  std::string only_app;        // that of another app fails with kPermissionDenied; "" for any
  std::string organisation{};  // in which a new app is made; an app of another fails with kConflict; "" for any
  bool build_only = false;     // ends when all is built: nothing is tried or published
  model::Holder owner{};       // whose part of what may wait it is; empty: no one's
  std::shared_ptr<const void> archive_held{};  // kept as long as the archive: its part of what the node may hold
};

struct DeploymentStatus {
  std::uint64_t id = 0;
  enum class State : std::uint8_t { kRunning, kSucceeded, kFailed } state = State::kRunning;
  std::string app;                          // known once the manifest is read
  std::string only_app;                     // the app that the deployer's key is for, "" for any
  std::string organisation;                 // the one that was asked for, "" for any
  std::vector<DeploymentEvent> events;      // those after the sequence asked for
  std::string package_key;                  // once it is built: content key of the code as it is run
  std::string layer_key;                    // the same of the requirements, "" without any
  std::vector<DeployedFunction> functions;  // on success
  std::optional<base::Error> error;         // on failure
  std::string detail;                       // a traceback or the tail of a build's output, on failure
};

/// A timer in force, as `ebb ls` shows it.
struct TimerView {
  model::Timer timer;
  std::optional<base::WallTime> next;  // nothing: never, the machine knows its zone no longer
};

/// A function as `ebb ls` shows it.
struct FunctionView {
  model::Version version;
  std::string zygote;  // "absent", "starting", "ready", "unfit"
  std::string zygote_note;
  std::uint32_t idle = 0;
  std::uint32_t busy = 0;
  std::uint32_t starting = 0;
  std::uint32_t spares = 0;  // started ahead, unused
  std::size_t queued = 0;
  std::vector<TimerView> timers{};  // of the current version
};

/// An app as a whole, as `ebb ls` shows it.
struct AppView {
  std::string name;
  std::uint64_t instances = 0;  // of all its versions, in any state
  model::AppScale scale{};
};

struct Deployed {
  std::vector<FunctionView> functions;
  std::vector<AppView> apps;  // of these functions, by name
};

/// A version as `ebb versions` shows it.
struct VersionView {
  model::Version version;
  bool current = false;
  std::vector<model::Alias> aliases;  // that stand for it
  std::uint64_t bytes = 0;            // its package and layers on disk; what it shares with others counts for each
};

/// What a version may use; nothing: as the function's current one.
struct Size {
  std::optional<base::Bytes> memory;
  std::optional<std::uint32_t> cpu_millis;
};

/// A secret as it is shown: never with its value.
struct SecretView {
  std::string name;
  std::uint64_t version = 0;  // counts up with every value
  base::WallTime updated{};
  std::vector<std::string> functions;  // current ones that bind it
};

/// A call that is to be delivered and that nobody waits for was accepted, and is on disk.
struct AcceptedCall {
  std::string waits_because;  // what keeps it for now: a budget, a quota; "" for nothing
};

/// An asynchronous call that is kept.
struct AsyncCallView {
  enum class State : std::uint8_t { kWaiting, kRunning, kFailed } state = State::kWaiting;
  store::StoredCall call;
  std::string waits_because;  // of one that waits; "": for its turn
};

struct AsyncCallQuery {
  std::string app;           // empty: all
  std::string organisation;  // whose apps, empty: of all
  std::string function;      // empty: all
  std::optional<AsyncCallView::State> state;
  std::size_t limit = 100;  // the newest
};

struct LogLine {
  base::InvocationId id;
  base::WallTime time;
  std::string app;
  std::string function;
  std::string stream;  // "out", "err", "platform"
  std::string text;
};

struct LogQuery {
  std::string app;
  std::string function;  // empty: all of the app
  std::optional<base::InvocationId> request;
  std::optional<base::WallTime> since;
  std::size_t limit = 1000;  // the newest lines
  std::string cursor;        // where an earlier answer ended: only what came after
};
struct LogPage {
  std::vector<LogLine> lines;
  std::string cursor;
};

struct UsageQuery {
  std::string app;           // empty: all
  std::string organisation;  // whose apps, empty: of all
  std::string function;      // empty: all
  std::optional<base::InvocationId> request;
  std::optional<base::WallTime> since;
  std::optional<base::WallTime> until;
  std::size_t limit = 100;  // the newest records
};
struct UsagePage {
  std::vector<model::UsageRecord> records;  // newest last
  std::uint64_t invocations = 0;            // totals over all that match, not only those listed
  std::uint64_t billed_ms = 0;
  std::uint64_t micro_cu = 0;
};

/// One segment of the usage log: some thousands of records.
struct UsageExportPage {
  std::vector<model::UsageRecord> records;
  std::optional<std::uint64_t> next;  // the segment to ask for next; nothing: this was the last
};

/// Which records to export.
struct ExportQuery {
  std::string app;           // empty: all
  std::string organisation;  // whose apps, empty: of all
  meter::Month month;
  std::uint64_t segment = 0;  // the first from this one on; 0 begins
};

struct BillQuery {
  std::string app;             // empty: all
  std::string organisation{};  // whose apps, empty: of all
  meter::Month month;
  meter::BillBy by{};
};

/// From one invocation's record to the bill that it is on.
struct BillExplanation {
  model::UsageRecord record;
  std::shared_ptr<const meter::Bill> bill;  // of its app and month, by function
};

/// What holding the usage log and its sums against each other found.
struct LedgerReport {
  std::uint64_t segments = 0;
  std::uint64_t records = 0;
  std::uint64_t unchecked = 0;  // segments of an early format, without checksums
  std::uint64_t rolled = 0;     // segments in the sums
  std::uint64_t retired = 0;    // of these, gone by usage_retention_days
  std::vector<std::string> damage;
};

class Node;

/// What invokes an attempt of an asynchronous call, by Node::invoke and with whatever shall be around it. On the core
/// of the call; its task holds what it needs for as long as it runs.
using InvokeAttempt = std::function<io::Task<Reply>(Node& node, Call call)>;

class Node {
 public:
  /// `launcher_socket` is the seqpacket to the launcher. Opens the data directory, recovers usage records, and begins
  /// to rebuild the zygotes of all current versions in the background. `invoke_attempt`: nothing for Node::invoke
  /// alone. Blocking; called before the cores run.
  static base::Result<std::unique_ptr<Node>> start(io::Cores& cores, const model::Config& config,
                                                   os::Fd launcher_socket, InvokeAttempt invoke_attempt = {});
  virtual ~Node() = default;

  /// Runs one invocation. Cancelling the coroutine kills the invocation. Never fails: errors are in the reply.
  virtual io::Task<Reply> invoke(Call call) = 0;

  /// Keeps a direct call and delivers it later, more than once if it fails; on disk when this returns. Errors:
  /// kNotFound, kInvalidArgument (takes no direct calls), kTooLarge, kResourceExhausted, kUnavailable.
  virtual io::Task<base::Result<AcceptedCall>> accept(Call call) = 0;
  virtual io::Task<base::Result<std::vector<AsyncCallView>>> async_calls(AsyncCallQuery query) = 0;
  /// Errors of these: kNotFound (also for one that is done); kConflict where it runs.
  virtual io::Task<base::Result<AsyncCallView>> async_call(base::InvocationId id) = 0;
  virtual io::Task<base::Result<std::string>> async_event(base::InvocationId id) = 0;
  /// It is delivered at once, a failed one from its first attempt on.
  virtual io::Task<base::Result<>> retry_async_call(base::InvocationId id) = 0;
  virtual io::Task<base::Result<>> remove_async_call(base::InvocationId id) = 0;

  /// Takes an archive (tar, tar.gz, zip) with ebb.yaml at its root and works on it in the background.
  virtual io::Task<base::Result<std::uint64_t>> deploy(std::string archive, DeploymentOptions options) = 0;
  /// Events after `sequence`; waits up to `wait` for something new.
  virtual io::Task<base::Result<DeploymentStatus>> deployment(std::uint64_t id, std::uint64_t sequence,
                                                              base::Duration wait) = 0;

  virtual io::Task<base::Result<Deployed>> functions(std::string app) = 0;  // empty: of all apps
  /// Empty function: the app. Gives how many asynchronous calls were removed with it.
  virtual io::Task<base::Result<std::uint64_t>> remove(std::string app, std::string function) = 0;
  /// A version like the function's current one, of another size. It does not become current, it answers by its number,
  /// keeps no instances ready, and stays until it is removed. Errors: kNotFound, kInvalidArgument.
  virtual io::Task<base::Result<model::Version>> make_sized_version(std::string app, std::string function,
                                                                    Size size) = 0;
  /// Its calls under way finish. Errors: kNotFound; kConflict for the current one and for one that an alias stands for.
  virtual io::Task<base::Result<>> remove_version(std::string app, std::string function, std::uint32_t number) = 0;
  /// Newest first. Errors: kNotFound.
  virtual io::Task<base::Result<std::vector<VersionView>>> versions(std::string app, std::string function) = 0;
  /// Makes a version that is there the current one, once it has started: 0 for the newest deployed before the current
  /// one. Calls under way finish on theirs. Errors: kNotFound; kConflict saying why it does not start.
  virtual io::Task<base::Result<model::Version>> roll_back(std::string app, std::string function,
                                                           std::uint32_t number) = 0;
  /// Of all, of an app, or of a function of it. Errors: kNotFound when the app or function named is not there.
  virtual io::Task<base::Result<std::vector<model::Alias>>> aliases(std::string app, std::string function) = 0;
  /// Sets it once its versions have started. In effect, and on disk, when it returns; gives it as it is then.
  /// Errors: those of Metadata; kConflict saying why a version does not start.
  virtual io::Task<base::Result<model::Alias>> set_alias(model::Alias alias) = 0;
  /// Errors: kNotFound.
  virtual io::Task<base::Result<>> remove_alias(std::string app, std::string function, std::string name) = 0;
  virtual io::Task<base::Result<LogPage>> logs(LogQuery query) = 0;
  virtual io::Task<base::Result<UsagePage>> usage(UsageQuery query) = 0;
  virtual io::Task<base::Result<UsageExportPage>> usage_page(ExportQuery query) = 0;
  /// Priced anew from the records each time. Errors: those of the price file; kTooLarge.
  virtual io::Task<base::Result<std::shared_ptr<const meter::Bill>>> bill(BillQuery query) = 0;
  /// Of one invocation, or without one of the function's newest. Errors: kNotFound; as bill.
  virtual io::Task<base::Result<BillExplanation>> explain_bill(std::string app, std::string function,
                                                               std::optional<base::InvocationId> request) = 0;
  /// Stores a value. When functions bind it, new versions of them are tried with it first, in the background, and serve
  /// from then on; a value that one does not start with is not stored. Gives the deployment to follow, or 0 when no
  /// function was concerned. Errors: kInvalidArgument, kTooLarge, kResourceExhausted.
  virtual io::Task<base::Result<std::uint64_t>> set_secret(std::string app, std::string name, std::string value) = 0;
  virtual io::Task<base::Result<std::vector<SecretView>>> secrets(std::string app) = 0;
  /// Errors: kNotFound; kConflict naming the functions that bind it.
  virtual io::Task<base::Result<>> remove_secret(std::string app, std::string name) = 0;

  /// Reads the whole usage log; with `rebuild` makes the sums anew first.
  virtual io::Task<base::Result<LedgerReport>> check_ledger(bool rebuild) = 0;

  /// Those of apps that have one, by name.
  virtual io::Task<base::Result<std::vector<meter::BudgetView>>> budgets() = 0;
  /// In effect, and on disk, when it returns. Errors: kInvalidArgument, kResourceExhausted.
  virtual io::Task<base::Result<>> set_budget(model::Budget budget) = 0;
  /// Errors: kNotFound.
  virtual io::Task<base::Result<>> remove_budget(model::Holder holder) = 0;

  /// As budgets.
  virtual io::Task<base::Result<std::vector<Quotas::View>>> quotas() = 0;
  virtual io::Task<base::Result<>> set_quota(model::Quota quota) = 0;
  virtual io::Task<base::Result<>> remove_quota(model::Holder holder) = 0;

  /// By name. Errors of these: those of Metadata.
  virtual io::Task<base::Result<std::vector<model::Organisation>>> organisations() = 0;
  virtual io::Task<base::Result<>> add_organisation(std::string name) = 0;
  virtual io::Task<base::Result<>> remove_organisation(std::string name) = 0;
  /// Organisations' own receivers of webhooks, by organisation.
  virtual io::Task<base::Result<std::vector<model::Webhook>>> webhooks() = 0;
  /// In effect, and on disk, when it returns. Gives the secret where it is a new one: for a new receiver, or asked for;
  /// else "". Errors: kInvalidArgument, kNotFound (no such organisation), kResourceExhausted.
  virtual io::Task<base::Result<std::string>> set_webhook(model::Webhook webhook, bool fresh_secret) = 0;
  /// What waits for it is dropped. Errors: kNotFound.
  virtual io::Task<base::Result<>> remove_webhook(std::string organisation) = 0;
  /// Gives a name that is nobody's to the organisation ("" for the default one). Errors: kConflict when the
  /// organisation was named and the name is another's.
  virtual io::Task<base::Result<>> claim_app(std::string app, std::string organisation) = 0;
  virtual io::Task<base::Result<>> move_app(std::string app, std::string organisation) = 0;
  /// "" for a name that nobody has used. Does not wait for the disk.
  virtual std::string organisation_of(const std::string& app) const = 0;

  /// All access keys, the local admin key's among them. Blocking: called before the cores run.
  virtual base::Result<std::vector<model::AccessKey>> stored_keys() = 0;
  /// On disk when they return. Errors: as Metadata's.
  virtual io::Task<base::Result<>> add_key(model::AccessKey key) = 0;
  virtual io::Task<base::Result<>> remove_key(std::string id) = 0;
  /// Prometheus text. What the launcher does not say within limits::kReadCpuWait is as it was last.
  virtual io::Task<std::string> metrics_text() = 0;
  /// True once the launcher answers and metadata is read: /readyz.
  virtual bool ready() const = 0;
  /// Stops taking calls, lets running ones finish until the deadline, closes records. Called on SIGTERM.
  virtual io::Task<> drain(base::Duration deadline) = 0;
};

}  // namespace ebb::node
