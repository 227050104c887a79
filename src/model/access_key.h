// Access keys: who may do what through the management plane and with functions that ask for a key.
//
// 1. A key is "ebb_" + 12 hexadecimal digits (its public id) + "_" + 64 (256 bits of the kernel's randomness). Only the
//    SHA-256 of that text is ever kept. A slow hash such as bcrypt guards what people can guess; nobody can guess 256
//    random bits, and a slow hash would let strangers burn the node's time with wrong keys.
// 2. A key holds for one app, for one organisation and its apps, or for the whole node; `admin` is never one app's.
// Made by store/access_keys.h, kept by Metadata, checked by gateway/access.h. Pure values, no I/O.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/result.h"

namespace ebb::model {

/// What a key's holder may do: admin everything, keys included; deploy publish, remove, invoke and read; invoke call;
/// read look.
enum class Role : std::uint8_t { kAdmin, kDeploy, kInvoke, kRead };

std::string_view name_of(Role role);
std::optional<Role> role_named(std::string_view name);

/// What a request asks for. kAnyKey is what every key may do, kNodeAdmin what takes an admin key of the whole node.
enum class Permission : std::uint8_t { kAnyKey, kRead, kInvoke, kDeploy, kAdmin, kNodeAdmin };

bool allows(Role role, Permission permission);
/// The least role that may: the one a refusal names.
Role role_for(Permission permission);

/// What every key begins with, so that it is told from other tokens: PREFIX ID _ SECRET.
inline constexpr std::string_view kKeyPrefix = "ebb_";

struct AccessKey {
  std::string id;      // 12 lower-case hexadecimal digits, public
  std::string digest;  // SHA-256 of the key's text, in hexadecimal
  Role role = Role::kRead;
  std::string app;    // "" for all of its organisation, or of the node
  std::string label;  // for people: printable ASCII, at most limits::kKeyLabelBytes
  base::WallTime created{};
  bool local = false;          // the admin key in the data directory, made by the node itself
  std::string organisation{};  // "" for the whole node, and for one app: that app's, whichever it is in
};

/// The public id of a key's text, or nothing when the text has not the form of a key. Says nothing about validity.
std::optional<std::string_view> key_id_of(std::string_view text);

/// True for 12 lower-case hexadecimal digits.
bool is_key_id(std::string_view text);

/// Errors: kInvalidArgument: an admin key for one app, an app and an organisation, a bad name, a label with control
/// characters or too long.
base::Result<void> check_key(const AccessKey& key);

}  // namespace ebb::model
