#include "http/chunked.h"

#include <algorithm>
#include <charconv>

#include "base/limits.h"

namespace ebb::http {
namespace {

base::Error malformed() { return base::invalid_argument("the chunked body is malformed"); }

bool is_control(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return (byte < 0x20 && byte != '\t') || byte == 0x7f;
}

}  // namespace

base::Result<std::size_t> ChunkDecoder::feed(std::string_view input, std::string& body) {
  std::size_t consumed = 0;
  while (consumed < input.size() && state_ != State::kDone) {
    if (state_ == State::kData) {
      const std::size_t piece = static_cast<std::size_t>(std::min<std::uint64_t>(size_, input.size() - consumed));
      body.append(input.substr(consumed, piece));
      consumed += piece;
      size_ -= piece;
      if (size_ == 0) state_ = State::kDataCr;
      continue;
    }
    EBB_CHECKED(step(input[consumed]));
    ++consumed;
  }
  return consumed;
}

base::Result<> ChunkDecoder::count_overhead() {
  if (++overhead_ <= limits::kHttpHeaderBytes) return {};
  return base::Error{.code = base::Code::kTooLarge,
                     .message = "the chunked body's extensions and trailers are larger than the limit of " +
                                std::to_string(limits::kHttpHeaderBytes) + " bytes"};
}

base::Result<> ChunkDecoder::step_size(char c) {
  if (c == ';' || c == '\r') {
    if (digits_ == 0) return malformed();
    state_ = c == ';' ? State::kExtension : State::kSizeLf;
    return {};
  }
  unsigned digit = 0;
  const auto [end, failed] = std::from_chars(&c, &c + 1, digit, 16);
  // Sixteen digits fill 64 bits; leading zeros are counted too, nobody needs more.
  if (failed != std::errc() || end != &c + 1 || ++digits_ > 16) return malformed();
  size_ = size_ * 16 + digit;
  return {};
}

base::Result<> ChunkDecoder::step(char c) {
  switch (state_) {
    case State::kSize: return step_size(c);
    case State::kExtension:
      if (c == '\r') {
        state_ = State::kSizeLf;
        return {};
      }
      if (is_control(c)) return malformed();
      return count_overhead();
    case State::kSizeLf:
      if (c != '\n') return malformed();
      if (size_ > limit_ || total_ > limit_ - size_) return body_too_large(limit_);
      total_ += size_;
      state_ = size_ == 0 ? State::kTrailerStart : State::kData;
      digits_ = 0;
      return {};
    case State::kDataCr:
      if (c != '\r') return malformed();
      state_ = State::kDataLf;
      return {};
    case State::kDataLf:
      if (c != '\n') return malformed();
      state_ = State::kSize;
      return {};
    case State::kTrailerStart:
      if (c == '\r') {
        state_ = State::kEndLf;
        return {};
      }
      if (is_control(c)) return malformed();
      state_ = State::kTrailer;
      return count_overhead();
    case State::kTrailer:
      if (c == '\r') {
        state_ = State::kTrailerLf;
        return {};
      }
      if (is_control(c)) return malformed();
      return count_overhead();
    case State::kTrailerLf:
      if (c != '\n') return malformed();
      state_ = State::kTrailerStart;
      return {};
    case State::kEndLf:
      if (c != '\n') return malformed();
      state_ = State::kDone;
      return {};
    case State::kData:
    case State::kDone: break;
  }
  EBB_CHECK(!"data and the end are handled by feed()");
  return malformed();
}

std::string chunk_head(std::size_t bytes) {
  char digits[16];
  const auto [end, failed] = std::to_chars(digits, digits + sizeof digits, bytes, 16);
  std::string head(digits, end);
  head += "\r\n";
  return head;
}

base::Error body_too_large(std::uint64_t limit_bytes) {
  return base::Error{.code = base::Code::kTooLarge,
                     .message = "the body is larger than the limit of " + std::to_string(limit_bytes) + " bytes"};
}

}  // namespace ebb::http
