// How the command line finds the node of this machine: /run/ebb/PORT.key is a link, made by `ebb serve` as root, to the
// admin key in the data directory of the node that listens on that port. The link is for all to see, the key is not.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace ebb::model {

inline constexpr const char* kLocalNodesDirectory = "/run/ebb";

/// The admin key's file, where that link leads.
std::string local_key_file(const std::string& data_dir);

/// "/run/ebb/8080.key".
std::string local_key_link(std::uint16_t port);

/// The port of "http://127.0.0.1:8080" when the host is this machine's loopback, else nothing.
std::optional<std::uint16_t> loopback_port(std::string_view url);

}  // namespace ebb::model
