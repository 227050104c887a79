// The call of a timer: what it is kept as, and how it reaches the function: a handler gets the event, a web server or
// application a POST with the event as its body.
//
// The headers X-Ebb-Timer and X-Ebb-Timer-Due say which timer it is and when it was due; a caller's own of these names
// reach no function (gateway/access.cc). Pure. Called by async_calls.cc for what is kept with model::kTimerEventType,
// and for each attempt when the version that it goes to is known.
#pragma once

#include "model/function_spec.h"
#include "node/node.h"

namespace ebb::node {

/// From the event that was kept: says whose call it is, and has a request for who takes requests.
void make_timer_call(Call& call);

/// By the version that it goes to it is a direct call, or its request.
void address_timer_call(const model::FunctionSpec& spec, Call& call);

/// A runtime that finds out itself whether the function is a handler or an application gets both.
bool tells_timer_either_way(const model::FunctionSpec& spec, const Call& call);

}  // namespace ebb::node
