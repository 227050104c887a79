// The headers of a function's answer on their way to a Reply: checked, counted, and those that are the server's left
// out. All of it is untrusted.
#pragma once

#include <string>
#include <string_view>

#include "node/node.h"

namespace ebb::node {

class ReplyHeaders {
 public:
  explicit ReplyHeaders(Reply& reply) : reply_(reply) {}

  /// Empty when all is well, else what is wrong, as "a header whose name is not a token".
  std::string add(std::string_view name, std::string_view value);

 private:
  Reply& reply_;
  std::size_t bytes_ = 0;
};

/// The error of an answer that no client may see: "<app>/<function> returned <what>".
base::Error bad_result(const model::Version& version, const std::string& what);

}  // namespace ebb::node
