// Goal: good archives become packages keyed by content, hostile ones become clear errors and leave nothing behind.
// Method: archives written with libarchive, entry by entry, in each format; the directory is compared afterwards.
#include "store/package.h"

#include <archive.h>
#include <archive_entry.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>
#include <sstream>
#include <vector>

#include "base/id.h"
#include "store/package_tree.h"
#include "store/temp_dir.h"

namespace ebb::store {
namespace {

namespace fs = std::filesystem;

enum class Format { kTar, kTarGz, kZip };

struct Entry {
  std::string path;
  std::string data;
  mode_t mode = 0644;
  mode_t type = AE_IFREG;
  std::string symlink;
  std::string hardlink;
};

Entry dir(const std::string& path) { return {.path = path, .mode = 0755, .type = AE_IFDIR}; }
Entry link(const std::string& path, const std::string& to) {
  return {.path = path, .mode = 0777, .type = AE_IFLNK, .symlink = to};
}
Entry hard(const std::string& path, const std::string& to) { return {.path = path, .hardlink = to}; }

la_ssize_t append_bytes(archive*, void* out, const void* data, size_t size) {
  static_cast<std::string*>(out)->append(static_cast<const char*>(data), size);
  return static_cast<la_ssize_t>(size);
}

void write_entry(archive* a, const Entry& e) {
  archive_entry* entry = archive_entry_new();
  archive_entry_set_pathname(entry, e.path.c_str());
  archive_entry_set_perm(entry, e.mode);
  archive_entry_set_filetype(entry, e.type);
  archive_entry_set_mtime(entry, 1'700'000'000, 0);
  if (!e.symlink.empty()) archive_entry_set_symlink(entry, e.symlink.c_str());
  if (!e.hardlink.empty()) archive_entry_set_hardlink(entry, e.hardlink.c_str());
  archive_entry_set_size(entry, static_cast<la_int64_t>(e.data.size()));
  EXPECT_EQ(archive_write_header(a, entry), ARCHIVE_OK) << e.path << ": " << archive_error_string(a);
  if (!e.data.empty()) {
    EXPECT_EQ(archive_write_data(a, e.data.data(), e.data.size()), static_cast<la_ssize_t>(e.data.size()));
  }
  archive_entry_free(entry);
}

std::string pack(const std::vector<Entry>& entries, Format format = Format::kTar) {
  std::string out;
  archive* a = archive_write_new();
  if (format == Format::kZip) {
    archive_write_set_format_zip(a);
  } else {
    archive_write_set_format_gnutar(a);
    if (format == Format::kTarGz) archive_write_add_filter_gzip(a);
  }
  archive_write_set_bytes_in_last_block(a, 1);
  archive_write_open(a, &out, nullptr, append_bytes, nullptr);
  for (const Entry& entry : entries) write_entry(a, entry);
  archive_write_close(a);
  archive_write_free(a);
  return out;
}

std::string gzipped(const std::string& bytes) {
  std::string out;
  archive* a = archive_write_new();
  archive_write_set_format_raw(a);
  archive_write_add_filter_gzip(a);
  archive_write_set_bytes_in_last_block(a, 1);
  archive_write_open(a, &out, nullptr, append_bytes, nullptr);
  write_entry(a, {.path = "data", .data = bytes});
  archive_write_close(a);
  archive_write_free(a);
  return out;
}

std::string content_of(const fs::path& path) {
  std::ifstream stream(path, std::ios::binary);
  std::ostringstream text;
  text << stream.rdbuf();
  return text.str();
}

mode_t mode_of(const fs::path& path) {
  struct stat status{};
  EXPECT_EQ(lstat(path.c_str(), &status), 0) << path;
  return status.st_mode & 07777;
}

class PackageTest : public testing::Test {
 protected:
  PackageStore store(PackageLimits package_limits = {}) { return *PackageStore::open(directory(), package_limits); }
  fs::path directory() const { return temp_.path() / "packages"; }

  std::size_t things_in_directory() const {
    return static_cast<std::size_t>(std::distance(fs::directory_iterator(directory()), fs::directory_iterator()));
  }

  // The message; and nothing may be left behind.
  std::string refusal(const std::string& bytes, PackageLimits package_limits = {}) {
    const auto key = store(package_limits).import_bytes(bytes);
    EXPECT_EQ(things_in_directory(), 0u);
    if (key) return "no error";
    EXPECT_TRUE(key.error().code == base::Code::kInvalidArgument || key.error().code == base::Code::kTooLarge);
    return key.error().message;
  }
  void refuses(const std::vector<Entry>& entries, const std::string& part, PackageLimits package_limits = {}) {
    const std::string message = refusal(pack(entries), package_limits);
    EXPECT_NE(message.find(part), std::string::npos) << message;
  }

  TempDir temp_;
};

const std::vector<Entry> kGood = {
    dir("./"),
    {.path = "./app.py", .data = "def handler(e, c): return 1\n"},
    {.path = "bin/tool", .data = "#!/bin/sh\n", .mode = 06755},
    dir("lib/"),
    {.path = "lib/x.py", .data = "", .mode = 0600},
    link("lib/self", "../app.py"),
    link("current", "lib"),
    {.path = "caf\xc3\xa9/\xe2\x82\xac.txt", .data = "utf-8"},
};

TEST_F(PackageTest, UnpacksEveryFormatToTheSameKey) {
  const auto packages = store();
  const auto key = packages.import_bytes(pack(kGood));
  ASSERT_TRUE(key) << key.error().message;
  const fs::path root = packages.path_of(*key);
  EXPECT_EQ(content_of(root / "app.py"), "def handler(e, c): return 1\n");
  EXPECT_EQ(content_of(root / "caf\xc3\xa9/\xe2\x82\xac.txt"), "utf-8");
  EXPECT_EQ(content_of(root / "current/self"), content_of(root / "app.py"));
  EXPECT_EQ(mode_of(root), 0755u);
  EXPECT_EQ(mode_of(root / "bin"), 0755u);
  EXPECT_EQ(mode_of(root / "bin/tool"), 0755u) << "setuid and setgid are cleared";
  EXPECT_EQ(mode_of(root / "lib/x.py"), 0644u);
  for (const Format format : {Format::kTarGz, Format::kZip}) {
    const auto again = packages.import_bytes(pack(kGood, format));
    ASSERT_TRUE(again) << again.error().message;
    EXPECT_EQ(*again, *key);
  }
  const fs::path file = temp_.path() / "upload.zip";
  std::ofstream(file, std::ios::binary) << pack(kGood, Format::kZip);
  EXPECT_EQ(*packages.import_file(file), *key);
  EXPECT_EQ(things_in_directory(), 1u);
}

TEST_F(PackageTest, KeyDependsOnContentAndNotOnOrderOrTimes) {
  const auto packages = store();
  const Entry a{.path = "a", .data = "1"};
  const Entry b{.path = "d/b", .data = "2"};
  const auto key = *packages.import_bytes(pack({a, b}));
  EXPECT_EQ(*packages.import_bytes(pack({dir("d"), b, a})), key);
  EXPECT_EQ(*packages.import_bytes(pack({{.path = "a", .data = "1", .mode = 0600}, b})), key)
      << "only the x bit counts";
  EXPECT_NE(*packages.import_bytes(pack({{.path = "a", .data = "1", .mode = 0755}, b})), key);
  EXPECT_NE(*packages.import_bytes(pack({{.path = "a", .data = "3"}, b})), key);
  EXPECT_NE(*packages.import_bytes(pack({a, b, dir("e")})), key);
  EXPECT_NE(*packages.import_bytes(pack({a, b, link("e", "a")})), *packages.import_bytes(pack({a, b, link("e", "d")})));
}

TEST_F(PackageTest, AnExistingPackageIsNotTouched) {
  const auto packages = store();
  const auto key = *packages.import_bytes(pack(kGood));
  const auto before = fs::last_write_time(packages.path_of(key) / "app.py");
  EXPECT_EQ(*packages.import_bytes(pack(kGood)), key);
  EXPECT_EQ(fs::last_write_time(packages.path_of(key) / "app.py"), before);
  EXPECT_EQ(things_in_directory(), 1u);
}

TEST_F(PackageTest, RefusesPathsThatLeaveThePackage) {
  refuses({{.path = "../evil", .data = "x"}}, "'../evil' leads out");
  refuses({{.path = "a/../../evil", .data = "x"}}, "leads out");
  refuses({{.path = "a/..", .data = "x"}}, "leads out");
  refuses({dir("..")}, "leads out");
  refuses({{.path = "/etc/passwd", .data = "x"}}, "absolute path");
  EXPECT_NE(refusal(pack({{.path = "../evil", .data = "x"}}, Format::kZip)).find("leads out"), std::string::npos);
  EXPECT_NE(refusal(pack({{.path = "/evil", .data = "x"}}, Format::kZip)).find("absolute"), std::string::npos);
  EXPECT_FALSE(fs::exists(temp_.path() / "evil"));
}

TEST_F(PackageTest, RefusesStrangePaths) {
  refuses({{.path = "a\nb", .data = "x"}}, "control character");
  refuses({{.path = "a\x7f", .data = "x"}}, "control character");
  refuses({{.path = std::string(256, 'n'), .data = "x"}}, "more than 255 bytes");
  std::string deep;
  for (std::size_t i = 0; i <= limits::kPackagePathDepth; ++i) deep += "d/";
  refuses({{.path = deep + "f", .data = "x"}}, "deeper than 32");
  EXPECT_TRUE(store().import_bytes(pack({{.path = deep.substr(2) + "f", .data = "x"}})));
  EXPECT_NE(PackageTree::plain_path(std::string("a\0b", 3)).error().message.find("control"), std::string::npos);
  EXPECT_NE(PackageTree::plain_path("").error().message.find("no name"), std::string::npos);
  EXPECT_NE(PackageTree::plain_path(std::string(1025, 'a')).error().message.find("1024"), std::string::npos);
  EXPECT_EQ(*PackageTree::plain_path("./a//b/./c/"), "a/b/c");
}

TEST_F(PackageTest, RefusesPathsGivenTwiceOrThroughSomethingElse) {
  refuses({{.path = "a", .data = "1"}, {.path = "./a", .data = "2"}}, "'a' is in the archive twice");
  refuses({{.path = "a", .data = "1"}, dir("a")}, "twice");
  refuses({link("a", "b"), link("a", "c")}, "twice");
  refuses({{.path = "a", .data = "1"}, {.path = "a/b", .data = "2"}}, "passes through the file 'a'");
  refuses({dir("d"), link("l", "d"), {.path = "l/x", .data = "2"}}, "passes through the symlink 'l'");
  refuses({link("l", "."), hard("h", "l/x")}, "hard link");
}

TEST_F(PackageTest, RefusesSymlinksThatLeaveThePackage) {
  refuses({link("l", "/etc")}, "absolute path");
  refuses({link("l", "..")}, "leads out of the package");
  refuses({link("d/l", "../../x")}, "leads out of the package");
  refuses({link("l", "a/../../x"), dir("a")}, "leads out of the package");
  // Inside by the letters, outside for the kernel: t is the root, so t/.. is above it.
  refuses({dir("p/q/r"), link("p/q/r/t", "../../.."), link("u", "p/q/r/t/../x")}, "'u' is a symlink that leads out");
  refuses({link("l", "missing/../../x")}, "leads out");
  refuses({link("l", "l")}, "in a circle");
  refuses({link("a", "b/x"), link("b", "a")}, "in a circle");
  refuses({link("l", "a\nb")}, "control character");
  std::vector<Entry> fine = {dir("d/e"), link("d/e/up", "../.."), link("dangling", "nothing/here"),
                             link("x", "d/e/up/d")};
  EXPECT_TRUE(store().import_bytes(pack(fine)));
}

TEST_F(PackageTest, EntangledSymlinksEndInAnErrorAndNotInHours) {
  std::string twist = "d";
  for (int i = 0; i < 200; ++i) twist += "/../d";
  std::vector<Entry> entries = {dir("d")};
  for (int i = 0; i < 5100; ++i) entries.push_back(link("l" + std::to_string(i), twist));
  refuses(entries, "too many entangled symlinks");
}

TEST_F(PackageTest, TakesHardLinksInsideAndRefusesOthers) {
  refuses({hard("h", "/etc/passwd")}, "absolute path");
  refuses({hard("h", "../x")}, "leads out");
  refuses({hard("h", "later"), {.path = "later", .data = "x"}}, "not a file earlier in the package");
  refuses({dir("d"), hard("h", "d")}, "not a file earlier");
  const auto packages = store();
  const auto key = packages.import_bytes(pack({{.path = "a", .data = "same", .mode = 0755}, hard("d/h", "a")}));
  ASSERT_TRUE(key) << key.error().message;
  EXPECT_EQ(content_of(packages.path_of(*key) / "d/h"), "same");
  EXPECT_EQ(*key, *packages.import_bytes(pack(
                      {{.path = "a", .data = "same", .mode = 0755}, {.path = "d/h", .data = "same", .mode = 0755}})));
}

TEST_F(PackageTest, RefusesDevicesPipesAndSockets) {
  refuses({{.path = "null", .type = AE_IFCHR}}, "'null' is a device, pipe or socket");
  refuses({{.path = "disk", .type = AE_IFBLK}}, "device");
  refuses({{.path = "pipe", .type = AE_IFIFO}}, "device, pipe");
}

TEST_F(PackageTest, StopsBombsEarly) {
  const PackageLimits small{.entries = 10, .bytes = 1 << 20};
  const Entry mebibyte{.path = "m", .data = std::string(1 << 20, '\0')};
  const Entry more{.path = "n", .data = "x"};
  EXPECT_TRUE(store(small).import_bytes(pack({mebibyte}, Format::kTarGz))) << "the limit itself is allowed";
  fs::remove_all(directory());
  for (const Format format : {Format::kTar, Format::kTarGz, Format::kZip}) {
    EXPECT_NE(refusal(pack({mebibyte, more}, format), small).find("more than 1Mi"), std::string::npos);
  }
  std::vector<Entry> many;
  for (int i = 0; i < 10; ++i) many.push_back({.path = "f" + std::to_string(i), .data = "x"});
  EXPECT_TRUE(store(small).import_bytes(pack(many)));
  fs::remove_all(directory());
  many.push_back({.path = "f10", .data = "x"});
  refuses(many, "more than 10 entries", small);
  refuses({{.path = "1/2/3/4/5/6/7/8/9/10/x", .data = "x"}}, "more than 10 entries", small);
  EXPECT_NE(refusal(gzipped(gzipped(pack({more})))).find("compressed more than once"), std::string::npos);
}

// By hand, since libarchive writes sparse files only from real ones: GNU's old sparse header, 512 stored bytes at the
// end of a file of five gigabytes.
std::string sparse_tar() {
  std::string header(512, '\0');
  const auto put = [&](std::size_t at, std::string_view text) { header.replace(at, text.size(), text); };
  put(0, "sparse");
  put(100, "0000644");
  put(108, "0000000");
  put(116, "0000000");
  put(124, "00000001000");  // stored bytes
  put(136, "00000000000");
  put(148, "        ");
  put(156, "S");
  put(257, "ustar  ");
  put(386, "45201370600");  // 4,999,999,872: where the stored bytes belong
  put(398, "00000000200");  // 128 of them
  put(483, "45201371000");  // 5,000,000,000 rounded: the size
  unsigned sum = 0;
  for (const char c : header) sum += static_cast<unsigned char>(c);
  char digits[8];
  std::snprintf(digits, sizeof digits, "%06o", sum);
  put(148, std::string_view(digits, 7));
  return header + std::string(512, 'x') + std::string(1024, '\0');
}

TEST_F(PackageTest, ASparseFileOfGigabytesIsABombToo) {
  const std::string message = refusal(sparse_tar());
  EXPECT_NE(message.find("more than 1Gi"), std::string::npos) << message;
}

TEST_F(PackageTest, RefusesWhatIsNoArchiveOrIsDamaged) {
  EXPECT_NE(refusal("").find("cannot be unpacked"), std::string::npos);
  EXPECT_NE(refusal("just some text, long enough to be looked at").find("tar, tar.gz or zip"), std::string::npos);
  EXPECT_NE(refusal(pack({})).find("empty"), std::string::npos);
  EXPECT_NE(refusal(std::string(10'240, '\0')).find("empty"), std::string::npos);
  const Entry big{.path = "big", .data = std::string(200'000, 'q')};
  for (const Format format : {Format::kTar, Format::kTarGz, Format::kZip}) {
    const std::string whole = pack({big}, format);
    EXPECT_NE(refusal(whole.substr(0, whole.size() / 3)), "no error") << static_cast<int>(format);
  }
  std::string flipped = pack({{.path = "f", .data = "some text that is stored"}}, Format::kZip);
  flipped[flipped.size() / 4] = static_cast<char>(~flipped[flipped.size() / 4]);
  (void)store().import_bytes(flipped);  // either answer is right; it must not crash
  EXPECT_FALSE(store().import_file(temp_.path() / "missing.tar"));
}

TEST_F(PackageTest, OpenRemovesWhatAKilledImportLeft) {
  fs::create_directories(directory() / ".import-abc123/deep/er");
  std::ofstream(directory() / ".import-abc123/deep/er/file") << "half";
  const auto packages = store();
  EXPECT_EQ(things_in_directory(), 0u);
  EXPECT_FALSE(packages.contains(std::string(64, 'a')));
  EXPECT_FALSE(packages.contains("../.."));
}

TEST_F(PackageTest, CollectsWhatNobodyRefersTo) {
  const auto packages = store();
  const auto kept = *packages.import_bytes(pack({{.path = "a", .data = "1"}}));
  const auto gone = *packages.import_bytes(pack({{.path = "a", .data = "2"}}));
  EXPECT_EQ(*packages.collect({kept, std::string(64, 'b')}), 1u);
  EXPECT_TRUE(packages.contains(kept));
  EXPECT_FALSE(packages.contains(gone));
  EXPECT_EQ(things_in_directory(), 1u);
  EXPECT_EQ(*packages.collect({kept}), 0u);
}

TEST(LayerKey, DependsOnWhatPipWouldInstall) {
  const auto of = [](std::string_view text, std::string_view python = "3.11.2", std::string_view platform = "l") {
    return layer_key(text, {.package_key = "some", .package = {}}, python, platform);
  };
  const auto key = of("numpy==1.26.4\nPillow==10.0\n");
  EXPECT_TRUE(base::is_content_key(key));
  EXPECT_EQ(of("# models\r\nnumpy==1.26.4  # pinned\r\n\r\n  Pillow==10.0"), key);
  EXPECT_NE(of("numpy==1.26.4\n"), key);
  EXPECT_NE(of("numpy==1.26.4\nPillow==10.0\n", "3.11.3"), key);
  EXPECT_NE(of("numpy==1.26.4\nPillow==10.0\n", "3.11.2", "linux-aarch64"), key);
  EXPECT_NE(of("x @ https://a/b#sha256=1"), of("x @ https://a/b#sha256=2"));
}

TEST(LayerKey, WhatLiesInThePackageIsThatPackagesAlone) {
  const auto shared = [](std::string_view text) {
    return layer_key(text, {.package_key = "one", .package = {}}, "3", "l") ==
           layer_key(text, {.package_key = "other", .package = {}}, "3", "l");
  };
  for (const char* text :
       {"numpy", "numpy[extra]>=1.26,<2; python_version < '3.12'", "numpy==1 \\\n    --hash=sha256:00aa",
        "x @ https://example.org/x-1.0.tar.gz#sha256=1", "git+https://example.org/x@v1", "# ./a.whl\nnumpy"}) {
    EXPECT_TRUE(shared(text)) << text;
  }
  for (const char* text : {"/ebb/source/x-1.0-py3-none-any.whl", "./x", "x-1.0-py3-none-any.whl", "wheels/x-1.0.tar.gz",
                           "-r base.txt", "--requirement=base.txt", "-c pins.txt", "-e .", "--find-links /ebb/source",
                           "x @ file:///ebb/source/x.whl", "file:x.zip", "numpy\n-r base.txt\n", "${HOME}x"}) {
    EXPECT_FALSE(shared(text)) << text;
  }
}

TEST(LayerKey, AWheelOfThePackageCountsByItsContent) {
  const TempDir temp;
  const fs::path folder = temp.path();
  fs::create_directories(folder / "in");
  const auto key = [&](std::string_view text, std::string_view package, std::string_view content) {
    std::ofstream(folder / "in/x.whl") << content;
    return layer_key(text, {.package_key = package, .package = folder}, "3", "l");
  };
  constexpr std::string_view kWheel = "/ebb/source/in/x.whl";
  EXPECT_EQ(key(kWheel, "one", "a"), key(kWheel, "other", "a"));
  EXPECT_NE(key(kWheel, "one", "a"), key(kWheel, "one", "b"));
  EXPECT_NE(key("/ebb/source/in/../in/x.whl", "one", "a"), key("/ebb/source/in/../in/x.whl", "other", "a"));
  EXPECT_NE(key("/ebb/source/in/y.whl", "one", "a"), key("/ebb/source/in/y.whl", "other", "a")) << "there is none";
  fs::create_symlink("x.whl", folder / "in/link.whl");
  EXPECT_NE(key("/ebb/source/in/link.whl", "one", "a"), key("/ebb/source/in/link.whl", "other", "a"));
  EXPECT_NE(key("/ebb/source/in/x.whl\n-r more.txt", "one", "a"),
            key("/ebb/source/in/x.whl\n-r more.txt", "other", "a"));
}

TEST(NpmLayerKey, DependsOnAllThatNpmGoesBy) {
  const NpmLayer of{.package_json = "{}", .lock = "{}\n", .toolchain = "v20.1.0 9.2.0", .platform = "l", .below = ""};
  const auto key = npm_layer_key(of);
  EXPECT_TRUE(base::is_content_key(key));
  EXPECT_EQ(npm_layer_key(of), key);
  for (const auto member :
       {&NpmLayer::package_json, &NpmLayer::lock, &NpmLayer::toolchain, &NpmLayer::platform, &NpmLayer::below}) {
    NpmLayer other = of;
    other.*member = "other";
    EXPECT_NE(npm_layer_key(other), key);
  }
  // Where one text ends and the next begins counts.
  EXPECT_NE(npm_layer_key({.package_json = "a", .lock = "bc"}), npm_layer_key({.package_json = "ab", .lock = "c"}));

  NpmLayer registry = of;
  registry.npmrc = "registry=https://r.example/";
  NpmLayer ours = registry;
  ours.private_to = "shop";
  NpmLayer theirs = registry;
  theirs.private_to = "other";
  EXPECT_NE(npm_layer_key(registry), key) << "other packages may have the names";
  EXPECT_NE(npm_layer_key(ours), npm_layer_key(registry)) << "what needed a credential is not shared";
  EXPECT_NE(npm_layer_key(ours), npm_layer_key(theirs));
}

}  // namespace
}  // namespace ebb::store
