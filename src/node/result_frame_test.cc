// Goal: whatever an instance sends, a client sees a valid response or a clear 502, never a smuggled line. Method:
// frames by hand.
#include "node/result_frame.h"

#include <gtest/gtest.h>

namespace ebb::node {
namespace {

struct Absorbed {
  bool healthy = false;
  Reply reply;
  model::Outcome outcome = model::Outcome::kOk;
};

Absorbed absorb(wire::FrameType type, std::string meta, std::string body = {}) {
  model::Version version;
  version.app = "app";
  version.function = "f";
  Absorbed result;
  sandbox::Frame frame{.header = {.type = type}, .meta = std::move(meta), .body = std::move(body)};
  result.healthy = absorb_result(frame, version, result.reply, result.outcome);
  return result;
}

TEST(ResultFrame, AGoodResultBecomesTheReply) {
  const Absorbed got =
      absorb(wire::FrameType::kResult,
             R"({"status":201,"headers":[["content-type","text/plain"],["X-A","1"]],"cookies":["a=b"]})", "hi");
  EXPECT_TRUE(got.healthy);
  EXPECT_FALSE(got.reply.error);
  EXPECT_EQ(got.outcome, model::Outcome::kOk);
  EXPECT_EQ(got.reply.status, 201);
  EXPECT_EQ(got.reply.body, "hi");
  EXPECT_EQ(got.reply.headers.get("x-a"), "1");
  EXPECT_EQ(got.reply.headers.get("set-cookie"), "a=b");
}

TEST(ResultFrame, HeadersOfTheConnectionAndOfThePlatformAreTheServersOwn) {
  const Absorbed got = absorb(
      wire::FrameType::kResult,
      R"({"status":200,"headers":[["Content-Length","5"],["TRANSFER-ENCODING","chunked"],["x-ebb-version","9"],["Server","x"],["ok","y"]]})");
  EXPECT_FALSE(got.reply.error);
  EXPECT_EQ(got.reply.headers.size(), 1u);
}

TEST(ResultFrame, WhatCouldSmuggleALineIsTheFunctionsError) {
  for (const char* meta :
       {R"({"status":200,"headers":[["x","a\r\nset-cookie: b"]]})", R"({"status":200,"headers":[["a b","c"]]})",
        R"({"status":200,"headers":[["","c"]]})", R"({"status":200,"headers":[["a"]]})",
        R"({"status":200,"headers":["a"]})", R"({"status":200,"cookies":["a\nb"]})", R"({"status":200,"cookies":[1]})",
        R"({"status":199})", R"({"status":600})", R"({"status":"200"})", R"({})"}) {
    const Absorbed got = absorb(wire::FrameType::kResult, meta, "body");
    ASSERT_TRUE(got.reply.error) << meta;
    EXPECT_EQ(got.reply.error->code, base::Code::kFunctionFailed);
    EXPECT_EQ(got.outcome, model::Outcome::kFunctionError);
    EXPECT_TRUE(got.reply.headers.empty()) << meta;
    EXPECT_TRUE(got.reply.body.empty()) << meta;
    EXPECT_TRUE(got.healthy) << "the instance itself is well: " << meta;
  }
}

TEST(ResultFrame, TooManyHeadersAreRefused) {
  std::string meta = R"({"status":200,"headers":[["a","b"])";
  for (int i = 0; i < 128; ++i) meta += R"(,["a","b"])";
  EXPECT_TRUE(absorb(wire::FrameType::kResult, meta + "]}").reply.error);
  EXPECT_TRUE(
      absorb(wire::FrameType::kResult, R"({"status":200,"headers":[["a",")" + std::string(8192, 'x') + R"("]]})")
          .reply.error);
}

TEST(ResultFrame, ABrokenFrameEndsTheInstance) {
  for (const char* meta : {"", "{", "[]", "7", "\xff"})
    EXPECT_FALSE(absorb(wire::FrameType::kResult, meta).healthy) << meta;
  EXPECT_FALSE(absorb(wire::FrameType::kReady, "{}").healthy);
  EXPECT_FALSE(absorb(wire::FrameType::kPiece, "{}").healthy) << "a piece of no stream";
  EXPECT_FALSE(absorb(wire::FrameType::kEnd, "{}").healthy);
}

TEST(ResultFrame, AStreamMayAnnounceItsLength) {
  const Absorbed got = absorb(wire::FrameType::kStream,
                              R"({"status":200,"headers":[["Content-Length","12345678901"],["a","b"]]})", "first");
  EXPECT_TRUE(got.healthy);
  EXPECT_FALSE(got.reply.error);
  EXPECT_EQ(got.reply.stream_bytes, 12345678901u);
  EXPECT_EQ(got.reply.headers.size(), 1u);
  EXPECT_EQ(got.reply.body, "") << "the piece stays with who streams";
  EXPECT_FALSE(absorb(wire::FrameType::kStream, R"({"status":200})").reply.stream_bytes);
}

TEST(ResultFrame, ALengthThatIsNoneIsTheFunctionsError) {
  for (const char* lengths : {R"(["content-length",""])", R"(["content-length","-1"])", R"(["content-length","0x10"])",
                              R"(["content-length","12 "])", R"(["content-length","99999999999999999999"])",
                              R"(["content-length","1"],["Content-Length","2"])"}) {
    const Absorbed got =
        absorb(wire::FrameType::kStream, R"({"status":200,"headers":[)" + std::string(lengths) + "]}", "x");
    ASSERT_TRUE(got.reply.error) << lengths;
    EXPECT_EQ(got.reply.error->code, base::Code::kFunctionFailed);
    EXPECT_FALSE(got.reply.stream_bytes);
  }
}

TEST(ResultFrame, ACallOfTheWrongKindIsTheCallersError) {
  const Absorbed got =
      absorb(wire::FrameType::kError, R"({"kind":"wrong_call","type":"WrongCall","message":"it takes HTTP requests"})");
  EXPECT_TRUE(got.healthy);
  ASSERT_TRUE(got.reply.error);
  EXPECT_EQ(got.reply.error->code, base::Code::kInvalidArgument);
}

TEST(ResultFrame, AnErrorNamesItsTypeAndMessage) {
  const Absorbed got = absorb(wire::FrameType::kError,
                              R"({"kind":"raised","type":"ValueError","message":"no such digit","trace":"..."})");
  EXPECT_TRUE(got.healthy);
  ASSERT_TRUE(got.reply.error);
  EXPECT_EQ(got.reply.error->message, "app/f raised ValueError: no such digit");
}

TEST(ResultFrame, AnInstanceThatEndsWithItsErrorDoesNotServeAgain) {
  const Absorbed got =
      absorb(wire::FrameType::kError, R"({"kind":"ended","type":"SystemExit","message":"2","trace":""})");
  EXPECT_FALSE(got.healthy);
  ASSERT_TRUE(got.reply.error);
  EXPECT_EQ(got.reply.error->message, "app/f raised SystemExit: 2");
}

}  // namespace
}  // namespace ebb::node
