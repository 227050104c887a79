// The head of an HTTP request from arbitrary bytes, whole and one byte at a time: the same end is found, no crash.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/check.h"
#include "base/limits.h"
#include "http/head.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  ebb::http::HeadScanner whole;
  const auto end = whole.scan(bytes);
  ebb::http::HeadScanner piecemeal;
  std::size_t found = 0;
  for (std::size_t n = 1; n <= size && found == 0; ++n) {
    const auto step = piecemeal.scan(bytes.substr(0, n));
    if (!step) break;
    found = *step;
  }
  if (end && *end > 0) {
    EBB_CHECK(found == *end);
    (void)ebb::http::parse_request_head(bytes.substr(0, *end), ebb::limits::kHttpTargetBytes);
    (void)ebb::http::parse_response_head(bytes.substr(0, *end), "GET");
  }
  return 0;
}
