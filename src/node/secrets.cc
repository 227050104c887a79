#include "node/secrets.h"

#include <algorithm>

#include "base/limits_access.h"
#include "model/names.h"

namespace ebb::node {

base::Result<std::unique_ptr<Secrets>> Secrets::open(const std::string& data_dir, store::Metadata& metadata) {
  std::unique_ptr<Secrets> secrets(new Secrets(metadata));
  EBB_TRY(const bool some, metadata.has_secrets());
  EBB_TRY(secrets->box_, store::SecretBox::open(data_dir, !some));
  return secrets;
}

base::Result<SecretValues> Secrets::values_for(const std::string& app, const model::FunctionSpec& spec,
                                               const SecretChange* change) {
  SecretValues values;
  if (spec.secrets.empty()) return values;
  EBB_TRY(const std::vector<store::StoredSecret> stored, metadata_.secrets(app));
  std::size_t total = 0;
  for (const auto& [name, secret] : spec.secrets) {
    std::string& value = values[name];
    if (change != nullptr && change->name == secret) {
      value = change->value;
    } else {
      const auto at = std::find_if(stored.begin(), stored.end(), [&](const auto& one) { return one.name == secret; });
      if (at == stored.end()) {
        return base::invalid_argument("functions." + spec.name + ".secrets." + name + ": app " + app +
                                      " has no secret " + secret + ", set it: ebb secret set " + app + " " + secret);
      }
      EBB_TRY(value, box_->unseal({.app = app, .name = secret, .version = at->version}, at->sealed));
    }
    total += name.size() + value.size();
  }
  if (total > limits::kSecretsBytes) {
    return base::Error{.code = base::Code::kTooLarge,
                       .message = "the secrets of function " + spec.name + " have " + std::to_string(total) +
                                  " bytes of names and values, the limit is " + std::to_string(limits::kSecretsBytes)};
  }
  return values;
}

base::Result<> Secrets::store(const SecretChange& change) {
  EBB_TRY(const std::uint64_t version, metadata_.next_secret_version(change.app, change.name));
  EBB_TRY(std::string sealed, box_->seal({.app = change.app, .name = change.name, .version = version}, change.value));
  return metadata_.put_secret({.app = change.app,
                               .name = change.name,
                               .version = version,
                               .sealed = std::move(sealed),
                               .updated = base::wall_now()});
}

base::Result<std::vector<AliasedVersion>> Secrets::aliased_users(const std::string& app, const std::string& secret) {
  std::vector<AliasedVersion> users;
  EBB_TRY(const std::vector<model::Alias> aliases, metadata_.aliases_of(app));
  std::set<std::pair<std::string, std::uint32_t>> seen;
  for (const model::Alias& alias : aliases) {
    for (const std::uint32_t number : {alias.version, alias.weight.version}) {
      if (number == 0 || !seen.emplace(alias.function, number).second) continue;
      EBB_TRY(model::Version version, metadata_.version(app, alias.function, number));
      if (binds(version.spec, secret)) users.push_back({.alias = alias.name, .version = std::move(version)});
    }
  }
  return users;
}

std::string AliasedVersion::described() const {
  return "version " + std::to_string(version.number) + " of " + version.function + ", which alias " + alias +
         " stands for";
}

base::Result<> Secrets::check(const SecretChange& change) {
  EBB_CHECKED(model::check_name("app", change.app));
  EBB_CHECKED(model::check_name("secret", change.name));
  if (change.value.empty()) return base::invalid_argument("the value is empty, ebb secret rm takes a secret away");
  if (change.value.size() > limits::kSecretBytes) {
    return base::Error{.code = base::Code::kTooLarge,
                       .message = "the value has " + std::to_string(change.value.size()) + " bytes, the limit is " +
                                  std::to_string(limits::kSecretBytes)};
  }
  if (change.value.find('\0') != std::string::npos) {
    return base::invalid_argument("the value holds a NUL character, an environment cannot: encode it, say in base64");
  }
  return {};
}

bool binds(const model::FunctionSpec& spec, const std::string& secret) {
  return std::any_of(spec.secrets.begin(), spec.secrets.end(), [&](const auto& one) { return one.second == secret; });
}

}  // namespace ebb::node
