// What the contract of Function Compute (model/contract.h) adds to the requests of a web server, and reads from its
// answers.
//
// 1. Headers that begin with x-fc- are the platform's: none of a caller's reaches the server, so that it may believe
// them,
//    and none of the server's reaches the caller.
// 2. What the server says of its failure is user code's word: it decides about its own call and no more.
// Used by Invocation, for each call of a function with `contract: fc`.
#pragma once

#include <string>
#include <string_view>

#include "http/head.h"
#include "model/version.h"
#include "node/node.h"

namespace ebb::node {

bool is_fc_header(std::string_view name);

/// A direct call as the request that its server gets: POST /invoke, with the event as its body.
void make_event_request(Call& call);

/// The header lines that say who is called, within which limits, and (x-fc-control-path) by which way.
std::string fc_lines(const model::Version& version, const Call& call);

/// Whether the answer says that the function failed: by x-fc-status: 404, or, to an event, by a status beyond 2xx.
bool tells_failure(const http::ResponseHead& head, Call::Kind kind);

/// Its message: the beginning of the answer's body, on one line.
std::string told_failure(const http::ResponseHead& head, std::string_view body);

}  // namespace ebb::node
