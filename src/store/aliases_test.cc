// Goal: aliases, the current version and what is kept of old ones, as the metadata has them on disk.
// Method: the real SQLite in temporary files, reopened where it matters.
#include <gtest/gtest.h>

#include "base/limits_versions.h"
#include "store/metadata_fixture.h"

namespace ebb::store {
namespace {

using model::Alias;

class AliasesTest : public MetadataFixture {
 protected:
  AliasesTest() { EXPECT_TRUE(metadata_->create_or_get_app("a")); }

  static NewVersion version_of(const std::string& name, std::uint32_t number) {
    NewVersion version;
    version.spec.name = name;
    version.spec.handler = "app.handler";
    version.package_key = name + std::to_string(number);
    return version;
  }
  // Deploys f until it has so many versions more.
  void deploy(std::uint32_t count, bool with_g = false) {
    for (std::uint32_t i = 0; i < count; ++i) {
      std::vector<NewVersion> all{version_of("f", ++deployed_)};
      if (with_g) all.push_back(version_of("g", 1));
      ASSERT_TRUE(metadata_->publish_versions("a", all));
    }
  }
  std::vector<std::uint32_t> numbers() {
    std::vector<std::uint32_t> found;
    for (const model::Version& version : *metadata_->versions("a", "f")) found.push_back(version.number);
    return found;
  }
  std::uint32_t current() { return metadata_->current_version("a", "f")->number; }
  static Alias alias(std::uint32_t version, std::string name = "live") {
    return {.app = "a", .function = "f", .name = std::move(name), .version = version};
  }

