// Packing: the same folder gives the same bytes, what should stay at home stays, what the server would refuse is
// refused here. Method: real folders in a temporary directory, the archive read back with libarchive.
#include "cli/pack.h"

#include <archive.h>
#include <archive_entry.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <string>

#include "base/limits.h"
#include "cli/ignore_rules.h"

namespace ebb::cli {
namespace {

namespace fs = std::filesystem;

class Folder {
 public:
  Folder() {
    std::string pattern = (fs::temp_directory_path() / "ebb-pack-XXXXXX").string();
    path_ = mkdtemp(pattern.data());
  }
  ~Folder() { fs::remove_all(path_); }
  void write(const std::string& name, const std::string& text) const {
    fs::create_directories((path_ / name).parent_path());
    std::ofstream(path_ / name, std::ios::binary) << text;
  }
  fs::path operator/(const std::string& name) const { return path_ / name; }
  std::string string() const { return path_.string(); }

 private:
  fs::path path_;
};

struct Member {
  std::string content;
  unsigned mode = 0;
  std::string link;
  std::int64_t time = 0;
};

std::map<std::string, Member> unpack(const std::string& bytes) {
  std::map<std::string, Member> members;
  archive* reader = archive_read_new();
  archive_read_support_format_tar(reader);
  archive_read_support_filter_gzip(reader);
  EXPECT_EQ(archive_read_open_memory(reader, bytes.data(), bytes.size()), ARCHIVE_OK);
  archive_entry* entry = nullptr;
  while (archive_read_next_header(reader, &entry) == ARCHIVE_OK) {
    Member member{.mode = static_cast<unsigned>(archive_entry_mode(entry)), .time = archive_entry_mtime(entry)};
    if (const char* target = archive_entry_symlink(entry)) member.link = target;
    member.content.resize(static_cast<std::size_t>(archive_entry_size(entry)));
    if (!member.content.empty()) archive_read_data(reader, member.content.data(), member.content.size());
    members[archive_entry_pathname(entry)] = member;
  }
  archive_read_free(reader);
  return members;
}

TEST(Pack, KeepsContentLinksAndTheExecutableBit) {
  Folder folder;
  folder.write("ebb.yaml", "app: a\n");
  folder.write("bin/run", "#!/bin/sh\n");
  fs::permissions(folder / "bin/run", fs::perms::owner_all);
  fs::permissions(folder / "ebb.yaml", fs::perms(0600));
  fs::create_symlink("../ebb.yaml", folder / "bin/manifest");
  const std::string binary("\0\xff\x01 bytes", 9);
  folder.write("model.bin", binary);
  const auto package = pack_folder(folder.string());
  ASSERT_TRUE(package) << package.error().message;
  auto members = unpack(package->archive);
  EXPECT_EQ(members.size(), 5U);
  EXPECT_EQ(members["ebb.yaml"].content, "app: a\n");
  EXPECT_EQ(members["ebb.yaml"].mode, S_IFREG | 0644U);
  EXPECT_EQ(members["bin/run"].mode, S_IFREG | 0755U);
  EXPECT_EQ(members["bin/manifest"].link, "../ebb.yaml");
  EXPECT_EQ(members["model.bin"].content, binary);
  EXPECT_EQ(members["model.bin"].time, 0);
  EXPECT_EQ(package->files, 4U);
  EXPECT_EQ(package->unpacked_bytes, 7U + 10U + 9U);
}

TEST(Pack, DependsOnlyOnNamesAndContent) {
  Folder first;
  Folder second;
  for (const char* name : {"b.py", "a.py", "sub/c.py", "ebb.yaml"}) first.write(name, name);
  for (const char* name : {"ebb.yaml", "sub/c.py", "a.py", "b.py"}) second.write(name, name);
  fs::last_write_time(second / "a.py", fs::file_time_type::clock::now() - std::chrono::hours(48));
  fs::permissions(second / "b.py", fs::perms(0640));
  const auto one = pack_folder(first.string());
  const auto two = pack_folder(second.string());
  ASSERT_TRUE(one && two);
  EXPECT_EQ(one->archive, two->archive);
  second.write("a.py", "changed");
  const auto three = pack_folder(second.string());
  ASSERT_TRUE(three);
  EXPECT_NE(one->archive, three->archive);
}

TEST(Pack, LeavesOutWhatIsIgnored) {
  Folder folder;
  for (const char* name : {"ebb.yaml", "app.py", ".git/config", "__pycache__/app.pyc", "lib/x.pyc", ".venv/bin/python",
                           "node_modules/a.js", "data/big.csv", "data/keep.csv", "notes.txt", "docs/notes.txt"}) {
    folder.write(name, "x");
  }
  folder.write(".ebbignore", "# data stays here\n/data/*.csv\n!data/keep.csv\n/notes.txt\n\nebb.yaml\n");
  const auto package = pack_folder(folder.string());
  ASSERT_TRUE(package);
  std::string names;
  for (const auto& [name, member] : unpack(package->archive)) names += name + " ";
  EXPECT_EQ(names, "app.py data/ data/keep.csv docs/ docs/notes.txt ebb.yaml lib/ ");
  const auto with_modules = pack_folder(folder.string(), true);
  ASSERT_TRUE(with_modules);
  EXPECT_EQ(unpack(with_modules->archive).count("node_modules/a.js"), 1U);
  folder.write(".ebbignore", "node_modules\n");
  const auto asked_not_to = pack_folder(folder.string(), true);
  ASSERT_TRUE(asked_not_to);
  EXPECT_EQ(unpack(asked_not_to->archive).count("node_modules/a.js"), 0U);
}

TEST(Pack, RefusesSpecialFilesByName) {
  Folder folder;
  folder.write("ebb.yaml", "app: a\n");
  ASSERT_EQ(mkfifo((folder / "pipe").c_str(), 0600), 0);
  auto package = pack_folder(folder.string());
  ASSERT_FALSE(package);
  EXPECT_EQ(package.error().code, base::Code::kInvalidArgument);
  EXPECT_NE(package.error().message.find("pipe is a device, socket or pipe"), std::string::npos);
  folder.write(".ebbignore", "pipe\n");
  EXPECT_TRUE(pack_folder(folder.string()));
}

TEST(Pack, RefusesLinksThatLeaveTheFolder) {
  for (const char* target : {"/etc/passwd", "../outside", "sub/../../outside"}) {
    Folder folder;
    folder.write("ebb.yaml", "app: a\n");
    fs::create_symlink(target, folder / "link");
    const auto package = pack_folder(folder.string());
    ASSERT_FALSE(package) << target;
    EXPECT_NE(package.error().message.find("link is a link to"), std::string::npos);
  }
}

TEST(Pack, RefusesNamesWithControlCharactersAndDeepTrees) {
  Folder folder;
  folder.write("a\nb", "x");
  EXPECT_FALSE(pack_folder(folder.string()));
  Folder deep;
  std::string path;
  for (std::size_t i = 0; i < limits::kPackagePathDepth; ++i) path += "d/";
  deep.write(path + "leaf", "x");
  EXPECT_TRUE(pack_folder(deep.string()));
  deep.write(path + "d/leaf", "x");
  EXPECT_FALSE(pack_folder(deep.string()));
}

TEST(Pack, RefusesAFolderBeyondTheUnpackedLimit) {
  Folder folder;
  folder.write("big", "");
  fs::resize_file(folder / "big", limits::kPackageUnpackedBytes + 1);  // sparse
  const auto package = pack_folder(folder.string());
  ASSERT_FALSE(package);
  EXPECT_EQ(package.error().code, base::Code::kTooLarge);
  EXPECT_NE(package.error().message.find("1Gi"), std::string::npos);
}

TEST(Pack, NamesAMissingFolder) {
  const auto package = pack_folder("/nonexistent-folder");
  ASSERT_FALSE(package);
  EXPECT_NE(package.error().message.find("/nonexistent-folder"), std::string::npos);
}

TEST(IgnoreRules, ReadLikeGitignore) {
  const IgnoreRules rules("*.log\n!keep.log\nbuild/\n/top\na/**/z\nfoo/*.py\n  \n#x\n");
  EXPECT_TRUE(rules.leaves_out("x.log", false));
  EXPECT_TRUE(rules.leaves_out("sub/x.log", false));
  EXPECT_FALSE(rules.leaves_out("sub/keep.log", false));
  EXPECT_TRUE(rules.leaves_out("sub/build", true));
  EXPECT_FALSE(rules.leaves_out("build", false));  // a file of that name
  EXPECT_TRUE(rules.leaves_out("top", false));
  EXPECT_FALSE(rules.leaves_out("sub/top", false));
  EXPECT_TRUE(rules.leaves_out("a/z", false));
  EXPECT_TRUE(rules.leaves_out("a/b/c/z", false));
  EXPECT_TRUE(rules.leaves_out("foo/x.py", false));
  EXPECT_FALSE(rules.leaves_out("foo/sub/x.py", false));
  EXPECT_FALSE(rules.leaves_out("#x", false));
  EXPECT_TRUE(rules.leaves_out(".git", true));
  EXPECT_FALSE(rules.leaves_out("ebb.yaml", false));
}

}  // namespace
}  // namespace ebb::cli
