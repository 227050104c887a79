#include "model/access_key.h"

#include <algorithm>
#include <array>

#include "base/id.h"
#include "base/limits_access.h"
#include "model/names.h"

namespace ebb::model {
namespace {

constexpr std::size_t kIdDigits = 12;
constexpr std::size_t kSecretDigits = 64;

// In the order of the enumerators.
constexpr std::array<std::string_view, 4> kRoleNames = {"admin", "deploy", "invoke", "read"};

}  // namespace

std::string_view name_of(Role role) { return kRoleNames[static_cast<std::size_t>(role)]; }

std::optional<Role> role_named(std::string_view name) {
  const auto at = std::find(kRoleNames.begin(), kRoleNames.end(), name);
  if (at == kRoleNames.end()) return std::nullopt;
  return static_cast<Role>(at - kRoleNames.begin());
}

bool allows(Role role, Permission permission) {
  switch (role) {
    case Role::kAdmin: return true;
    case Role::kDeploy: return permission != Permission::kAdmin && permission != Permission::kNodeAdmin;
    case Role::kInvoke: return permission == Permission::kInvoke || permission == Permission::kAnyKey;
    case Role::kRead: return permission == Permission::kRead || permission == Permission::kAnyKey;
  }
  return false;
}

Role role_for(Permission permission) {
  switch (permission) {
    case Permission::kAdmin:
    case Permission::kNodeAdmin: return Role::kAdmin;
    case Permission::kDeploy: return Role::kDeploy;
    case Permission::kInvoke: return Role::kInvoke;
    case Permission::kRead:
    case Permission::kAnyKey: return Role::kRead;
  }
  return Role::kAdmin;
}

std::optional<std::string_view> key_id_of(std::string_view text) {
  if (text.size() != kKeyPrefix.size() + kIdDigits + 1 + kSecretDigits || !text.starts_with(kKeyPrefix))
    return std::nullopt;
  const std::string_view id = text.substr(kKeyPrefix.size(), kIdDigits);
  const std::string_view rest = text.substr(kKeyPrefix.size() + kIdDigits);
  if (!base::is_hex(id) || rest.front() != '_' || !base::is_hex(rest.substr(1))) return std::nullopt;
  return id;
}

bool is_key_id(std::string_view text) { return text.size() == kIdDigits && base::is_hex(text); }

base::Result<void> check_key(const AccessKey& key) {
  if (key.role == Role::kAdmin && !key.app.empty()) {
    return base::invalid_argument(
        "an admin key is for the whole node or an organisation, leave app out or take role deploy");
  }
  if (!key.app.empty()) EBB_CHECKED(check_name("app", key.app));
  if (!key.organisation.empty()) EBB_CHECKED(check_name("organisation", key.organisation));
  if (!key.app.empty() && !key.organisation.empty()) {
    return base::invalid_argument("a key is for one app or for an organisation, not for both");
  }
  const bool plain = std::all_of(key.label.begin(), key.label.end(), [](char c) { return c >= 0x20 && c < 0x7f; });
  if (!plain || key.label.size() > limits::kKeyLabelBytes) {
    return base::invalid_argument("the label must be at most " + std::to_string(limits::kKeyLabelBytes) +
                                  " printable ASCII characters");
  }
  return {};
}

}  // namespace ebb::model
