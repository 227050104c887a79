// The table of organisations' webhooks in the metadata.
#include "base/limits_webhook.h"
#include "store/sqlite_metadata.h"

namespace ebb::store {

using base::Result;

Result<void> SqliteMetadata::put_webhook(const StoredWebhook& webhook) {
  const std::string& organisation = webhook.webhook.organisation;
  base::MutexLock lock(mutex_);
  EBB_CHECKED(check_holder({.organisation = organisation}));
  {
    EBB_TRY(SqliteQuery count, database_->query("SELECT count(*) FROM webhooks WHERE organisation != ?"));
    EBB_TRY(const bool row, count.bind(organisation).step());
    if (row && count.number(0) >= static_cast<std::int64_t>(limits::kWebhookReceivers)) {
      return base::Error{base::Code::kResourceExhausted,
                         "this node has " + std::to_string(limits::kWebhookReceivers) +
                             " webhooks of organisations, the most it can have: remove one with ebb webhook rm"};
    }
  }
  EBB_TRY(SqliteQuery put, database_->query("INSERT OR REPLACE INTO webhooks (organisation, url, usage, version, "
                                            "sealed) VALUES (?, ?, ?, ?, ?)"));
  return put.bind(organisation)
      .bind(webhook.webhook.url)
      .bind(static_cast<std::int64_t>(webhook.webhook.usage))
      .bind(static_cast<std::int64_t>(webhook.version))
      .bind(webhook.sealed)
      .run();
}

Result<void> SqliteMetadata::remove_webhook(std::string_view organisation) {
  base::MutexLock lock(mutex_);
  {
    EBB_TRY(SqliteQuery find, database_->query("SELECT 1 FROM webhooks WHERE organisation = ?"));
    EBB_TRY(const bool there, find.bind(organisation).step());
    if (!there) {
      return base::not_found("organisation " + std::string(organisation.substr(0, 64)) +
                             " has no webhook, see ebb webhook ls");
    }
  }
  EBB_TRY(SqliteQuery remove, database_->query("DELETE FROM webhooks WHERE organisation = ?"));
  return remove.bind(organisation).run();
}

Result<std::vector<StoredWebhook>> SqliteMetadata::webhooks() {
  base::MutexLock lock(mutex_);
  EBB_TRY(SqliteQuery query, database_->query("SELECT organisation, url, usage, version, sealed FROM webhooks "
                                              "ORDER BY organisation"));
  std::vector<StoredWebhook> webhooks;
  while (true) {
    EBB_TRY(const bool row, query.step());
    if (!row) return webhooks;
    webhooks.push_back({.webhook = {.organisation = query.text(0), .url = query.text(1), .usage = query.number(2) != 0},
                        .version = static_cast<std::uint64_t>(query.number(3)),
                        .sealed = query.text(4)});
  }
}

}  // namespace ebb::store
