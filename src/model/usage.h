// The usage record: what one invocation used and what it is charged for. The raw material of every bill; one per
// invocation, never more. meter/usage_log.h keeps them, meter/cu.h computes the charge.
//
// A record of a second kind, of the trigger kHeld, is no invocation: it says what a version held in memory for a while.
#pragma once

#include <array>
#include <boost/json/fwd.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/duration.h"
#include "base/id.h"

namespace ebb::model {

/// The rung of the cold-start ladder an invocation's instance came from, cheapest first. The numbers are stored.
enum class Rung : std::uint8_t {
  kIdle = 0,     // an idle instance took it
  kFrozen = 1,   // a frozen instance was thawed
  kSpare = 2,    // a pre-forked spare
  kFork = 3,     // a fork of the function zygote
  kRuntime = 4,  // a fork of the runtime zygote, then the user's init
  kBoot = 5,     // the runtime itself was booted
};
inline constexpr std::size_t kRungs = 6;

/// How an invocation ended. The numbers are stored.
enum class Outcome : std::uint8_t {
  kOk = 0,
  kFunctionError = 1,  // the handler raised, or returned what cannot be sent
  kCrashed = 2,        // the instance died or exited
  kOutOfMemory = 3,    // killed at its memory limit
  kTimedOut = 4,
  kCancelled = 5,      // the client went away
  kRefused = 6,        // never leased: queue full, or no capacity
  kPlatformFault = 7,  // our fault; never billed
};
inline constexpr std::size_t kOutcomes = 8;

/// What caused an invocation. The numbers are stored.
enum class Trigger : std::uint8_t {
  kUnknown = 0,  // records of the first versions did not say
  kHttp = 1,     // the function's URL
  kDirect = 2,   // POST /api/v1/.../invocations, `ebb invoke`
  kHeld = 3,     // no invocation: what was held, whoever called
  kAsync = 4,    // as kDirect, but nobody waited for the answer
  kTimer = 5,    // a timer of the function; nobody waited either
};
inline constexpr std::size_t kTriggers = 6;

/// What holds memory for a version. The numbers are stored.
enum class HeldTier : std::uint8_t {
  kZygote = 0,       // the process that its instances are forked from
  kProvisioned = 1,  // idle instances that scale.min keeps, frozen ones too
  kIdle = 2,         // idle beyond those
  kFrozen = 3,       // frozen beyond those
  kActive = 4,       // starting or at work
};
inline constexpr std::size_t kHeldTiers = 5;

/// In the place of a function: the runtime zygotes of an app, which its functions share. No function has such a name.
inline constexpr std::string_view kRuntimesName = "(runtimes)";

/// "idle", "frozen", "spare", "fork", "runtime", "boot".
std::string_view name_of(Rung rung);
std::optional<Rung> rung_named(std::string_view name);
/// "ok", "function_error", "crashed", "out_of_memory", "timed_out", "cancelled", "refused", "platform_fault".
std::string_view name_of(Outcome outcome);
std::optional<Outcome> outcome_named(std::string_view name);
/// Whether an invocation that ended so is charged for, and the reason in words.
bool is_billed(Outcome outcome);
const char* billing_reason(Outcome outcome);
/// "unknown", "http", "direct", "held", "async", "timer".
std::string_view name_of(Trigger trigger);
std::optional<Trigger> trigger_named(std::string_view name);
/// "zygote", "provisioned", "idle", "frozen", "active".
std::string_view name_of(HeldTier tier);

/// What is known when an invocation gets its lease.
struct UsageStart {
  base::InvocationId invocation;
  base::WallTime arrival{};
  base::VersionId version{};
  std::uint32_t version_number = 0;
  std::string_view app;       // at most limits::kNameLength
  std::string_view function;  // at most limits::kNameLength
  base::InstanceId instance{};
  Rung rung = Rung::kIdle;
  Trigger trigger = Trigger::kUnknown;
  std::string_view alias;    // the name by which the version was called, "" by none; at most limits::kNameLength
  std::uint8_t attempt = 1;  // 1: the first try of a call; more where the platform tries again
  base::Bytes memory_limit;
  std::uint32_t cpu_millis = 0;
};

/// What is known when its last byte is about to be sent.
struct UsageEnd {
  Outcome outcome = Outcome::kOk;
  std::uint16_t http_status = 0;
  base::Duration queue{};    // waiting for a lease
  base::Duration start{};    // making the instance ready, init excluded
  base::Duration init{};     // the user's module imported for this invocation; 0 when a zygote had done it
  base::Duration handler{};  // wall time in the handler
  base::Duration total{};    // arrival to last byte
  std::uint64_t billed_ms = 0;
  base::Bytes memory_peak;  // of the instance's own pages
  base::Duration cpu{};     // processor time of the instance during it
  base::Bytes bytes_in;
  base::Bytes bytes_out;
  std::uint64_t cu_micro = 0;  // millionths of a compute unit
};

/// What a version held over a stretch of time, by tier. Time is counted exactly, memory at looks 100 ms apart.
struct HeldUse {
  std::uint64_t for_ms = 0;                         // the stretch
  std::array<std::uint64_t, kHeldTiers> ms{};       // processes x time
  std::array<std::uint64_t, kHeldTiers> byte_ms{};  // memory of their own x time
  bool operator==(const HeldUse&) const = default;
};

/// Whose stretch it is, and when it began.
struct HeldStart {
  base::WallTime begun{};
  base::VersionId version{};
  std::uint32_t version_number = 0;
  std::string_view app;       // at most limits::kNameLength
  std::string_view function;  // at most limits::kNameLength
  base::Bytes memory_limit;
  std::uint32_t cpu_millis = 0;
};

/// A usage record read back. `end` is missing while the invocation runs. Of the trigger kHeld: `held` is there, `end`,
/// `invocation` and `instance` are not, and `arrival` is when the stretch began.
struct UsageRecord {
  base::InvocationId invocation;
  base::WallTime arrival{};
  base::VersionId version{};
  std::uint32_t version_number = 0;
  std::string app;
  std::string function;
  base::InstanceId instance{};
  Rung rung = Rung::kIdle;
  Trigger trigger = Trigger::kUnknown;
  std::string alias;
  std::uint8_t attempt = 1;
  base::Bytes memory_limit;
  std::uint32_t cpu_millis = 0;
  std::optional<UsageEnd> end;
  std::optional<HeldUse> held{};
};

/// As the REST interface and `ebb usage --json` show it; times in milliseconds, CU with six decimals as a string.
boost::json::object to_json(const UsageRecord& record);

/// Micro-CU as a decimal number of CU, exactly: 12345 -> "0.012345".
std::string cu_text(std::uint64_t cu_micro);

}  // namespace ebb::model
