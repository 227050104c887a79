// The event of an HTTP call: a request in the shape of Lambda function URLs, payload version 2.0, as JSON text. It has
// no "body" and no "isBase64Encoded": the runtime adds those from the bytes it gets beside it, so that a body is never
// copied.
//
// 1. The text is valid JSON and valid UTF-8 whatever the client sent; bytes that are no UTF-8 become U+FFFD.
// 2. Equal requests give equal text but for id and time: header and parameter names are sorted.
// Called by function_url.cc for every call of a function.
#pragma once

#include <string>

#include "base/clock.h"
#include "node/node.h"

namespace ebb::gateway {

/// Headers of one name are joined by "," and so are query parameters; the Cookie header becomes "cookies". "cookies"
/// and "queryStringParameters" are absent when there are none. Cost: linear but for the sort of the headers; one
/// growing string, no tree. Threads: any.
std::string http_event(const node::Call& call, base::WallTime now);

}  // namespace ebb::gateway
