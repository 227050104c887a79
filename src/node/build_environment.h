// What a build is told of the daemon's environment: see wire/build_variables.h.
#pragma once

#include <algorithm>
#include <cstdlib>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "wire/build_variables.h"

namespace ebb::node {

/// Adds "NAME=value" for those of `names`, and SSL_CERT_FILE, that are set here.
inline void add_variables(std::vector<std::string>& env, std::span<const char* const> names) {
  const auto add = [&env](const char* name) {
    const char* value = std::getenv(name);
    if (value == nullptr) return;
    std::string entry = std::string(name) + "=" + value;
    if (std::find(env.begin(), env.end(), entry) == env.end()) env.push_back(std::move(entry));
  };
  for (const char* name : names) add(name);
  add("SSL_CERT_FILE");
}

}  // namespace ebb::node
