// Deployments: from an archive to published versions, one at a time, with events to watch.
//
// A deployment changes nothing until its last step: the package is stored by content, the layer and the build output
// too, each function's zygote is tried, and only then all versions become current in one transaction. A failure leaves
// the old versions serving. Called by Engine.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "model/manifest.h"
#include "node/node.h"
#include "node/services.h"

namespace ebb::node {

class VersionRunner;

/// What Engine does when new versions have proven themselves: makes them the current ones.
class Publisher {
 public:
  virtual ~Publisher() = default;
  /// All functions of the app, on disk and then for calls, and no other change of what names stand for between the two.
  /// `runners` are those of new versions. `scale` is the app's from then on, as it was when nothing. With a change of a
  /// secret, that too: what runs with the value before ends.
  /// Blocks on the disk. Errors: those of Metadata; then nothing has changed.
  virtual base::Result<> publish(const std::string& app, const std::vector<store::PublishedVersion>& versions,
                                 const std::vector<std::shared_ptr<VersionRunner>>& runners,
                                 const std::optional<model::AppScale>& scale, const SecretChange* change) = 0;
};

class Deployments {
 public:
  Deployments(Services& services, Publisher& publisher) : services_(services), publisher_(publisher) {}

  /// What packages and layers take on disk, each counted once. Blocks. Threads: any.
  base::Result<std::uint64_t> bytes_of(const std::set<std::string>& keys) EBB_EXCLUDES(mutex_);

  /// Queues it. Errors: kResourceExhausted when limits::kDeploymentsWaiting are queued already, or
  /// limits::kDeploymentsWaitingPerOwner of its owner.
  base::Result<std::uint64_t> begin(std::string archive, DeploymentOptions options);
  /// The same for a new value of a secret that functions bind: they are tried with it, and so are versions that aliases
  /// stand for; then it is stored and new versions of the functions are published.
  base::Result<std::uint64_t> begin_change(SecretChange change);
  io::Task<base::Result<DeploymentStatus>> status(std::uint64_t id, std::uint64_t after, base::Duration wait);

 private:
  struct Job {
    DeploymentStatus status;
    std::string archive;
    std::shared_ptr<const void> archive_held;
    model::Holder owner;
    bool build_only = false;
    std::optional<SecretChange> change;  // in place of an archive
    std::vector<std::shared_ptr<io::OneShot<bool>>> watchers;
  };
  /// What the steps hand on to each other.
  struct Plan {
    model::Manifest manifest;
    std::uint32_t uid_index = 0;
    std::string package_key;
    std::string layer_key;        // requirements and packages of npm
    std::string model_layer_key;  // of functions that are a model
    std::vector<store::NewVersion> wanted;
    std::vector<model::Version> current;  // before a change of a secret
  };

  /// What a build says of an image: image.json of runtimes/image/fetch.py.
  struct ImageFound;

  base::Result<std::uint64_t> begin_job(std::shared_ptr<Job> job);
  static io::Task<> run_all(Deployments& self);
  io::Task<base::Result<>> run(std::shared_ptr<Job> job);
  io::Task<base::Result<>> store_package(std::shared_ptr<Job> job, Plan& plan);
  // deployment_images.cc: container images.
  io::Task<base::Result<>> prepare_images(std::shared_ptr<Job> job, Plan& plan);
  io::Task<base::Result<model::Image>> prepare_image(std::shared_ptr<Job> job, std::string app, std::string package_key,
                                                     std::string written);
  io::Task<base::Result<>> unpack_layers(std::shared_ptr<Job> job, const ImageFound& image, std::string layout_key);
  io::Task<base::Result<wire::Build>> fetch_order(std::string app, std::string package_key,
                                                  model::ImageReference reference);
  static base::Result<ImageFound> read_image_found(const std::string& path);
  io::Task<> remove_layer(std::string key);
  bool has_layer(const std::string& key) const;

  // deployment_layers.cc: what is installed.
  io::Task<base::Result<>> build_layer(std::shared_ptr<Job> job, Plan& plan);
  io::Task<base::Result<>> build_npm_layer(std::shared_ptr<Job> job, Plan& plan);
  io::Task<base::Result<>> build_model_layer(std::shared_ptr<Job> job, Plan& plan);

  /// A file of a package. Errors: kNotFound, kTooLarge, with its name.
  static base::Result<std::string> read_file(const std::string& path, std::size_t bytes_max);
  io::Task<base::Result<>> build_package(std::shared_ptr<Job> job, Plan& plan);
  io::Task<base::Result<>> check_needs(Plan& plan);
  /// What it would take with what is there already, against the quotas. In deployment_storage.cc.
  io::Task<base::Result<>> check_storage(Plan& plan);
  base::Result<> check_storage_of(const std::string& app, const std::set<std::string>& coming);
  // deployment_secrets.cc: a change of a secret.
  io::Task<base::Result<>> plan_change(std::shared_ptr<Job> job, Plan& plan);
  io::Task<base::Result<>> try_aliased(std::shared_ptr<Job> job, Plan& plan);
  void note_built(const std::shared_ptr<Job>& job, const Plan& plan) EBB_EXCLUDES(mutex_);
  io::Task<base::Result<>> publish(std::shared_ptr<Job> job, Plan& plan);
  io::Task<base::Result<>> run_build(std::shared_ptr<Job> job, std::string phase, wire::Build build);
  /// Deletes packages that no version refers to (what was uploaded: a version refers to what was built from it; what
  /// failed or was removed) nor a build that is still known, and layers a week after they were made. Between two
  /// deployments, so that none is in the making. In deployment_collect.cc.
  io::Task<> collect_unused();
  /// What builds have made that were not deployed.
  std::set<std::string> built_packages() EBB_EXCLUDES(mutex_);
  void say(const std::shared_ptr<Job>& job, std::string phase, std::string message);
  void finish(const std::shared_ptr<Job>& job, base::Result<> result);
  std::string tree_path(std::string_view kind, const std::string& key) const;

  Services& services_;
  Publisher& publisher_;
  base::Mutex mutex_;
  std::map<std::string, std::uint64_t> tree_bytes_ EBB_GUARDED_BY(mutex_);  // by key
  std::uint64_t next_id_ EBB_GUARDED_BY(mutex_) = 1;
  std::deque<std::shared_ptr<Job>> jobs_ EBB_GUARDED_BY(mutex_);  // newest last; finished ones are kept for a while
  std::deque<std::shared_ptr<Job>> waiting_ EBB_GUARDED_BY(mutex_);
  bool running_ EBB_GUARDED_BY(mutex_) = false;
};

}  // namespace ebb::node