  std::uint32_t deployed_ = 0;
};

TEST_F(AliasesTest, AreSetMovedListedAndRemoved) {
  deploy(3);
  const auto set = metadata_->set_alias(alias(1));
  ASSERT_TRUE(set) << set.error().message;
  EXPECT_GT(set->updated, base::WallTime{});
  Alias gray = alias(2);
  gray.weight = {.version = 3, .percent = 10};
  const auto moved = metadata_->set_alias(gray);
  ASSERT_TRUE(moved);
  ASSERT_TRUE(metadata_->set_alias(alias(3, "beta")));
  reopen();
  const auto all = metadata_->aliases();
  ASSERT_EQ(all->size(), 2u);
  EXPECT_EQ(all->at(0).name, "beta");
  EXPECT_EQ(all->at(0).weight, model::AliasWeight{});
  EXPECT_EQ(all->at(1), *moved);
  ASSERT_TRUE(metadata_->set_alias(alias(1)));
  EXPECT_EQ(metadata_->aliases()->at(1).weight, model::AliasWeight{}) << "a weight is not kept from before";
  ASSERT_TRUE(metadata_->remove_alias("a", "f", "beta"));
  EXPECT_EQ(metadata_->remove_alias("a", "f", "beta").error().code, base::Code::kNotFound);
  EXPECT_EQ(metadata_->aliases()->size(), 1u);
}

TEST_F(AliasesTest, AreThoseOfAnAppOrOfAFunction) {
  deploy(1, true);
  ASSERT_TRUE(metadata_->create_or_get_app("b"));
  ASSERT_TRUE(metadata_->publish_versions("b", {version_of("f", 1)}));
  for (const auto& [app, function] : {std::pair("a", "f"), {"a", "g"}, {"b", "f"}}) {
    ASSERT_TRUE(metadata_->set_alias({.app = app, .function = function, .name = "live", .version = 1}));
  }
  const auto functions_of = [](const base::Result<std::vector<Alias>>& found) {
    std::string names;
    for (const Alias& alias : *found) names += alias.app + "/" + alias.function + " ";
    return names;
  };
  EXPECT_EQ(functions_of(metadata_->aliases()), "a/f a/g b/f ");
  EXPECT_EQ(functions_of(metadata_->aliases_of("a")), "a/f a/g ");
  EXPECT_EQ(functions_of(metadata_->aliases_of("a", "g")), "a/g ");
  EXPECT_EQ(functions_of(metadata_->aliases_of("c")), "");
}

TEST_F(AliasesTest, OfWhatIsNotThereAreRefusedAndChangeNothing) {
  deploy(1);
  ASSERT_TRUE(metadata_->set_alias(alias(1)));
  const auto before = *metadata_->aliases();
  Alias elsewhere = alias(1);
  elsewhere.function = "none";
  EXPECT_EQ(metadata_->set_alias(elsewhere).error().code, base::Code::kNotFound);
  EXPECT_EQ(metadata_->set_alias(alias(2)).error().code, base::Code::kNotFound);
  Alias half = alias(1);
  half.weight = {.version = 2, .percent = 10};
  EXPECT_EQ(metadata_->set_alias(half).error().code, base::Code::kNotFound);
  EXPECT_EQ(metadata_->set_alias(alias(1, "7")).error().code, base::Code::kInvalidArgument);
  EXPECT_EQ(*metadata_->aliases(), before);
}

TEST_F(AliasesTest, AreBoundedForEachFunction) {
  deploy(1, true);
  for (std::size_t i = 0; i < limits::kAliasesPerFunction; ++i)
    ASSERT_TRUE(metadata_->set_alias(alias(1, "n" + std::to_string(i))));
  EXPECT_EQ(metadata_->set_alias(alias(1, "more")).error().code, base::Code::kResourceExhausted);
  EXPECT_TRUE(metadata_->set_alias(alias(1, "n0"))) << "one that is there is set again";
  Alias of_g = alias(1, "more");
  of_g.function = "g";
  EXPECT_TRUE(metadata_->set_alias(of_g));
}

TEST_F(AliasesTest, KeepTheirVersionsFromBeingDiscarded) {
  deploy(3);
  Alias gray = alias(1);
  gray.weight = {.version = 2, .percent = 10};
  ASSERT_TRUE(metadata_->set_alias(gray));
  const auto ids = [&] {
    std::vector<base::VersionId> found;
    for (const model::Version& version : *metadata_->versions("a", "f")) found.push_back(version.id);
    return found;
  };
  ASSERT_TRUE(metadata_->discard_versions(ids()));
  EXPECT_EQ(numbers(), (std::vector<std::uint32_t>{3, 2, 1}));
  ASSERT_TRUE(metadata_->remove_alias("a", "f", "live"));
  ASSERT_TRUE(metadata_->discard_versions(ids()));
  EXPECT_EQ(numbers(), std::vector<std::uint32_t>{3});
}

TEST_F(AliasesTest, GoWithTheirFunctionAndApp) {
  deploy(1, true);
  ASSERT_TRUE(metadata_->set_alias(alias(1)));
  Alias of_g = alias(1);
  of_g.function = "g";
  ASSERT_TRUE(metadata_->set_alias(of_g));
  deploy(1);  // without g
  ASSERT_EQ(metadata_->aliases()->size(), 1u);
  ASSERT_TRUE(metadata_->remove_function("a", "f"));
  EXPECT_TRUE(metadata_->aliases()->empty());
  deploy(1);
  EXPECT_TRUE(metadata_->aliases()->empty()) << "a function that comes back has no names";
  ASSERT_TRUE(metadata_->set_alias(alias(3)));
  ASSERT_TRUE(metadata_->remove_app("a"));
  EXPECT_TRUE(metadata_->aliases()->empty());
}

TEST_F(AliasesTest, TheCurrentVersionGoesBackOverThoseThatWereIt) {
  deploy(2);
  NewVersion sized = version_of("f", 2);
  sized.fresh = true;
  ASSERT_TRUE(metadata_->stage_versions("a", {sized})) << "number 3, never current";
  deploy(1);
  EXPECT_EQ(metadata_->version_before("a", "f")->number, 2u);
  ASSERT_TRUE(metadata_->make_current("a", "f", 2));
  reopen();
  EXPECT_EQ(current(), 2u);
  EXPECT_EQ(metadata_->all_current()->at(0).number, 2u);
  EXPECT_EQ(metadata_->version_before("a", "f")->number, 1u);
  ASSERT_TRUE(metadata_->make_current("a", "f", 1));
  EXPECT_EQ(metadata_->version_before("a", "f").error().code, base::Code::kNotFound);
  ASSERT_TRUE(metadata_->make_current("a", "f", 3)) << "by number any that is there";
  EXPECT_EQ(metadata_->make_current("a", "f", 9).error().code, base::Code::kNotFound);
  EXPECT_EQ(metadata_->make_current("a", "none", 1).error().code, base::Code::kNotFound);
  EXPECT_EQ(current(), 3u);
  deploy(1);
  EXPECT_EQ(current(), 5u) << "numbers go on";
}

TEST_F(AliasesTest, TheOldestVersionsWithoutANameGo) {
  constexpr auto kKept = static_cast<std::uint32_t>(limits::kOldVersionsKept);
  deploy(kKept + 1);
  EXPECT_EQ(numbers().size(), kKept + 1);
  ASSERT_TRUE(metadata_->set_alias(alias(1)));
  ASSERT_TRUE(metadata_->make_current("a", "f", 2));
  const auto staged = metadata_->stage_versions("a", {version_of("f", ++deployed_)});
  const auto removed = metadata_->activate_versions("a", {staged->at(0).version.id}, std::nullopt);
  ASSERT_TRUE(removed) << removed.error().message;
  EXPECT_TRUE(removed->empty()) << "a hundred besides the current one and that of the alias";
  EXPECT_EQ(numbers().back(), 1u);
  const auto next = metadata_->stage_versions("a", {version_of("f", ++deployed_)});
  EXPECT_EQ(*metadata_->activate_versions("a", {next->at(0).version.id}, std::nullopt),
            (std::vector<OldVersion>{{"f", 2}}));
  const auto kept = numbers();
  EXPECT_EQ(kept.size(), kKept + 2);
  EXPECT_EQ(kept.back(), 1u);
  EXPECT_EQ(kept[kept.size() - 2], 3u);
  EXPECT_FALSE(metadata_->content_keys()->contains("f2"));
  ASSERT_TRUE(metadata_->remove_alias("a", "f", "live"));
  deploy(1);
  EXPECT_EQ(numbers().back(), 4u) << "both that were beyond";
}

TEST_F(AliasesTest, AnEarlierSchemaGoesOn) {
  deploy(2);
  metadata_.reset();
  {
    auto database = *SqliteDatabase::open(file());
    ASSERT_TRUE(database->execute("DROP TABLE aliases"));
    ASSERT_TRUE(database->execute("ALTER TABLE versions DROP COLUMN current_ns"));
    ASSERT_TRUE(database->execute("ALTER TABLE apps DROP COLUMN reserve; ALTER TABLE apps DROP COLUMN max_instances"));
    ASSERT_TRUE(database->execute("DELETE FROM schema_migrations WHERE version > 10"));
  }
  reopen();
  EXPECT_EQ(current(), 2u);
  EXPECT_TRUE(metadata_->set_alias(alias(1)));
  EXPECT_EQ(metadata_->version_before("a", "f")->number, 1u) << "what was there counts as deployed";
}

}  // namespace
}  // namespace ebb::store
