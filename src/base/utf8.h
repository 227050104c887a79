// UTF-8: whether bytes of strangers are it, and up to where. Pure. Threads: any.
#pragma once

#include <cstddef>
#include <string_view>

namespace ebb::base {

/// The length of the valid UTF-8 sequence that begins the text, or 0. The text is not empty.
std::size_t utf8_length(std::string_view text);

/// How many bytes at its beginning are valid UTF-8: all of them, or where the first is that is not. Cost: linear.
std::size_t valid_utf8(std::string_view text);

}  // namespace ebb::base
