// What a function says of its asynchronous calls: `async` of ebb.yaml. A call keeps the terms it was accepted on.
// Pure values.
#pragma once

#include <boost/json/fwd.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/duration.h"
#include "base/result.h"

namespace ebb::model {

struct AsyncTerms {
  std::uint32_t retries = 2;                             // attempts after the first; at most limits::kAsyncRetriesMax
  base::Duration retry_after = std::chrono::minutes(1);  // before the second attempt; doubles before each further one
  base::Duration max_age = std::chrono::hours(6);        // from when it was accepted; no attempt begins after it
  bool operator==(const AsyncTerms&) const = default;
};

struct AsyncViolation {
  std::string_view key;
  std::string message;
};

/// The first key that breaks a rule, or nothing.
std::optional<AsyncViolation> first_violation(const AsyncTerms& terms);

boost::json::object to_json(const AsyncTerms& terms);
/// Errors: kInvalidArgument naming the key.
base::Result<AsyncTerms> async_terms_from_json(const boost::json::object& object);

}  // namespace ebb::model
