// Keys as made and kept: unique, matched exactly, the text never on disk. Method: a real database in a temporary
// folder.
#include "store/access_keys.h"

#include <gtest/gtest.h>

#include <fstream>
#include <set>
#include <sstream>
#include <string>

#include "base/limits_access.h"
#include "store/sqlite_metadata.h"
#include "store/temp_dir.h"

namespace ebb::store {
namespace {

TEST(AccessKeys, AreUniqueAndMatchOnlyThemselves) {
  std::set<std::string> texts;
  for (int i = 0; i < 1000; ++i) texts.insert(make_key(model::Role::kRead, "", "")->text);
  EXPECT_EQ(texts.size(), 1000U);
  const FreshKey fresh = *make_key(model::Role::kRead, "vision", "x");
  EXPECT_EQ(model::key_id_of(fresh.text), fresh.key.id);
  EXPECT_TRUE(matches(fresh.key, fresh.text));
  for (std::size_t i = 0; i < fresh.text.size(); ++i) {
    std::string other = fresh.text;
    other[i] = other[i] == '0' ? '1' : '0';
    EXPECT_FALSE(matches(fresh.key, other)) << i;
  }
  EXPECT_FALSE(matches(fresh.key, ""));
  EXPECT_FALSE(matches(model::AccessKey{}, fresh.text));
}

TEST(AccessKeys, OutliveTheDatabaseBeingClosedWithoutTheirText) {
  TempDir directory;
  const std::string path = (directory.path() / "metadata.db").string();
  const FreshKey fresh = *make_key(model::Role::kInvoke, "vision", "ci");
  {
    auto metadata = SqliteMetadata::open(path);
    ASSERT_TRUE(metadata) << metadata.error().message;
    ASSERT_TRUE((*metadata)->add_key(fresh.key));
    EXPECT_FALSE((*metadata)->add_key(fresh.key)) << "an id twice";
  }
  auto metadata = SqliteMetadata::open(path);
  ASSERT_TRUE(metadata);
  const auto keys = (*metadata)->keys();
  ASSERT_TRUE(keys);
  ASSERT_EQ(keys->size(), 1U);
  EXPECT_TRUE(matches(keys->front(), fresh.text));
  EXPECT_EQ(keys->front().role, model::Role::kInvoke);
  EXPECT_EQ(keys->front().app, "vision");
  EXPECT_EQ(keys->front().label, "ci");
  std::ostringstream bytes;
  bytes << std::ifstream(path, std::ios::binary).rdbuf();
  EXPECT_NE(bytes.str().find(fresh.key.id), std::string::npos);
  EXPECT_EQ(bytes.str().find(fresh.text.substr(17)), std::string::npos);
  ASSERT_TRUE((*metadata)->remove_key(fresh.key.id));
  EXPECT_EQ((*metadata)->remove_key(fresh.key.id).error().code, base::Code::kNotFound);
  EXPECT_TRUE((*metadata)->keys()->empty());
}

TEST(AccessKeys, ADatabaseFromBeforeThereWereKeysIsBroughtUpWithItsData) {
  TempDir directory;
  const std::string path = (directory.path() / "metadata.db").string();
  {
    auto metadata = SqliteMetadata::open(path);
    ASSERT_TRUE(metadata);
    ASSERT_TRUE((*metadata)->create_or_get_app("vision"));
  }
  {
    auto old = SqliteDatabase::open(path);
    ASSERT_TRUE(old);
    ASSERT_TRUE(
        (*old)->execute("DROP TABLE access_keys; DROP TABLE secrets; DROP TABLE budgets; DROP TABLE quotas; "
                        "DROP TABLE organisations; DROP TABLE app_organisations; "
                        "DROP TABLE webhooks; DROP TABLE aliases; ALTER TABLE versions DROP COLUMN current_ns; "
                        "ALTER TABLE apps DROP COLUMN reserve; ALTER TABLE apps DROP COLUMN max_instances; "
                        "DELETE FROM schema_migrations WHERE version > 1"));
  }
  auto metadata = SqliteMetadata::open(path);
  ASSERT_TRUE(metadata) << metadata.error().message;
  EXPECT_TRUE((*metadata)->app("vision"));
  EXPECT_TRUE((*metadata)->add_key(make_key(model::Role::kRead, "", "")->key));
  EXPECT_TRUE((*metadata)->put_secret({.app = "vision", .name = "token", .version = 1, .sealed = "00"}));
}

TEST(StoredQuotas, AreOneForAName) {
  TempDir directory;
  const std::string path = (directory.path() / "metadata.db").string();
  {
    auto metadata = SqliteMetadata::open(path);
    ASSERT_TRUE(metadata);
    ASSERT_TRUE((*metadata)->set_quota({.app = "vision", .milli_calls_per_second = 500, .calls_at_once = 3}));
    ASSERT_TRUE((*metadata)->set_quota({.app = "vision", .calls_at_once = 4, .memory = {5}, .storage = {6}}));
    EXPECT_FALSE((*metadata)->set_quota({.app = "../x", .calls_at_once = 4}));
  }
  auto metadata = SqliteMetadata::open(path);
  const std::vector<model::Quota> one{{.app = "vision", .calls_at_once = 4, .memory = {5}, .storage = {6}}};
  EXPECT_EQ(*(*metadata)->quotas(), one) << "it outlives the process";
  EXPECT_TRUE((*metadata)->remove_quota({.app = "vision"}));
  EXPECT_EQ((*metadata)->remove_quota({.app = "vision"}).error().code, base::Code::kNotFound);
}

TEST(StoredBudgets, AreOneForAName) {
  TempDir directory;
  const std::string path = (directory.path() / "metadata.db").string();
  auto metadata = SqliteMetadata::open(path);
  ASSERT_TRUE(metadata);
  EXPECT_TRUE((*metadata)->budgets()->empty());
  ASSERT_TRUE((*metadata)->create_or_get_app("vision"));
  ASSERT_TRUE((*metadata)->set_budget({.app = "vision", .nano_cu = 5}));
  ASSERT_TRUE((*metadata)->set_budget({.app = "not-there", .nano_cu = 0}));
  ASSERT_TRUE((*metadata)->set_budget({.app = "vision", .nano_cu = 7, .nano_money = 8}));
  EXPECT_FALSE((*metadata)->set_budget({.app = "../x", .nano_cu = 7}));
  ASSERT_TRUE((*metadata)->remove_app("vision"));
  *metadata = nullptr;
  metadata = SqliteMetadata::open(path);
  const std::vector<model::Budget> both{{.app = "not-there", .nano_cu = 0},
                                        {.app = "vision", .nano_cu = 7, .nano_money = 8}};
  EXPECT_EQ(*(*metadata)->budgets(), both) << "it outlives its app and the process";
  EXPECT_TRUE((*metadata)->remove_budget({.app = "vision"}));
  EXPECT_EQ((*metadata)->remove_budget({.app = "vision"}).error().code, base::Code::kNotFound);
}

TEST(StoredSecrets, CountTheirVersionsAndGoWithTheirApp) {
  TempDir directory;
  auto opened = SqliteMetadata::open((directory.path() / "metadata.db").string());
  ASSERT_TRUE(opened);
  SqliteMetadata& metadata = **opened;
  EXPECT_FALSE(*metadata.has_secrets());
  EXPECT_EQ(*metadata.next_secret_version("vision", "token"), 1U);
  ASSERT_TRUE(metadata.put_secret({.app = "vision", .name = "token", .version = 1, .sealed = "aa"}));
  EXPECT_EQ(*metadata.next_secret_version("vision", "token"), 2U);
  EXPECT_EQ(*metadata.next_secret_version("other", "token"), 1U);
  EXPECT_FALSE(metadata.next_secret_version("vision", "../x"));
  ASSERT_TRUE(metadata.put_secret({.app = "vision", .name = "token", .version = 2, .sealed = "bb"}));
  ASSERT_TRUE(metadata.put_secret({.app = "other", .name = "token", .version = 1, .sealed = "cc"}));
  ASSERT_EQ(metadata.secrets("vision")->size(), 1U);
  EXPECT_EQ(metadata.secrets("vision")->front().sealed, "bb");
  EXPECT_EQ(metadata.secrets("other")->size(), 1U);
  EXPECT_TRUE(*metadata.has_secrets());
  EXPECT_EQ(metadata.remove_secret("vision", "none").error().code, base::Code::kNotFound);
  ASSERT_TRUE(metadata.create_or_get_app("vision"));
  ASSERT_TRUE(metadata.remove_app("vision"));
  EXPECT_TRUE(metadata.secrets("vision")->empty());
  EXPECT_EQ(metadata.secrets("other")->size(), 1U);
}

TEST(StoredSecrets, AreBoundedPerApp) {
  TempDir directory;
  auto metadata = SqliteMetadata::open((directory.path() / "metadata.db").string());
  ASSERT_TRUE(metadata);
  for (std::size_t i = 0; i < limits::kSecretsPerApp; ++i) {
    ASSERT_TRUE((*metadata)->put_secret({.app = "a", .name = "s" + std::to_string(i), .version = 1, .sealed = "aa"}));
  }
  EXPECT_EQ((*metadata)->next_secret_version("a", "more").error().code, base::Code::kResourceExhausted);
  EXPECT_EQ(*(*metadata)->next_secret_version("a", "s0"), 2U);
}

TEST(AccessKeys, AreBounded) {
  TempDir directory;
  auto metadata = SqliteMetadata::open((directory.path() / "metadata.db").string());
  ASSERT_TRUE(metadata);
  EXPECT_FALSE((*metadata)->add_key(make_key(model::Role::kAdmin, "vision", "")->key)) << "an admin of one app";
  EXPECT_FALSE((*metadata)->add_key(make_key(model::Role::kRead, "", "a\nb")->key));
}

}  // namespace
}  // namespace ebb::store
