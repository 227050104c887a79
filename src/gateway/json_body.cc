#include "gateway/json_body.h"

#include <algorithm>
#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>
#include <vector>

#include "base/limits.h"
#include "base/limits_access.h"
#include "model/suggestion.h"

namespace ebb::gateway {

base::Result<TextMembers> parse_text_members(std::string_view body, std::initializer_list<std::string_view> known) {
  if (body.size() > limits::kControlBodyBytes) {
    return base::Error{.code = base::Code::kTooLarge,
                       .message = "the body has " + std::to_string(body.size()) + " bytes, the limit is " +
                                  std::to_string(limits::kControlBodyBytes)};
  }
  boost::system::error_code failed;
  const boost::json::value value = boost::json::parse(body, failed);
  if (failed || !value.is_object()) return base::invalid_argument("the body must be a JSON object");
  const std::vector<std::string_view> names(known);
  TextMembers members;
  for (const auto& member : value.get_object()) {
    const std::string name(member.key());
    if (std::find(names.begin(), names.end(), name) == names.end()) {
      return base::invalid_argument("unknown member '" + name.substr(0, 64) + "' of the body, " +
                                    model::suggestion_for(name, names));
    }
    if (!member.value().is_string()) return base::invalid_argument("member " + name + " of the body must be a string");
    members[name] = std::string(member.value().get_string());
  }
  return members;
}

}  // namespace ebb::gateway
