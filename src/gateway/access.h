// Access: which key a request shows, and whether that key may do what it asks.
//
// 1. The keys are in memory: no request waits for the disk. A change is on disk (Node::add_key) before it is here, and
//    holds for the next request on every core.
// 2. A key travels as `Authorization: Bearer KEY` or `X-Ebb-Key: KEY`, never in a URL; refusals never repeat it.
// 3. Where an app's key asks for something of another app it learns nothing but that it may not. To an organisation's
// key an app outside of it is as if it were not there.
// Asked by the control plane on every route but health, by function URLs, and by the server before it takes a body.
#pragma once

#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/mutex.h"
#include "base/result.h"
#include "http/message.h"
#include "model/access_key.h"
#include "node/node.h"

namespace ebb::gateway {

/// Who a request speaks for.
struct Caller {
  std::string key_id;
  model::Role role = model::Role::kRead;
  std::string app;           // "" for all of the organisation, or of the node
  std::string organisation;  // "" for the whole node or for one app
  bool of_node() const { return app.empty() && organisation.empty(); }
};

class Access {
 public:
  /// Borrows the node, which outlives it: it knows whose each app is.
  Access(const std::vector<model::AccessKey>& keys, const node::Node& node);

  /// Errors: kUnauthenticated, with the remedy. Threads: any. Cost: one SHA-256, one mutex.
  base::Result<Caller> caller(const http::Headers& headers) const;

  void add(const model::AccessKey& key);
  void remove(std::string_view id);
  /// Oldest first.
  std::vector<model::AccessKey> keys() const;

  /// What a call to a function's URL shows of a key for that app, for Call::key_shown. Cost without a key: a look at
  /// the headers' names.
  node::Call::KeyShown key_shown(const http::Headers& headers, std::string_view app) const;

  /// Whether the key is for that app, or for the organisation that it is in. Cost for an organisation's: one mutex.
  bool sees(const Caller& caller, const std::string& app) const;
  /// Errors: kPermissionDenied to an app's key; kNotFound to an organisation's, whether there is such an app or not.
  base::Result<> may_touch(const Caller& caller, const std::string& app) const;
  /// Whether a key is one that the caller, an admin, may see and revoke.
  bool sees(const Caller& caller, const model::AccessKey& key) const;

 private:
  const node::Node& node_;
  mutable base::Mutex mutex_;
  std::unordered_map<std::string, model::AccessKey> keys_ EBB_GUARDED_BY(mutex_);
};

/// Errors: kPermissionDenied naming the role that may, and the scope.
base::Result<> may(const Caller& caller, model::Permission permission);
/// Whether the key is for the whole node. Errors: kPermissionDenied.
base::Result<> may_see_node(const Caller& caller);

/// Takes Ebb's keys out of the headers: no function's code ever sees one. A bearer token that is not of Ebb's form is
/// the application's own and stays.
void strip_keys(http::Headers& headers);

}  // namespace ebb::gateway
