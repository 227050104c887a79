// Assertions that stay on in every build. A failed check is a bug in Ebb, never bad input: it prints where
// and what, and aborts. External input gets a Result instead.
#pragma once

#include <cstdio>
#include <cstdlib>

namespace ebb::base {

[[noreturn, gnu::cold, gnu::noinline]] inline void check_failed(const char* file, int line, const char* condition) {
  std::fprintf(stderr, "ebb: bug at %s:%d: check failed: %s\n", file, line, condition);
  std::abort();
}

}  // namespace ebb::base

#define EBB_CHECK(condition) \
  (static_cast<bool>(condition) ? void(0) : ::ebb::base::check_failed(__FILE__, __LINE__, #condition))
