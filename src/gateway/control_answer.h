// What the methods of the control plane share. Included by control_plane*.cc.
#pragma once

#include <string>
#include <string_view>
#include <utility>

#include "gateway/access.h"
#include "http/message.h"

namespace ebb::gateway {

inline http::Response json_response(int status, std::string body) {
  http::Response response;
  response.status = status;
  response.headers.add("Content-Type", "application/json");
  response.body = std::move(body);
  return response;
}

/// An organisation that a request names: to a key of an organisation or app all others are as if they were not there.
inline base::Result<> may_name_organisation(const Caller& caller, std::string_view name) {
  if (caller.of_node() || caller.organisation == name) return {};
  return base::not_found("there is no organisation " + std::string(name) + ", see ebb org ls");
}

}  // namespace ebb::gateway
