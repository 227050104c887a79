#include "model/local_node.h"

#include <charconv>

namespace ebb::model {

std::string local_key_file(const std::string& data_dir) { return data_dir + "/admin.key"; }

std::string local_key_link(std::uint16_t port) {
  return std::string(kLocalNodesDirectory) + "/" + std::to_string(port) + ".key";
}

std::optional<std::uint16_t> loopback_port(std::string_view url) {
  bool tls = false;
  if (url.starts_with("http://")) {
    url.remove_prefix(7);
  } else if (url.starts_with("https://")) {
    url.remove_prefix(8);
    tls = true;
  } else {
    return std::nullopt;
  }
  std::string_view host = url.substr(0, url.find('/'));
  if (host.find('@') != std::string_view::npos) return std::nullopt;
  std::uint16_t port = tls ? 443 : 80;
  const auto colon = host.rfind(':');
  if (colon != std::string_view::npos && !host.ends_with(']')) {
    const std::string_view digits = host.substr(colon + 1);
    const auto [end, failed] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
    if (failed != std::errc() || end != digits.data() + digits.size()) return std::nullopt;
    host = host.substr(0, colon);
  }
  if (host == "localhost" || host == "127.0.0.1" || host == "[::1]") return port;
  return std::nullopt;
}

}  // namespace ebb::model
