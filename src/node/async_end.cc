#include "node/async_end.h"

#include "base/limits_async.h"

namespace ebb::node {

using How = sched::AsyncEnd::How;

namespace {

How how_without_record(base::Code code) {
  switch (code) {
    case base::Code::kResourceExhausted: return How::kRefused;
    case base::Code::kFunctionFailed: return How::kFailed;  // it does not start
    case base::Code::kNotFound:
    case base::Code::kInvalidArgument:
    case base::Code::kTooLarge: return How::kHopeless;
    default: return How::kFault;
  }
}

How how_with_record(model::Outcome outcome, const std::optional<base::Error>& error) {
  switch (outcome) {
    case model::Outcome::kOk: return How::kDone;
    case model::Outcome::kCancelled:  // nobody waits for it but a node that stops
    case model::Outcome::kRefused:
    case model::Outcome::kPlatformFault: return How::kFault;
    case model::Outcome::kFunctionError:
    case model::Outcome::kCrashed:
    case model::Outcome::kOutOfMemory:
    case model::Outcome::kTimedOut: break;
  }
  return error && error->code == base::Code::kInvalidArgument ? How::kHopeless : How::kFailed;
}

}  // namespace

sched::AsyncEnd async_end_of(const std::optional<base::Error>& error, std::optional<model::Outcome> outcome,
                             std::optional<int> status) {
  sched::AsyncEnd end;
  if (outcome) {
    end.how = how_with_record(*outcome, error);
  } else if (error) {
    end.how = how_without_record(error->code);
  }
  if (end.how == How::kDone && !error && status && (*status < 200 || *status > 299)) {
    end.how = How::kFailed;
    end.why = "it answered with status " + std::to_string(*status);
    return end;
  }
  if (end.how == How::kDone) return end;
  if (error) {
    end.why = error->message.substr(0, limits::kAsyncErrorBytes);
    end.retry_after = error->retry_after.value_or(std::chrono::milliseconds(0));
  } else {
    end.why = model::name_of(*outcome);
  }
  return end;
}

}  // namespace ebb::node
