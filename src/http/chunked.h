// The chunked transfer coding: a decoder fed with bytes as they come, and the framing of a chunk that goes out.
//
// 1. Strict: a chunk's size is hexadecimal digits, then CR LF or an extension; nothing else is skipped or guessed.
// 2. Decoded bytes never exceed the limit, framing bytes (extensions, trailers) never exceed kHttpHeaderBytes.
// 3. Extensions and trailers are read and dropped.
// Called by the server for requests and by the client for responses.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace ebb::http {

class ChunkDecoder {
 public:
  explicit ChunkDecoder(std::uint64_t body_bytes_max) : limit_(body_bytes_max) {}

  /// Consumes input and appends what it decodes to `body`. Gives the number of bytes consumed, which is less than all
  /// only when done: what follows belongs to the next message. Errors: kInvalidArgument (malformed), kTooLarge (the
  /// limit; named in bytes). No use after an error.
  base::Result<std::size_t> feed(std::string_view input, std::string& body);
  bool done() const { return state_ == State::kDone; }
  /// Of the chunk at hand, what has not come yet: room worth reserving.
  std::uint64_t remaining() const { return state_ == State::kData ? size_ : 0; }

 private:
  enum class State : std::uint8_t {
    kSize,
    kExtension,
    kSizeLf,
    kData,
    kDataCr,
    kDataLf,
    kTrailerStart,
    kTrailer,
    kTrailerLf,
    kEndLf,
    kDone,
  };

  base::Result<> step(char c);
  base::Result<> step_size(char c);
  base::Result<> count_overhead();

  State state_ = State::kSize;
  unsigned digits_ = 0;
  std::uint64_t size_ = 0;   // of the chunk being read; in kData what remains of it
  std::uint64_t total_ = 0;  // announced so far
  std::size_t overhead_ = 0;
  std::uint64_t limit_;
};

/// The line before a chunk's bytes: "1f4\r\n". The bytes are followed by "\r\n", the last chunk is kLastChunk.
std::string chunk_head(std::size_t bytes);
inline constexpr std::string_view kLastChunk = "0\r\n\r\n";

/// The message of a body over its limit, the same wherever it is noticed.
base::Error body_too_large(std::uint64_t limit_bytes);

}  // namespace ebb::http
