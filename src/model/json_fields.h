// Typed reading of what was stored as JSON: fields of an object. Absent keys leave `out` as it was.
// Errors: kInvalidArgument naming the key. Threads: any.
#pragma once

#include <boost/json/fwd.hpp>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/duration.h"
#include "base/result.h"

namespace ebb::model {

base::Result<> read_field(const boost::json::object& object, std::string_view key, std::string& out);
base::Result<> read_field(const boost::json::object& object, std::string_view key, std::uint32_t& out);
/// As people write them: "10h".
base::Result<> read_field(const boost::json::object& object, std::string_view key, base::Duration& out);
base::Result<> read_field(const boost::json::object& object, std::string_view key, std::vector<std::string>& out);
base::Result<> read_field(const boost::json::object& object, std::string_view key,
                          std::map<std::string, std::string>& out);

/// "KEY MESSAGE".
base::Error field_error(std::string_view key, std::string_view message);

}  // namespace ebb::model
