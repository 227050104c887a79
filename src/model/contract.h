// What a web server (runtime http) and the platform agree on beside HTTP: nothing more, or the contract of Alibaba
// Function Compute for custom runtimes and custom containers (docs/internals/decisions/0020-function-compute.md).
#pragma once

#include <boost/json/fwd.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/duration.h"
#include "base/result.h"

namespace ebb::model {

enum class Contract : std::uint8_t { kPlain, kFc };

/// "plain", "fc".
std::string_view name_of(Contract contract);
std::optional<Contract> contract_named(std::string_view name);

/// Of kFc: what an instance is asked beside calls, and how long its answer may take; zero: it is not asked.
struct Lifecycle {
  base::Duration initialize{};  // POST /initialize, before the first call; at most limits::kInitializeTimeoutMax
  base::Duration pre_stop{};    // GET /pre-stop, before SIGTERM; at most limits::kPreStopTimeoutMax
  bool operator==(const Lifecycle&) const = default;
};

/// What is wrong with it, with the key inside of `lifecycle`; nothing when all is well.
struct LifecycleViolation {
  std::string_view key;
  std::string message;
};
std::optional<LifecycleViolation> first_violation(const Lifecycle& lifecycle);

boost::json::object to_json(const Lifecycle& lifecycle);
/// Absent keys take their defaults, unknown ones are ignored. Errors: kInvalidArgument naming the key.
base::Result<Lifecycle> lifecycle_from_json(const boost::json::object& object);

}  // namespace ebb::model
