// Asynchronous calls as JSON text, for the control plane and for the answer to who made one.
// Called by control_plane_calls.cc and function_url.cc.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "node/node.h"

namespace ebb::gateway {

/// "waiting", "running", "failed".
std::string_view name_of(node::AsyncCallView::State state);
std::optional<node::AsyncCallView::State> async_state_named(std::string_view name);

std::string async_call_json(const node::AsyncCallView& view);
/// {"calls": [...]}
std::string async_calls_json(const std::vector<node::AsyncCallView>& views);
/// Where a call is looked at, without scheme and host.
std::string async_call_path(const base::InvocationId& id);
/// The answer 202.
std::string accepted_json(const base::InvocationId& id, const node::AcceptedCall& accepted);

}  // namespace ebb::gateway
