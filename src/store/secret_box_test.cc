// Sealed secrets: they open under the right key for the right name only, and the key is kept as it must be.
// Method: real files in a temporary folder; every bit of a sealed value flipped once.
#include "store/secret_box.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <set>
#include <string>

#include "store/temp_dir.h"

namespace ebb::store {
namespace {

const SecretName kName{.app = "vision", .name = "db-password", .version = 3};

TEST(SecretBox, OpensWhatItSealedForThatNameOnly) {
  TempDir directory;
  const auto box = SecretBox::open(directory.path().string(), true);
  ASSERT_TRUE(box);
  for (const std::string& value : {std::string(), std::string("hunter2"), std::string(16'384, 'x')}) {
    const auto sealed = (*box)->seal(kName, value);
    ASSERT_TRUE(sealed);
    EXPECT_EQ(*(*box)->unseal(kName, *sealed), value);
  }
  const std::string sealed = *(*box)->seal(kName, "hunter2");
  for (const SecretName& other : {SecretName{"other", "db-password", 3}, SecretName{"vision", "db-passwor", 3},
                                  SecretName{"vision", "db-password", 2}, SecretName{"visiondb-password", "", 3}}) {
    const auto opened = (*box)->unseal(other, sealed);
    ASSERT_FALSE(opened);
    EXPECT_EQ(opened.error().message.find("hunter2"), std::string::npos);
  }
}

TEST(SecretBox, NoticesEveryChange) {
  TempDir directory;
  const auto box = SecretBox::open(directory.path().string(), true);
  const std::string sealed = *(*box)->seal(kName, "hunter2");
  for (std::size_t i = 0; i < sealed.size(); ++i) {
    std::string changed = sealed;
    changed[i] = changed[i] == '0' ? '1' : '0';
    EXPECT_FALSE((*box)->unseal(kName, changed)) << i;
  }
  for (const char* broken : {"", "00", "zz", "0"}) EXPECT_FALSE((*box)->unseal(kName, broken));
  EXPECT_FALSE((*box)->unseal(kName, sealed.substr(2)));
}

TEST(SecretBox, NeverSealsTwiceAlike) {
  TempDir directory;
  const auto box = SecretBox::open(directory.path().string(), true);
  std::set<std::string> nonces;
  for (int i = 0; i < 500; ++i) nonces.insert((*box)->seal(kName, "same")->substr(0, 24));
  EXPECT_EQ(nonces.size(), 500U);
}

TEST(SecretBox, KeepsItsKeyAcrossStartsAndToItself) {
  TempDir directory;
  const std::string path = (directory.path() / "secrets.key").string();
  std::string sealed;
  {
    const auto box = SecretBox::open(directory.path().string(), true);
    sealed = *(*box)->seal(kName, "hunter2");
  }
  struct stat status{};
  ASSERT_EQ(::stat(path.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600U);
  EXPECT_EQ(status.st_size, 32);
  ::chmod(path.c_str(), 0644);
  const auto again = SecretBox::open(directory.path().string(), false);
  ASSERT_TRUE(again);
  EXPECT_EQ(*(*again)->unseal(kName, sealed), "hunter2");
  ASSERT_EQ(::stat(path.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600U);
}

TEST(SecretBox, ALostOrBrokenKeyIsAnErrorNotANewKey) {
  TempDir directory;
  EXPECT_FALSE(SecretBox::open(directory.path().string(), false));
  std::ofstream(directory.path() / "secrets.key") << "short";
  EXPECT_FALSE(SecretBox::open(directory.path().string(), true));
  std::filesystem::remove(directory.path() / "secrets.key");
  ASSERT_TRUE(SecretBox::open(directory.path().string(), true));
  const std::string sealed = *(*SecretBox::open(directory.path().string(), true))->seal(kName, "x");
  std::filesystem::remove(directory.path() / "secrets.key");
  ASSERT_TRUE(SecretBox::open(directory.path().string(), true));
  EXPECT_FALSE((*SecretBox::open(directory.path().string(), true))->unseal(kName, sealed));
}

}  // namespace
}  // namespace ebb::store
