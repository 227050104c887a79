// Asynchronous calls on disk: accepted and not yet done, or failed for good. Behind an interface, as Metadata, so that
// a clustered engine can take the embedded database's place.
//
// 1. A call that commit() took is on disk when that returns, event and all, until a commit says that it is done: no
//    kill and no power cut loses it. What an attempt that was killed has done is not known here: it is repeated.
// 2. A timer's due time is handled once: its call is added in the transaction that says so, or never.
// 3. Never more is kept than limits_async.h says, of an app and of all. Failed calls make way for new ones, the oldest
//    first: those of the app when it is full, of all apps when the node is.
// Called by node/async_calls.h, off the cores: all of it blocks. Threads: any.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/id.h"
#include "base/result.h"
#include "model/async_terms.h"

namespace ebb::store {

struct StoredCall {
  enum class State : std::uint8_t { kWaiting = 0, kFailed = 1 };  // the numbers are stored

  base::InvocationId id;
  std::string app;
  std::string function;
  std::string version;  // as it was called: a number, an alias, or "" for the current one
  std::string content_type;
  std::string traceparent;
  std::string tracestate;
  model::AsyncTerms terms;
  State state = State::kWaiting;
  base::WallTime accepted{};
  base::WallTime due{};        // kWaiting: of the next attempt; kFailed: when it failed
  base::WallTime deadline{};   // no attempt begins after
  std::uint32_t attempts = 0;  // that ended, and count
  std::string error;           // how the last of them ended, or why it failed; "" before the first
  base::Bytes event_size;
};

/// A due time of one of the function's timers.
struct TimerDue {
  std::string timer;  // sched::key_of
  base::WallTime due{};
};

struct NewCall {
  StoredCall call;  // waiting
  std::string event;
  std::optional<TimerDue> timer{};  // whose call it is
};

/// Until when the due times of a timer in force are handled.
struct StoredTimer {
  std::string app;
  std::string function;
  std::string timer;
  base::WallTime handled{};
};

/// What a call has become.
struct CallChange {
  base::InvocationId id;
  StoredCall::State state = StoredCall::State::kWaiting;
  std::uint32_t attempts = 0;
  base::WallTime due{};
  std::string error;
  base::WallTime deadline{};  // 0: as it was
};

/// What goes to the disk together.
struct CallBatch {
  std::vector<NewCall> added;
  std::vector<CallChange> changed;          // of calls that are not there any more: nothing
  std::vector<base::InvocationId> removed;  // likewise
};

struct CallFilter {
  std::string app;       // "": of all
  std::string function;  // "": all of the app
  std::size_t limit = 100;
};

/// kNotFound, with what it may mean.
base::Error no_such_call(const base::InvocationId& id);

class Calls {
 public:
  virtual ~Calls() = default;

  /// Why a call that was to be added is not kept; nothing: it is.
  using Refusal = std::optional<base::Error>;
  /// In one transaction, in the order of its members. Gives a refusal or none for each call added: kResourceExhausted
  /// where there is no room for it, and the due time of a timer is handled then all the same; kConflict where that is
  /// handled, or its timer is not in force. Errors: kUnavailable (disk full), kInternal; then nothing of the batch was
  /// done.
  virtual base::Result<std::vector<Refusal>> commit(const CallBatch& batch) = 0;

  /// Errors: kNotFound.
  virtual base::Result<StoredCall> call(const base::InvocationId& id) = 0;
  /// A call with its event. Errors: kNotFound.
  virtual base::Result<NewCall> with_event(const base::InvocationId& id) = 0;
  /// The newest of a state, newest first.
  virtual base::Result<std::vector<StoredCall>> calls(const CallFilter& filter, StoredCall::State state) = 0;
  /// All that wait, oldest first: for a start.
  virtual base::Result<std::vector<StoredCall>> waiting() = 0;
  /// Removes those of an app, or of one function, and what is known of its timers. Gives how many calls that were.
  virtual base::Result<std::uint64_t> remove_all(std::string_view app, std::string_view function) = 0;
  /// Removes those that failed before then. Gives how many.
  virtual base::Result<std::uint64_t> forget_failed(base::WallTime before) = 0;

  /// By app and function.
  virtual base::Result<std::vector<StoredTimer>> timers() = 0;
  /// From now on these of the function are in force, and no others. Those that were already stay as they are, of the
  /// others all due times until `now` are handled.
  virtual base::Result<> set_timers(std::string_view app, std::string_view function,
                                    const std::vector<std::string>& timers, base::WallTime now) = 0;

  struct Kept {
    std::uint64_t calls = 0;
    std::uint64_t failed = 0;  // of them
    std::uint64_t bytes = 0;   // of the events of all of them
  };
  /// By app. Does not block.
  virtual std::map<std::string, Kept> kept() = 0;
};

}  // namespace ebb::store
