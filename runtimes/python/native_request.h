// The meta of a call's frame as the library of a `native` function is given it.
//
// What the daemon writes there is JSON (src/node/invocation.cc, src/gateway/event.cc). Read here without an
// interpreter: an ordinary call of a library costs no Python (native_loop.c). Whatever is not read here is served by
// native.py, which gives a library the same. Behind each text stands a NUL, as it does there, though none is promised.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "ebb/function.h"

enum { kNativeHeadersMax = 1024 };

struct native_request {
  int is_http;
  int head_only;
  int64_t deadline_ms;
  struct ebb_text method;
  struct ebb_text path;  // percent-decoded
  struct ebb_text query;
  struct ebb_text request_id;
  struct ebb_field headers[kNativeHeadersMax];
  size_t header_count;
};

// Room that native_read_request needs beside the size of the meta: a length that it adds, and words between cookies.
enum { kNativeRoomBeside = 64 };

// Reads `meta` into `out`; its texts lie in `room`, which holds size + kNativeRoomBeside bytes. `body_bytes` becomes
// the content-length where there is a body. 0: it is not JSON as expected, or holds what has no UTF-8 (half a surrogate
// pair). O(size).
int native_read_request(const char* meta, size_t size, uint64_t body_bytes, char* room, struct native_request* out);
