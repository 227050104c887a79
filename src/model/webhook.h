// An organisation's own receiver of webhooks, beside the node's: what concerns its apps is posted there too.
#pragma once

#include <string>

namespace ebb::model {

struct Webhook {
  std::string organisation;
  std::string url;
  bool usage = false;  // usage records too
  bool operator==(const Webhook&) const = default;
};

}  // namespace ebb::model
