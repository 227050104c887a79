// Secrets: the values that functions are given, as the node sees them: sealed in the metadata, opened when a version
// starts, in the clear only in memory.
//
// 1. A value is read by the runners of the app whose ebb.yaml binds it, by nobody else; there is no call that gives it
// out.
// 2. No message, log line, event or record holds a value; names may be anywhere.
// Called by the engine and by deployments. Blocking but for nothing.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "base/result.h"
#include "model/function_spec.h"
#include "model/version.h"
#include "store/metadata.h"
#include "store/secret_box.h"

namespace ebb::node {

/// Name inside the function -> value.
using SecretValues = std::map<std::string, std::string>;

/// A value that is about to be stored: what starts with it is tried first.
struct SecretChange {
  std::string app;
  std::string name;
  std::string value;
  std::set<base::VersionId> tried{};  // versions of aliases that are known to start with it
};

/// A version that an alias stands for.
struct AliasedVersion {
  std::string alias;
  model::Version version;
  /// "version 3 of digits, which alias live stands for".
  std::string described() const;
};

class Secrets {
 public:
  /// Borrows the metadata, which outlives it. Errors: as SecretBox::open.
  static base::Result<std::unique_ptr<Secrets>> open(const std::string& data_dir, store::Metadata& metadata);

  /// The values a function of that app is given. `change`: in place of what is stored, or nullptr.
  /// Errors: kInvalidArgument naming the missing secret and the command that sets it; kInternal when one does not open.
  base::Result<SecretValues> values_for(const std::string& app, const model::FunctionSpec& spec,
                                        const SecretChange* change = nullptr);
  /// Seals and stores. On disk when it returns. Errors: those of the metadata.
  base::Result<> store(const SecretChange& change);

  /// The versions of the app that bind the secret and that aliases stand for, each once: they serve as the current ones
  /// do. At most 2 x limits::kAliasesPerFunction of each function. Errors: those of the metadata.
  base::Result<std::vector<AliasedVersion>> aliased_users(const std::string& app, const std::string& secret);

  /// For what else is to be sealed under the node's key.
  const store::SecretBox& box() const { return *box_; }

  /// Errors: kInvalidArgument: a bad name, an empty or too long value, one that an environment cannot hold.
  static base::Result<> check(const SecretChange& change);

 private:
  explicit Secrets(store::Metadata& metadata) : metadata_(metadata) {}

  store::Metadata& metadata_;
  std::unique_ptr<store::SecretBox> box_;
};

/// True when the function binds that secret.
bool binds(const model::FunctionSpec& spec, const std::string& secret);

}  // namespace ebb::node
