// What functions/hello.py is, in C++.
#include <ebb/function.h>

namespace {

ebb::Response handler(const ebb::Event&, ebb::Context&) {
  return ebb::Response::json("{\"message\": \"hello, world\"}");
}

}  // namespace

EBB_FUNCTION(handler)
