// The program of `native`, which a plain process (plain_cpp.cc) loads as well.
#include <ebb/function.h>

namespace {

ebb::Response handler(const ebb::Event&, ebb::Context&) {
  return ebb::Response::json("{\"message\":\"hello, world\"}");
}

}  // namespace

EBB_FUNCTION(handler)
