// Goal: what one side encodes the other decodes, and nothing else is accepted. Method: round trips, then every prefix
// and seeded byte flips of each encoding, which must be refused or decode without reading out of bounds (ASan watches).
#include <gtest/gtest.h>

#include <random>

#include "base/limits.h"
#include "wire/codec.h"
#include "wire/frame.h"
#include "wire/launcher_protocol.h"
#include "wire/zygote_protocol.h"

namespace ebb::wire {
namespace {

const std::string kKey(64, 'a');

template <typename T>
void expect_only_whole(const std::string& payload) {
  EXPECT_TRUE(decode<T>(payload));
  for (std::size_t size = 0; size < payload.size(); ++size) EXPECT_FALSE(decode<T>(payload.substr(0, size))) << size;
  EXPECT_FALSE(decode<T>(payload + "x"));
  std::mt19937 random(7);
  for (int i = 0; i < 2000; ++i) {
    std::string flipped = payload;
    flipped[random() % flipped.size()] = static_cast<char>(random());
    (void)decode<T>(flipped);
  }
}

TEST(LauncherProtocol, RoundTripsAndRefusesTheRest) {
  MakeVersion version{.version = base::VersionId{7},
                      .app = "vision",
                      .uid_index = 3,
                      .package_key = kKey,
                      .memory_bytes = 1 << 20,
                      .cpu_millis = 500,
                      .pids = 12,
                      .instances_max = 9,
                      .config = "{}",
                      .reach = Reach::kListed,
                      .ranges = {{.range = *base::parse_ip_range("192.0.2.0/24"), .port = 443}}};
  const auto back = decode<MakeVersion>(encode(version));
  ASSERT_TRUE(back);
  EXPECT_EQ(back->app, "vision");
  EXPECT_EQ(back->cpu_millis, 500u);
  EXPECT_EQ(back->config, "{}");
  expect_only_whole<MakeVersion>(encode(version));
  expect_only_whole<MakeSandbox>(
      encode(MakeSandbox{.sandbox = base::SandboxId{1}, .app = "a", .uid_index = 1, .runtime = "python3"}));
  const MakeSandbox of_image{
      .sandbox = base::SandboxId{1}, .app = "a", .uid_index = 1, .runtime = "python3", .image_layers = {kKey, "../x"}};
  EXPECT_FALSE(decode<MakeSandbox>(encode(of_image))) << "a path where a key belongs";
  expect_only_whole<MakeZygote>(encode(MakeZygote{}));
  expect_only_whole<Fork>(encode(Fork{}));
  expect_only_whole<Start>(encode(Start{.layer_key = kKey, .gvisor = true, .image_layers = {kKey, kKey}}));
  expect_only_whole<Kill>(encode(Kill{}));
  expect_only_whole<AllowAddresses>(
      encode(AllowAddresses{.link = 3, .seconds = 60, .targets = {{.range = *base::parse_ip_range("2001:db8::1")}}}));
  expect_only_whole<Linked>(encode(Linked{.link = 3, .address = *base::parse_ip("198.18.0.4")}));
  expect_only_whole<Unlinked>(encode(Unlinked{.link = 3}));
  expect_only_whole<Build>(encode(Build{.output_key = kKey, .argv = {"/bin/true"}, .env = {"A=b"}}));
  expect_only_whole<OpenSockets>(encode(OpenSockets{.instance = base::InstanceId{3}, .count = 8}));
  for (const std::uint32_t count : {0U, limits::kSocketsAtOnce + 1}) {
    EXPECT_FALSE(decode<OpenSockets>(encode(OpenSockets{.instance = base::InstanceId{3}, .count = count})));
  }
  expect_only_whole<ReadCpu>(encode(ReadCpu{.app = "shop"}));
  expect_only_whole<CpuUse>(encode(CpuUse{.total_ns = 3, .runtimes_ns = 1, .zygotes_ns = 1}));
  expect_only_whole<FreezeOrder>(encode(FreezeOrder{.instance = base::InstanceId{3}, .sequence = 9}));
  expect_only_whole<Failed>(encode(Failed{.message = "no", .detail = "trace"}));
  const ZygoteReady ready{.init_ns = 5, .forkable = false, .unfit_reason = "2 threads"};
  expect_only_whole<ZygoteReady>(encode(ready));
  expect_only_whole<ZygoteMade>(encode(ZygoteMade{.zygote = ready, .memory_bytes = 1 << 20}));
  expect_only_whole<Exited>(encode(Exited{.id = 4, .wait_status = 9, .out_of_memory = true, .orphaned = true}));
}

TEST(LauncherProtocol, NamesAndKeysThatCouldBecomePathsAreRefused) {
  for (const char* app : {"", "..", "a/b", "A", "-a", "a.b"}) {
    EXPECT_FALSE(decode<MakeSandbox>(encode(MakeSandbox{.app = app, .uid_index = 1, .runtime = "python3"}))) << app;
    EXPECT_FALSE(decode<ReadCpu>(encode(ReadCpu{.app = app}))) << app;
  }
  for (const std::string& key : {std::string("../x"), std::string(63, 'a'), std::string(64, 'A'), kKey + "a"}) {
    EXPECT_FALSE(decode<RemoveTree>(encode(RemoveTree{.kind = TreeKind::kLayer, .key = key}))) << key;
    EXPECT_FALSE(decode<Start>(encode(Start{.layer_key = key}))) << key;
  }
  EXPECT_FALSE(decode<MakeSandbox>(encode(MakeSandbox{.app = "a", .uid_index = 0, .runtime = "python3"})))
      << "the build range is not an app's";
  EXPECT_FALSE(decode<MakeSandbox>(encode(MakeSandbox{.app = "a", .uid_index = 4096, .runtime = "python3"})));
}

TEST(Message, RoundTripsAndRefusesTheRest) {
  const std::string bytes = encode(Message{.type = 5, .id = 77, .payload = "hello"});
  const auto back = decode_message(bytes);
  ASSERT_TRUE(back);
  EXPECT_EQ(back->type, 5);
  EXPECT_EQ(back->id, 77u);
  EXPECT_EQ(back->payload, "hello");
  for (std::size_t size = 0; size < bytes.size(); ++size) EXPECT_FALSE(decode_message(bytes.substr(0, size)));
  EXPECT_FALSE(decode_message(bytes + "x"));
  std::string wrong = bytes;
  wrong[4] = 2;
  EXPECT_FALSE(decode_message(wrong)) << "a later version";
}

TEST(Frame, RoundTripsAndBoundsLengths) {
  FrameHeader header{.type = FrameType::kResult,
                     .meta_bytes = 10,
                     .body_bytes = limits::kHttpBodyBytes,
                     .invocation = base::new_invocation_id()};
  auto bytes = encode(header);
  const auto back = decode_frame_header(std::string_view(bytes.data(), bytes.size()));
  ASSERT_TRUE(back);
  EXPECT_EQ(back->invocation, header.invocation);
  EXPECT_EQ(back->body_bytes, limits::kHttpBodyBytes);
  header.body_bytes += 1;
  bytes = encode(header);
  EXPECT_FALSE(decode_frame_header(std::string_view(bytes.data(), bytes.size())));
  header.body_bytes = 0;
  header.meta_bytes = limits::kFrameMetaBytes + 1;
  bytes = encode(header);
  EXPECT_FALSE(decode_frame_header(std::string_view(bytes.data(), bytes.size())));
}

bool is_taken(FrameHeader header) {
  const auto bytes = encode(header);
  return decode_frame_header(std::string_view(bytes.data(), bytes.size())).has_value();
}

TEST(Frame, PiecesOfAStreamAreBoundedAndNeverEmpty) {
  constexpr std::uint64_t kMost = limits::kStreamPieceBytes;
  EXPECT_TRUE(is_taken({.type = FrameType::kStream, .meta_bytes = 10, .body_bytes = 0}));
  EXPECT_TRUE(is_taken({.type = FrameType::kStream, .meta_bytes = 10, .body_bytes = kMost}));
  EXPECT_FALSE(is_taken({.type = FrameType::kStream, .meta_bytes = 10, .body_bytes = kMost + 1}));
  EXPECT_TRUE(is_taken({.type = FrameType::kPiece, .body_bytes = 1}));
  EXPECT_TRUE(is_taken({.type = FrameType::kPiece, .body_bytes = kMost}));
  EXPECT_FALSE(is_taken({.type = FrameType::kPiece, .body_bytes = kMost + 1}));
  EXPECT_FALSE(is_taken({.type = FrameType::kPiece, .body_bytes = 0}));
  EXPECT_FALSE(is_taken({.type = FrameType::kPiece, .meta_bytes = 2, .body_bytes = 5}));
  EXPECT_TRUE(is_taken({.type = FrameType::kEnd}));
  EXPECT_FALSE(is_taken({.type = FrameType::kEnd, .body_bytes = 1}));
  EXPECT_FALSE(is_taken({.type = FrameType::kEnd, .meta_bytes = 2}));
  for (const FrameType type : {FrameType::kReady, FrameType::kError}) {
    EXPECT_TRUE(is_taken({.type = type, .meta_bytes = 2}));
    EXPECT_FALSE(is_taken({.type = type, .meta_bytes = 2, .body_bytes = 1}));
  }
  EXPECT_FALSE(is_taken({.type = FrameType::kConfigure})) << "it comes down, never up";
  EXPECT_FALSE(is_taken({.type = static_cast<FrameType>(11)}));
  EXPECT_FALSE(is_taken({.type = static_cast<FrameType>(0)}));
}

TEST(Frame, WordsOfACallAreBoundedAndNeverEmpty) {
  for (const FrameType type : {FrameType::kOut, FrameType::kErr}) {
    EXPECT_TRUE(is_taken({.type = type, .body_bytes = 1}));
    EXPECT_TRUE(is_taken({.type = type, .body_bytes = limits::kStreamPieceBytes}));
    EXPECT_FALSE(is_taken({.type = type, .body_bytes = limits::kStreamPieceBytes + 1}));
    EXPECT_FALSE(is_taken({.type = type, .body_bytes = 0}));
    EXPECT_FALSE(is_taken({.type = type, .meta_bytes = 2, .body_bytes = 5}));
  }
}

TEST(Reader, AHugeCountOrLengthDoesNotAllocate) {
  const std::string count = Writer().u32(0xffffffff).take();
  Reader texts(count);
  EXPECT_TRUE(texts.texts(64).empty());
  EXPECT_FALSE(texts.finish());
  Reader text(count);
  EXPECT_EQ(text.text(), "");
  EXPECT_FALSE(text.finish());
}

}  // namespace
}  // namespace ebb::wire
