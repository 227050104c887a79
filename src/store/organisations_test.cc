// Organisations as they are kept: whose each name is, also after its app, a restart and an upgrade. Method: the real
// database in a temporary directory.
#include <gtest/gtest.h>

#include "store/access_keys.h"
#include "store/metadata_fixture.h"
#include "store/sqlite.h"

namespace ebb::store {
namespace {

class OrganisationsTest : public MetadataFixture {
 protected:
  model::AccessKey key(std::string app, std::string organisation) {
    FreshKey fresh = *make_key(model::Role::kRead, std::move(app), "");
    fresh.key.organisation = std::move(organisation);
    return fresh.key;
  }
};

TEST_F(OrganisationsTest, ADatabaseOfTheSchemaBeforeKeepsItsDataInTheDefaultOne) {
  ASSERT_TRUE(metadata_->create_or_get_app("vision"));
  const model::AccessKey old_key = key("early", "");
  ASSERT_TRUE(metadata_->add_key(old_key));
  ASSERT_TRUE(metadata_->set_budget({.app = "bounded", .nano_cu = 5}));
  ASSERT_TRUE(metadata_->put_secret({.app = "secretive", .name = "token", .version = 1, .sealed = "00"}));
  metadata_.reset();
  {
    auto database = SqliteDatabase::open(file());
    ASSERT_TRUE(database);
    ASSERT_TRUE(
        (*database)->execute("DROP TABLE organisations; DROP TABLE app_organisations; "
                             "ALTER TABLE budgets RENAME TO newer; "
                             "CREATE TABLE budgets (app TEXT PRIMARY KEY, nano_cu INTEGER NOT NULL); "
                             "INSERT INTO budgets SELECT app, nano_cu FROM newer; DROP TABLE newer; "
                             "DROP TABLE quotas; CREATE TABLE quotas (app TEXT PRIMARY KEY, "
                             "milli_calls_per_second INTEGER NOT NULL, calls_at_once INTEGER NOT NULL); "
                             "INSERT INTO quotas VALUES ('bounded', 500, 3); "
                             "DROP TABLE webhooks; ALTER TABLE access_keys DROP COLUMN organisation; "
                             "DROP TABLE aliases; ALTER TABLE versions DROP COLUMN current_ns; "
                             "ALTER TABLE apps DROP COLUMN reserve; ALTER TABLE apps DROP COLUMN max_instances; "
                             "DELETE FROM schema_migrations WHERE version > 5"));
  }
  reopen();
  const std::vector<model::Organisation> all = *metadata_->organisations();
  ASSERT_EQ(all.size(), 1U);
  EXPECT_EQ(all[0].name, "default");
  EXPECT_GT(all[0].created.time_since_epoch().count(), 0);
  EXPECT_EQ(all[0].apps, std::vector<std::string>{"vision"});
  EXPECT_EQ(all[0].reserved, (std::vector<std::string>{"bounded", "early", "secretive"}));
  ASSERT_EQ(metadata_->keys()->size(), 1U);
  EXPECT_EQ(metadata_->keys()->front().digest, old_key.digest);
  EXPECT_EQ(metadata_->keys()->front().organisation, "");
  EXPECT_TRUE(metadata_->app("vision"));
  EXPECT_EQ(*metadata_->budgets(), (std::vector<model::Budget>{{.app = "bounded", .nano_cu = 5}}));
  EXPECT_EQ(*metadata_->quotas(),
            (std::vector<model::Quota>{{.app = "bounded", .milli_calls_per_second = 500, .calls_at_once = 3}}));
}

TEST_F(OrganisationsTest, BudgetsAndQuotasOfOneGoWithIt) {
  EXPECT_EQ(metadata_->set_budget({.nano_cu = 5, .organisation = "acme"}).error().code, base::Code::kNotFound);
  ASSERT_TRUE(metadata_->add_organisation("acme"));
  ASSERT_TRUE(metadata_->set_budget({.app = "acme", .nano_cu = 4}));  // an app of the same name
  ASSERT_TRUE(metadata_->set_budget({.nano_cu = 5, .organisation = "acme"}));
  ASSERT_TRUE(metadata_->set_budget({.nano_cu = 6, .organisation = "acme"}));
  ASSERT_TRUE(metadata_->set_quota({.calls_at_once = 2, .organisation = "acme"}));
  reopen();
  EXPECT_EQ(*metadata_->budgets(),
            (std::vector<model::Budget>{{.app = "acme", .nano_cu = 4}, {.nano_cu = 6, .organisation = "acme"}}));
  EXPECT_EQ(*metadata_->quotas(), (std::vector<model::Quota>{{.calls_at_once = 2, .organisation = "acme"}}));
  ASSERT_TRUE(metadata_->remove_budget({.organisation = "acme"}));
  EXPECT_EQ(metadata_->remove_budget({.organisation = "acme"}).error().code, base::Code::kNotFound);
  ASSERT_TRUE(metadata_->set_budget({.nano_cu = 7, .organisation = "acme"}));
  ASSERT_TRUE(metadata_->remove_organisation("acme"));
  EXPECT_EQ(metadata_->budgets()->size(), 1U);
  EXPECT_TRUE(metadata_->quotas()->empty());
}

TEST_F(OrganisationsTest, ANameStaysWithWhoUsedItFirst) {
  ASSERT_TRUE(metadata_->add_organisation("acme"));
  ASSERT_TRUE(metadata_->add_organisation("other"));
  EXPECT_EQ(*metadata_->claim_app("shop", "acme"), "acme");
  EXPECT_EQ(*metadata_->claim_app("shop", "other"), "acme");
  ASSERT_TRUE(metadata_->create_or_get_app("shop"));
  ASSERT_TRUE(metadata_->remove_app("shop"));
  reopen();
  EXPECT_EQ(*metadata_->claim_app("shop", "other"), "acme") << "whoever takes the name would have its records";
  EXPECT_EQ(metadata_->claim_app("new", "nobody").error().code, base::Code::kNotFound);
  EXPECT_EQ(metadata_->claim_app("../x", "acme").error().code, base::Code::kInvalidArgument);
  ASSERT_TRUE(metadata_->move_app("shop", "other"));
  EXPECT_EQ(*metadata_->owned_apps(), (std::vector<model::OwnedApp>{{"shop", "other"}}));
  EXPECT_EQ(metadata_->move_app("shop", "nobody").error().code, base::Code::kNotFound);
  EXPECT_EQ(metadata_->move_app("not-there", "acme").error().code, base::Code::kNotFound);
}

TEST_F(OrganisationsTest, OneGoesOnlyWithoutAppsAndKeys) {
  EXPECT_EQ(metadata_->add_organisation("default").error().code, base::Code::kConflict);
  EXPECT_EQ(metadata_->add_organisation("Acme").error().code, base::Code::kInvalidArgument);
  EXPECT_EQ(metadata_->remove_organisation("default").error().code, base::Code::kConflict);
  EXPECT_EQ(metadata_->remove_organisation("acme").error().code, base::Code::kNotFound);
  EXPECT_EQ(metadata_->add_key(key("", "acme")).error().code, base::Code::kNotFound);
  ASSERT_TRUE(metadata_->add_organisation("acme"));
  ASSERT_TRUE(metadata_->claim_app("shop", "acme"));
  ASSERT_TRUE(metadata_->create_or_get_app("shop"));
  EXPECT_EQ(metadata_->remove_organisation("acme").error().code, base::Code::kConflict);
  ASSERT_TRUE(metadata_->remove_app("shop"));
  const model::AccessKey of_organisation = key("", "acme");
  const model::AccessKey of_app = key("shop", "");
  for (const model::AccessKey& one : {of_organisation, of_app}) {
    ASSERT_TRUE(metadata_->add_key(one));
    EXPECT_EQ(metadata_->remove_organisation("acme").error().code, base::Code::kConflict);
    ASSERT_TRUE(metadata_->remove_key(one.id));
  }
  ASSERT_TRUE(metadata_->remove_organisation("acme"));
  EXPECT_EQ(metadata_->claim_app("shop", "default").error().code, base::Code::kConflict) << "its names stay its own";
  ASSERT_TRUE(metadata_->move_app("shop", "default"));
  EXPECT_EQ(*metadata_->claim_app("shop", "default"), "default");
}

TEST_F(OrganisationsTest, AWebhookGoesWithIts) {
  const StoredWebhook hook{
      .webhook = {.organisation = "acme", .url = "http://h/", .usage = true}, .version = 2, .sealed = "s"};
  EXPECT_EQ(metadata_->put_webhook(hook).error().code, base::Code::kNotFound);
  ASSERT_TRUE(metadata_->add_organisation("acme"));
  EXPECT_FALSE(*metadata_->has_secrets());
  ASSERT_TRUE(metadata_->put_webhook(hook));
  EXPECT_TRUE(*metadata_->has_secrets()) << "a key that seals it must not be made anew";
  const auto stored = metadata_->webhooks();
  ASSERT_EQ(stored->size(), 1u);
  EXPECT_EQ(stored->at(0).webhook, hook.webhook);
  EXPECT_EQ(stored->at(0).version, 2u);
  EXPECT_EQ(stored->at(0).sealed, "s");
  ASSERT_TRUE(metadata_->remove_organisation("acme"));
  EXPECT_TRUE(metadata_->webhooks()->empty());
  EXPECT_EQ(metadata_->remove_webhook("acme").error().code, base::Code::kNotFound);
}

}  // namespace
}  // namespace ebb::store
