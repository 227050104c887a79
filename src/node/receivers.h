// Receivers: who is told of budgets and of usage by webhook: the operator's own systems (webhook_url), and those of
// each organisation that has a receiver of its own.
//
// 1. Each has an outbox, and a feed if it takes usage records, on threads of its own: one that hangs holds up no other.
// 2. An organisation's is told of its own apps only; what it gets the operator's gets too.
// 3. An organisation's secret is made here, shown once, and sealed in the metadata as functions' secrets are.
// Files: DATA_DIR/outbox and usage-feed.json, DATA_DIR/webhooks/ORGANISATION likewise. Owned by Engine.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "base/result.h"
#include "meter/usage_log.h"
#include "model/config.h"
#include "model/webhook.h"
#include "node/organisations.h"
#include "node/outbox.h"
#include "node/secrets.h"
#include "node/usage_feed.h"
#include "store/metadata.h"

namespace ebb::node {

class Receivers {
 public:
  /// Borrows all of them, which outlive it.
  Receivers(const model::Config& config, store::Metadata& metadata, const Secrets& secrets,
            const meter::UsageLog& usage, const Organisations& organisations)
      : config_(config), metadata_(metadata), secrets_(secrets), usage_(usage), organisations_(organisations) {}

  /// Begins to send. Blocking. Errors: those of operators_receiver, Outbox::open and UsageFeed::open.
  base::Result<> open() EBB_EXCLUDES(changing_);

  /// To the operator's receiver and that of the organisation, if there are such. Threads: any.
  void put(const OutboxEvent& event, const std::string& organisation) EBB_EXCLUDES(mutex_);

  /// In effect, and on disk, when it returns; what waits goes to the new URL. Gives the secret as text if it is a new
  /// one, which it is for a new receiver or when `fresh_secret` asks for it; else "". Blocking, for as long as a
  /// request of a feed that ends is under way. Errors: kInvalidArgument, kNotFound, kResourceExhausted.
  base::Result<std::string> set(const model::Webhook& webhook, bool fresh_secret) EBB_EXCLUDES(changing_);
  /// What waits is dropped. Blocking, as set. Errors: kNotFound.
  base::Result<> remove(const std::string& organisation) EBB_EXCLUDES(changing_);
  /// The same where there may be none; the metadata has forgotten it.
  void forget(const std::string& organisation) EBB_EXCLUDES(changing_);
  /// By organisation. Blocking.
  base::Result<std::vector<model::Webhook>> list();

  /// Prometheus text. Without a label: the operator's.
  std::string metrics_text() const EBB_EXCLUDES(mutex_);

 private:
  struct Receiver {
    std::shared_ptr<Outbox> outbox;
    std::shared_ptr<UsageFeed> feed;  // nullptr: it takes no usage records
  };

  base::Result<> begin(const std::string& organisation, const WebhookReceiver& receiver, bool usage)
      EBB_REQUIRES(changing_);
  void end(const std::string& organisation) EBB_REQUIRES(changing_);
  std::string folder_of(const std::string& organisation) const;
  base::Result<WebhookReceiver> receiver_of(const store::StoredWebhook& stored) const;

  const model::Config& config_;
  store::Metadata& metadata_;
  const Secrets& secrets_;
  const meter::UsageLog& usage_;
  const Organisations& organisations_;
  base::Mutex changing_;  // one change at a time; taken before mutex_
  mutable base::Mutex mutex_;
  std::map<std::string, Receiver> receivers_ EBB_GUARDED_BY(mutex_);  // by organisation; "": the operator's
};

}  // namespace ebb::node
