// Goal: metadata keeps its invariants across publications, removals, reopening, threads and damage.
// Method: the real SQLite in temporary files.
#include <gtest/gtest.h>

#include <fstream>
#include <set>
#include <thread>

#include "base/limits.h"
#include "store/metadata_fixture.h"

namespace ebb::store {
namespace {

class MetadataTest : public MetadataFixture {
 protected:
  static NewVersion version_of(const std::string& name, const std::string& package = "p1",
                               const std::string& layer = "") {
    NewVersion version;
    version.spec.name = name;
    version.spec.handler = "app.handler";
    version.spec.env = {{"QUOTE", "it's; DROP TABLE apps; --"}};
    version.package_key = package;
    version.layer_key = layer;
    return version;
  }
};

TEST_F(MetadataTest, AppsGetUidIndexesInTurn) {
  EXPECT_EQ(metadata_->create_or_get_app("a")->uid_index, 1u);
  EXPECT_EQ(metadata_->create_or_get_app("b")->uid_index, 2u);
  EXPECT_EQ(metadata_->create_or_get_app("c")->uid_index, 3u);
  EXPECT_EQ(metadata_->create_or_get_app("b")->uid_index, 2u) << "the second time it is found";
  ASSERT_TRUE(metadata_->remove_app("b"));
  EXPECT_EQ(metadata_->app("b").error().code, base::Code::kNotFound);
  EXPECT_EQ(metadata_->create_or_get_app("d")->uid_index, 4u) << "not that of the app just removed";
  EXPECT_EQ(metadata_->create_or_get_app("e")->uid_index, 5u);
  EXPECT_EQ(metadata_->apps()->size(), 4u);
  EXPECT_EQ(metadata_->apps()->at(0), (App{"a", 1}));
  EXPECT_EQ(metadata_->create_or_get_app("../x").error().code, base::Code::kInvalidArgument);
}

TEST_F(MetadataTest, PublishesReadsBackAndKeepsOldVersions) {
  ASSERT_TRUE(metadata_->create_or_get_app("a"));
  const auto first = metadata_->publish_versions("a", {version_of("f"), version_of("g", "p1", "l1")});
  ASSERT_TRUE(first) << first.error().message;
  EXPECT_EQ(first->at(0).version.number, 1u);
  EXPECT_FALSE(first->at(0).unchanged);
  EXPECT_NE(first->at(0).version.id, first->at(1).version.id);
  reopen();
  EXPECT_EQ(*metadata_->current_version("a", "g"), first->at(1).version);

  const auto second = metadata_->publish_versions("a", {version_of("f", "p2"), version_of("g", "p1", "l1")});
  EXPECT_EQ(second->at(0).version.number, 2u);
  EXPECT_TRUE(second->at(1).unchanged);
  EXPECT_EQ(second->at(1).version, first->at(1).version);
  EXPECT_EQ(metadata_->current_version("a", "f")->package_key, "p2");
  EXPECT_EQ(*metadata_->version("a", "f", 1), first->at(0).version);
  EXPECT_EQ(metadata_->version("a", "f", 3).error().code, base::Code::kNotFound);
  EXPECT_EQ(metadata_->versions("a", "f")->at(0).number, 2u);
  EXPECT_EQ(metadata_->all_current()->size(), 2u);
  EXPECT_EQ(*metadata_->content_keys(), (std::set<std::string>{"p1", "p2", "l1"}));
}

TEST_F(MetadataTest, LayersOfImagesAreKept) {
  ASSERT_TRUE(metadata_->create_or_get_app("a"));
  const std::string lower(64, '1');
  const std::string upper(64, '2');
  NewVersion version = version_of("f");
  version.spec.runtime = "http";
  version.spec.handler.clear();
  version.spec.image = {.reference = "team/x:1",
                        .digest = "sha256:" + std::string(64, 'a'),
                        .layers = {lower, upper},
                        .command = {"/x"},
                        .env = {},
                        .directory = {}};
  const auto published = metadata_->publish_versions("a", {version, version_of("g", "p2", "l1")});
  ASSERT_TRUE(published) << published.error().message;
  EXPECT_EQ(*metadata_->content_keys(), (std::set<std::string>{"p1", "p2", "l1", lower, upper}));
  ASSERT_TRUE(metadata_->remove_function("a", "f"));
  EXPECT_EQ(*metadata_->content_keys(), (std::set<std::string>{"p2", "l1"}));
}

TEST_F(MetadataTest, AnyDifferenceMakesANewVersion) {
  ASSERT_TRUE(metadata_->create_or_get_app("a"));
  NewVersion version = version_of("f");
  std::uint32_t number = 0;
  const auto publish = [&] { return metadata_->publish_versions("a", {version})->at(0).version.number; };
  EXPECT_EQ(publish(), ++number);
  EXPECT_EQ(publish(), number);
  version.layer_key = "l";
  EXPECT_EQ(publish(), ++number);
  version.spec.env["A"] = "1";
  EXPECT_EQ(publish(), ++number);
  version.spec.scale.max = 3;
  EXPECT_EQ(publish(), ++number);
  version.package_key = "p0";
  EXPECT_EQ(publish(), ++number);
  EXPECT_EQ(publish(), number);
}

TEST_F(MetadataTest, FunctionsTheManifestLacksAreRemovedAndNumbersGoOn) {
  ASSERT_TRUE(metadata_->create_or_get_app("a"));
  const auto before = metadata_->publish_versions("a", {version_of("f"), version_of("g", "pg")});
  ASSERT_TRUE(metadata_->publish_versions("a", {version_of("f")}));
  EXPECT_EQ(metadata_->current_version("a", "g").error().code, base::Code::kNotFound);
  EXPECT_EQ(metadata_->version("a", "g", 1).error().code, base::Code::kNotFound);
  EXPECT_EQ(metadata_->functions("a")->size(), 1u);
  EXPECT_FALSE(metadata_->content_keys()->contains("pg"));
  const auto after = metadata_->publish_versions("a", {version_of("f"), version_of("g", "pg")});
  EXPECT_EQ(after->at(1).version.number, 2u);
  EXPECT_FALSE(after->at(1).unchanged);
  EXPECT_GT(after->at(1).version.id, before->at(1).version.id) << "ids are never given twice";
}

TEST_F(MetadataTest, RemovesFunctionsAndApps) {
  ASSERT_TRUE(metadata_->create_or_get_app("a"));
  const auto first = metadata_->publish_versions("a", {version_of("f"), version_of("g")});
  ASSERT_TRUE(metadata_->remove_function("a", "f"));
  EXPECT_EQ(metadata_->remove_function("a", "f").error().code, base::Code::kNotFound);
  EXPECT_EQ(metadata_->versions("a", "f").error().code, base::Code::kNotFound);
  ASSERT_TRUE(metadata_->remove_app("a"));
  EXPECT_EQ(metadata_->remove_app("a").error().code, base::Code::kNotFound);
  EXPECT_TRUE(metadata_->all_current()->empty());
  EXPECT_TRUE(metadata_->content_keys()->empty());
  ASSERT_TRUE(metadata_->create_or_get_app("a"));
  const auto again = metadata_->publish_versions("a", {version_of("f")});
  EXPECT_GT(again->at(0).version.id, first->at(1).version.id);
}

TEST_F(MetadataTest, AFailedPublicationChangesNothing) {
  ASSERT_TRUE(metadata_->create_or_get_app("a"));
  ASSERT_TRUE(metadata_->publish_versions("a", {version_of("f")}));
  EXPECT_EQ(metadata_->publish_versions("none", {version_of("f")}).error().code, base::Code::kNotFound);
  EXPECT_EQ(metadata_->publish_versions("a", {}).error().code, base::Code::kInvalidArgument);
  EXPECT_EQ(metadata_->publish_versions("a", {version_of("x"), version_of("x")}).error().code,
            base::Code::kInvalidArgument);
  NewVersion bad = version_of("h");
  bad.spec.handler = "nodot";
  EXPECT_EQ(metadata_->publish_versions("a", {version_of("f", "p9"), bad}).error().code, base::Code::kInvalidArgument);
  EXPECT_EQ(metadata_->all_current()->size(), 1u);
  EXPECT_EQ(metadata_->current_version("a", "f")->package_key, "p1");
}

TEST_F(MetadataTest, ThreadsPublishAtOnceWithoutLosingOne) {
  constexpr int kThreads = 4;
  constexpr int kRounds = 10;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      const std::string app = "app" + std::to_string(t % 2);
      for (int i = 0; i < kRounds; ++i) {
        EXPECT_TRUE(metadata_->create_or_get_app(app));
        const auto package = std::to_string(t) + "-" + std::to_string(i);
        EXPECT_TRUE(metadata_->publish_versions(app, {version_of("f", package)}));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const char* app : {"app0", "app1"}) {
    std::set<std::uint32_t> numbers;
    for (const model::Version& version : *metadata_->versions(app, "f")) numbers.insert(version.number);
    EXPECT_EQ(numbers.size(), 2u * kRounds);
    EXPECT_EQ(*numbers.rbegin(), 2u * kRounds);
    // Of two that are activated at once either may be the later one.
    EXPECT_TRUE(numbers.contains(metadata_->current_version(app, "f")->number));
  }
}

TEST_F(MetadataTest, AnAppsScaleIsThatOfItsLastPublication) {
  ASSERT_TRUE(metadata_->create_or_get_app("a"));
  const auto staged = metadata_->stage_versions("a", {version_of("f")});
  ASSERT_TRUE(staged);
  EXPECT_EQ(metadata_->app("a")->scale, model::AppScale{});
  const model::AppScale scale{.reserve = 3, .max_instances = 7};
  ASSERT_TRUE(metadata_->activate_versions("a", {staged->at(0).version.id}, scale));
  ASSERT_TRUE(metadata_->activate_versions("a", {staged->at(0).version.id}, std::nullopt));
  reopen();
  EXPECT_EQ(metadata_->app("a")->scale, scale);
  EXPECT_EQ(metadata_->apps()->at(0).scale, scale);
  ASSERT_TRUE(metadata_->activate_versions("a", {staged->at(0).version.id}, model::AppScale{}));
  EXPECT_EQ(metadata_->app("a")->scale, model::AppScale{});
}

TEST_F(MetadataTest, DamageIsToldWithFileAndRemedyAndLeftAlone) {
  ASSERT_TRUE(metadata_->create_or_get_app("a"));
  metadata_.reset();
  const auto overwrite = [&](std::streamoff at, const std::string& bytes) {
    std::fstream stream(file(), std::ios::in | std::ios::out | std::ios::binary);
    stream.seekp(at);
    stream << bytes;
  };
  overwrite(100, std::string(3000, '\xff'));
  auto opened = SqliteMetadata::open(file());
  ASSERT_FALSE(opened);
  EXPECT_NE(opened.error().message.find(file()), std::string::npos) << opened.error().message;
  EXPECT_NE(opened.error().message.find("restore it from a backup"), std::string::npos) << opened.error().message;
  overwrite(0, "this was a database once");
  opened = SqliteMetadata::open(file());
  ASSERT_FALSE(opened);
  EXPECT_NE(opened.error().message.find("damaged"), std::string::npos) << opened.error().message;
}

TEST_F(MetadataTest, RefusesANewerSchemaAndAMissingDirectory) {
  metadata_.reset();
  {
    auto database = SqliteDatabase::open(file());
    ASSERT_TRUE((*database)->execute("INSERT INTO schema_migrations VALUES (99, 0)"));
  }
  const auto newer = SqliteMetadata::open(file());
  ASSERT_FALSE(newer);
  EXPECT_NE(newer.error().message.find("has schema 99"), std::string::npos) << newer.error().message;
  const auto missing = SqliteMetadata::open((temp_.path() / "no" / "ebb.db").string());
  ASSERT_FALSE(missing);
  EXPECT_NE(missing.error().message.find("check that its directory exists"), std::string::npos);
}

}  // namespace
}  // namespace ebb::store
