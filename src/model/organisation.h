// Organisations: what apps belong to, so that people who share a node neither see nor touch each other's.
//
// 1. An app's name belongs to one organisation, from the first time that the name is used; also after the app was
// removed: records, logs and bills go by the name, and whoever takes it next must not inherit them.
// 2. There always is the organisation `default`: what a node's own people deploy without naming one goes there.
// Kept by Metadata, asked by the gateway. Pure values, no I/O.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/clock.h"

namespace ebb::model {

inline constexpr std::string_view kDefaultOrganisation = "default";

/// Whose a budget or a quota is: an app's or an organisation's; the other one is "".
struct Holder {
  std::string app{};
  std::string organisation{};
  bool operator==(const Holder&) const = default;
  /// "app shop", "organisation acme".
  std::string text() const { return app.empty() ? "organisation " + organisation : "app " + app; }
  /// As `ebb quota set` and `ebb budget set` take it: "shop", "--org acme".
  std::string argument() const { return app.empty() ? "--org " + organisation : app; }
};

/// Who answers for an app and shares in what the node has: its organisation, but in the default one the app itself.
/// Without an app, the organisation.
inline Holder answers_for(std::string app, std::string organisation) {
  if (app.empty() || (!organisation.empty() && organisation != kDefaultOrganisation))
    return {.organisation = std::move(organisation)};
  return {.app = std::move(app)};
}

struct Organisation {
  std::string name;
  base::WallTime created{};
  std::vector<std::string> apps;      // that exist, by name
  std::vector<std::string> reserved;  // names of removed apps, and of those yet to be deployed
};

struct OwnedApp {
  std::string app;
  std::string organisation;
  bool operator==(const OwnedApp&) const = default;
};

}  // namespace ebb::model
