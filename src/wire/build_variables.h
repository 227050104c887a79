// Variables of the environment of `ebb serve` that builds are given: how this host reaches package indexes and
// registries. They may hold passwords, so the launcher keeps them for the daemon alone, out of the memory that its
// children copy, and the daemon puts them into the orders of builds. Beside them both read SSL_CERT_*.
#pragma once

#include <string_view>

namespace ebb::wire {

inline constexpr const char* kProxyVariables[] = {"http_proxy", "https_proxy", "no_proxy",
                                                  "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"};
inline constexpr const char* kPipVariables[] = {"PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_TRUSTED_HOST",  "PIP_CERT",
                                                "PIP_PROXY",     "PIP_DEFAULT_TIMEOUT", "REQUESTS_CA_BUNDLE"};
inline constexpr const char* kNpmVariables[] = {"NPM_CONFIG_REGISTRY", "npm_config_registry", "NPM_CONFIG_CAFILE",
                                                "npm_config_cafile", "NODE_EXTRA_CA_CERTS"};

inline bool is_build_variable(std::string_view name) {
  for (const char* one : kProxyVariables) {
    if (name == one) return true;
  }
  for (const char* one : kPipVariables) {
    if (name == one) return true;
  }
  for (const char* one : kNpmVariables) {
    if (name == one) return true;
  }
  return false;
}

}  // namespace ebb::wire
