#include "gateway/async_view.h"

#include <algorithm>
#include <array>

#include "gateway/json_text.h"

namespace ebb::gateway {
namespace {

using State = node::AsyncCallView::State;

// In the order of the enumerators.
constexpr std::array<std::string_view, 3> kStateNames = {"waiting", "running", "failed"};

}  // namespace

std::string_view name_of(State state) { return kStateNames[static_cast<std::size_t>(state)]; }

std::optional<State> async_state_named(std::string_view name) {
  const auto at = std::find(kStateNames.begin(), kStateNames.end(), name);
  if (at == kStateNames.end()) return std::nullopt;
  return static_cast<State>(at - kStateNames.begin());
}

std::string async_call_json(const node::AsyncCallView& view) {
  const store::StoredCall& call = view.call;
  JsonObject object;
  object.text("id", base::to_string(call.id))
      .text("app", call.app)
      .text("function", call.function)
      .text("version", call.version)
      .text("state", name_of(view.state))
      .number("attempts", call.attempts)
      .number("retries", call.terms.retries)
      .text("accepted", base::to_rfc3339(call.accepted));
  if (view.state == State::kFailed) {
    object.text("failed", base::to_rfc3339(call.due));
  } else {
    object.text("next_attempt", base::to_rfc3339(call.due)).text("deadline", base::to_rfc3339(call.deadline));
  }
  return object.text("waits_because", view.waits_because)
      .text("error", call.error)
      .text("content_type", call.content_type)
      .number("event_bytes", call.event_size.count)
      .close();
}

std::string async_calls_json(const std::vector<node::AsyncCallView>& views) {
  JsonArray calls;
  for (const node::AsyncCallView& view : views) calls.add(async_call_json(view));
  return JsonObject().raw("calls", calls.close()).close() + "\n";
}

std::string async_call_path(const base::InvocationId& id) { return "/api/v1/calls/" + base::to_string(id); }

std::string accepted_json(const base::InvocationId& id, const node::AcceptedCall& accepted) {
  return JsonObject()
             .text("id", base::to_string(id))
             .text("path", async_call_path(id))
             .text("waits_because", accepted.waits_because)
             .close() +
         "\n";
}

}  // namespace ebb::gateway
