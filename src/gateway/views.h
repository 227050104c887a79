// The control plane's answers as JSON text: one function per answer, described by docs/reference/openapi.yaml.
// Text that functions or builds printed may hold any bytes; it leaves here as valid UTF-8.
// Called by control_plane.cc.
#pragma once

#include <string>
#include <vector>

#include "node/node.h"

namespace ebb::gateway {

/// Where a function is called, without scheme and host: "/fn/vision/digits/".
std::string function_path(std::string_view app, std::string_view function);

std::string deployment_json(const node::DeploymentStatus& status);
/// {"functions": [...], "apps": [...]}.
std::string functions_json(const node::Deployed& deployed);
/// {"versions": [...]}, each with its aliases.
std::string versions_json(const std::vector<node::VersionView>& versions);
/// {"aliases": [...]}.
std::string aliases_json(const std::vector<model::Alias>& aliases);
std::string logs_json(const node::LogPage& page);
std::string usage_json(const node::UsagePage& page);
/// One JSON object a line.
std::string record_lines(const std::vector<model::UsageRecord>& records);
/// Names, versions and users: never a value.
std::string secrets_json(const std::vector<node::SecretView>& secrets);
/// {"webhooks": [...]}, without secrets.
std::string webhooks_json(const std::vector<model::Webhook>& webhooks);
/// One, with its secret if that is not "".
std::string webhook_set_json(const model::Webhook& webhook, const std::string& secret);
std::string organisations_json(const std::vector<model::Organisation>& organisations);
std::string keys_json(const std::vector<model::AccessKey>& keys);
/// The one answer that holds a key's text.
std::string fresh_key_json(const model::AccessKey& key, std::string_view text);
/// The bounds a client can run into, from base/limits.h; the unit is last in each name.
std::string limits_json();

}  // namespace ebb::gateway
