// A chunked body from arbitrary bytes, whole and in pieces: the same content, end or refusal; no crash, never more than
// the limit.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/check.h"
#include "http/chunked.h"

namespace {

constexpr std::uint64_t kLimit = 512;

struct Decoded {
  std::string body;
  std::size_t consumed = 0;
  bool refused = false;
  bool done = false;
};

Decoded decode(std::string_view bytes, std::size_t step) {
  Decoded result;
  ebb::http::ChunkDecoder decoder(kLimit);
  while (result.consumed < bytes.size() && !decoder.done()) {
    const auto fed = decoder.feed(bytes.substr(result.consumed, step), result.body);
    if (!fed) {
      result.refused = true;
      break;
    }
    result.consumed += *fed;
  }
  result.done = !result.refused && decoder.done();
  EBB_CHECK(result.body.size() <= kLimit);
  return result;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const Decoded whole = decode(bytes, size + 1);
  for (const std::size_t step : {std::size_t{1}, std::size_t{3}, std::size_t{17}}) {
    const Decoded pieces = decode(bytes, step);
    EBB_CHECK(pieces.refused == whole.refused && pieces.done == whole.done);
    if (!whole.refused) EBB_CHECK(pieces.body == whole.body && pieces.consumed == whole.consumed);
  }
  return 0;
}
