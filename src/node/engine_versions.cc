// Versions beside the current one: runners of those asked for by number, and versions made to be tried at other sizes.
#include "node/engine.h"

namespace ebb::node {

namespace {

std::string name_of(const model::Version& version) {
  return version.app + "/" + version.function + ":" + std::to_string(version.number);
}

}  // namespace

io::Task<base::Result<std::shared_ptr<VersionRunner>>> Engine::runner_of_number(Name name, std::uint32_t number) {
  store::Metadata& metadata = services_.metadata;
  struct Found {
    model::Version version;
    std::uint32_t uid_index = 0;
    base::Result<SecretValues> secrets;
  };
  Secrets& secrets = services_.secrets;
  std::function<base::Result<Found>()> find = [&metadata, &secrets, name, number]() -> base::Result<Found> {
    EBB_TRY(model::Version version, metadata.version(name.first, name.second, number));
    EBB_TRY(const store::App app, metadata.app(name.first));
    base::Result<SecretValues> values = secrets.values_for(version.app, version.spec);
    return Found{std::move(version), app.uid_index, std::move(values)};
  };
  for (;;) {
    const std::uint64_t before = secret_changes_;
    std::function<base::Result<Found>()> find_it = find;
    auto found = co_await io::offload(services_.pool, "find version", std::move(find_it));
    if (!found) co_return found.error();
    base::MutexLock lock(mutex_);
    if (secret_changes_ != before) continue;  // what was read may be the value before
    auto& runner = by_number_[{name, number}];
    if (!runner) {
      runner = std::make_shared<VersionRunner>(services_, std::move(found->version), found->uid_index,
                                               std::move(found->secrets));
      runner->supersede();  // the name is another's, and so is what is to be kept for it
    }
    co_return runner;
  }
}

io::Task<base::Result<model::Version>> Engine::make_sized_version(std::string app, std::string function, Size size) {
  std::function<base::Result<model::Version>()> make = [&metadata = services_.metadata, app, function,
                                                        size]() -> base::Result<model::Version> {
    EBB_TRY(const model::Version current, metadata.current_version(app, function));
    store::NewVersion wanted{
        .spec = current.spec, .package_key = current.package_key, .layer_key = current.layer_key, .fresh = true};
    if (size.memory) wanted.spec.memory = *size.memory;
    if (size.cpu_millis) wanted.spec.cpu_millis = *size.cpu_millis;
    wanted.spec.scale = {.max = current.spec.scale.max};
    if (const auto wrong = model::first_violation(wanted.spec)) {
      return base::invalid_argument(wrong->field + " " + wrong->message);
    }
    EBB_TRY(const std::vector<store::PublishedVersion> staged, metadata.stage_versions(app, {wanted}));
    return staged.at(0).version;
  };
  co_return co_await io::offload(services_.pool, "make a version", std::move(make));
}

io::Task<base::Result<>> Engine::remove_version(std::string app, std::string function, std::uint32_t number) {
  std::function<base::Result<>()> discard = [&metadata = services_.metadata, app, function,
                                             number]() -> base::Result<> {
    EBB_TRY(const model::Version version, metadata.version(app, function, number));
    EBB_TRY(const model::Version current, metadata.current_version(app, function));
    if (version.id == current.id) {
      return base::Error{.code = base::Code::kConflict,
                         .message = name_of(version) + " is the current version: deploy another first, or remove " +
                                    app + "/" + function + " as a whole"};
    }
    return metadata.discard_versions({version.id});
  };
  const base::Result<> discarded = co_await io::offload(services_.pool, "remove a version", std::move(discard));
  if (!discarded) co_return discarded.error();
  std::shared_ptr<VersionRunner> runner;
  {
    base::MutexLock lock(mutex_);
    const auto at = by_number_.find({Name{app, function}, number});
    if (at != by_number_.end()) {
      runner = std::move(at->second);
      by_number_.erase(at);
    }
  }
  if (runner) runner->close();
  co_return base::Result<>();
}

}  // namespace ebb::node
