#include "model/async_terms.h"

#include <boost/json.hpp>

#include "base/limits_async.h"
#include "model/json_fields.h"

namespace ebb::model {
namespace {

std::optional<AsyncViolation> outside(std::string_view key, base::Duration value, base::Duration least,
                                      base::Duration most) {
  if (value >= least && value <= most) return std::nullopt;
  return AsyncViolation{key, "is " + base::to_string(value) + ", it must be from " + base::to_string(least) + " to " +
                                 base::to_string(most)};
}

}  // namespace

std::optional<AsyncViolation> first_violation(const AsyncTerms& terms) {
  if (terms.retries > limits::kAsyncRetriesMax) {
    return AsyncViolation{"retries", "is " + std::to_string(terms.retries) + ", it must be from 0 to " +
                                         std::to_string(limits::kAsyncRetriesMax)};
  }
  if (auto wrong =
          outside("retry_after", terms.retry_after, limits::kAsyncRetryAfterMin, limits::kAsyncRetryAfterMax)) {
    return wrong;
  }
  return outside("max_age", terms.max_age, limits::kAsyncAgeMin, limits::kAsyncAgeMax);
}

boost::json::object to_json(const AsyncTerms& terms) {
  return boost::json::object{{"retries", terms.retries},
                             {"retry_after", base::to_string(terms.retry_after)},
                             {"max_age", base::to_string(terms.max_age)}};
}

base::Result<AsyncTerms> async_terms_from_json(const boost::json::object& object) {
  AsyncTerms terms;
  EBB_CHECKED(read_field(object, "retries", terms.retries));
  EBB_CHECKED(read_field(object, "retry_after", terms.retry_after));
  EBB_CHECKED(read_field(object, "max_age", terms.max_age));
  return terms;
}

}  // namespace ebb::model
