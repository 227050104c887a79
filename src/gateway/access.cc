#include "gateway/access.h"

#include <algorithm>
#include <optional>

#include "store/access_keys.h"

namespace ebb::gateway {
namespace {

constexpr std::string_view kRemedy =
    "send Authorization: Bearer KEY. `ebb` finds a key in EBB_KEY, in the file of --key-file, or, as root on the "
    "node's "
    "own machine, by itself; `ebb key create` makes one";

// The token of "Bearer TOKEN"; "" for another scheme.
std::string_view bearer_token(std::string_view value) {
  constexpr std::string_view kScheme = "bearer ";
  if (value.size() <= kScheme.size() || !http::same_name(value.substr(0, kScheme.size()), kScheme)) return {};
  value.remove_prefix(kScheme.size());
  while (!value.empty() && value.front() == ' ') value.remove_prefix(1);
  while (!value.empty() && value.back() == ' ') value.remove_suffix(1);
  return value;
}

bool looks_like_key(std::string_view token) { return token.starts_with(model::kKeyPrefix); }

// What is shown as a key: X-Ebb-Key whatever it holds, else a bearer token. "" for neither.
std::string_view shown_key(const http::Headers& headers) {
  if (const std::string* own = headers.find("x-ebb-key")) return *own;
  const std::string* authorization = headers.find("authorization");
  return authorization == nullptr ? std::string_view() : bearer_token(*authorization);
}

// Of those that a function trusts to be Ebb's, or that are meant for Ebb alone. As CGI, PHP, Rack and WSGI see them:
// there X_Ebb_Timer is X-Ebb-Timer too.
bool is_ours(std::string_view header) {
  std::string name(header);
  std::replace(name.begin(), name.end(), '_', '-');
  for (const std::string_view ours : {"x-ebb-key", "x-ebb-timer", "x-ebb-timer-due"}) {
    if (http::same_name(name, ours)) return true;
  }
  return false;
}

base::Error unauthenticated(std::string_view what) {
  return base::Error{.code = base::Code::kUnauthenticated, .message = std::string(what) + ": " + std::string(kRemedy)};
}

base::Error denied(std::string message) {
  return base::Error{.code = base::Code::kPermissionDenied, .message = std::move(message)};
}

}  // namespace

Access::Access(const std::vector<model::AccessKey>& keys, const node::Node& node) : node_(node) {
  base::MutexLock lock(mutex_);
  for (const model::AccessKey& key : keys) keys_[key.id] = key;
}

base::Result<Caller> Access::caller(const http::Headers& headers) const {
  const std::string_view shown = shown_key(headers);
  if (shown.empty()) return unauthenticated("this needs a key");
  const auto id = model::key_id_of(shown);
  if (!id) return unauthenticated("what was sent is not a key of Ebb");
  std::optional<model::AccessKey> key;  // a copy: the others do not wait while this one is hashed
  {
    base::MutexLock lock(mutex_);
    if (const auto at = keys_.find(std::string(*id)); at != keys_.end()) key = at->second;
  }
  if (!key || !store::matches(*key, shown)) {
    return unauthenticated("this key is not known here, it may have been revoked");
  }
  return Caller{.key_id = std::move(key->id),
                .role = key->role,
                .app = std::move(key->app),
                .organisation = std::move(key->organisation)};
}

void Access::add(const model::AccessKey& key) {
  base::MutexLock lock(mutex_);
  keys_[key.id] = key;
}

void Access::remove(std::string_view id) {
  base::MutexLock lock(mutex_);
  keys_.erase(std::string(id));
}

std::vector<model::AccessKey> Access::keys() const {
  std::vector<model::AccessKey> keys;
  {
    base::MutexLock lock(mutex_);
    for (const auto& [id, key] : keys_) keys.push_back(key);
  }
  std::sort(keys.begin(), keys.end(),
            [](const auto& a, const auto& b) { return a.created != b.created ? a.created < b.created : a.id < b.id; });
  return keys;
}

node::Call::KeyShown Access::key_shown(const http::Headers& headers, std::string_view app) const {
  using KeyShown = node::Call::KeyShown;
  const std::string_view shown = shown_key(headers);
  if (shown.empty() || (!looks_like_key(shown) && headers.find("x-ebb-key") == nullptr)) return KeyShown::kNone;
  const auto known = caller(headers);
  if (!known) return KeyShown::kUnknown;
  const bool granted = may(*known, model::Permission::kInvoke) && sees(*known, std::string(app));
  return granted ? KeyShown::kGranted : KeyShown::kNotAllowed;
}

bool Access::sees(const Caller& caller, const std::string& app) const {
  if (!caller.app.empty()) return caller.app == app;
  return caller.organisation.empty() || node_.organisation_of(app) == caller.organisation;
}

base::Result<> Access::may_touch(const Caller& caller, const std::string& app) const {
  if (sees(caller, app)) return {};
  if (!caller.organisation.empty())
    return base::not_found("there is no app " + app.substr(0, 64) + ", `ebb ls` shows what is deployed");
  return denied("key " + caller.key_id + " is for app " + caller.app + ", this takes a key for app " +
                app.substr(0, 64));
}

bool Access::sees(const Caller& caller, const model::AccessKey& key) const {
  if (caller.organisation.empty()) return caller.app.empty();
  return key.app.empty() ? key.organisation == caller.organisation : sees(caller, key.app);
}

base::Result<> may(const Caller& caller, model::Permission permission) {
  const bool allowed = model::allows(caller.role, permission);
  if (allowed && permission == model::Permission::kNodeAdmin) return may_see_node(caller);
  if (allowed) return {};
  return denied("this takes a key of role " + std::string(model::name_of(model::role_for(permission))) + ", key " +
                caller.key_id + " is of role " + std::string(model::name_of(caller.role)));
}

base::Result<> may_see_node(const Caller& caller) {
  if (caller.of_node()) return {};
  return denied("this takes a key for the whole node, key " + caller.key_id + " is for " +
                (caller.app.empty() ? "organisation " + caller.organisation : "app " + caller.app));
}

void strip_keys(http::Headers& headers) {
  std::vector<std::string> ours;
  for (const http::Header& header : headers) {
    if (is_ours(header.name)) ours.push_back(header.name);
  }
  for (const std::string& name : ours) headers.remove(name);
  const std::string* authorization = headers.find("authorization");
  if (authorization != nullptr && looks_like_key(bearer_token(*authorization))) headers.remove("authorization");
}

}  // namespace ebb::gateway
