// Goal: the chunked coding is decoded strictly, however it is cut, within its limits. Method: every cut of valid
// bodies, a table of malformed ones.
#include "http/chunked.h"

#include <gtest/gtest.h>

#include "base/limits.h"

namespace ebb::http {
namespace {

TEST(ChunkDecoder, DecodesHoweverItIsCut) {
  const std::string body = "4\r\nWiki\r\nA;name=\"v\"\r\n0123456789\r\n000\r\nTrailer: x\r\nOther: y\r\n\r\nNEXT";
  for (std::size_t cut = 0; cut <= body.size(); ++cut) {
    ChunkDecoder decoder(14);
    std::string decoded;
    const auto first = decoder.feed(body.substr(0, cut), decoded);
    ASSERT_TRUE(first) << cut;
    const auto second = decoder.feed(body.substr(*first), decoded);
    ASSERT_TRUE(second) << cut;
    EXPECT_TRUE(decoder.done());
    EXPECT_EQ(decoded, "Wiki0123456789");
    EXPECT_EQ(*first + *second, body.size() - 4);  // NEXT is left
  }
}

TEST(ChunkDecoder, TheLimitIsExactAndNamed) {
  std::string decoded;
  ChunkDecoder fits(5);
  EXPECT_TRUE(fits.feed("2\r\nab\r\n3\r\ncde\r\n", decoded));
  ChunkDecoder over(4);
  const auto refused = over.feed("2\r\nab\r\n3\r\n", decoded);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, base::Code::kTooLarge);
  EXPECT_NE(refused.error().message.find("4 bytes"), std::string::npos);
  ChunkDecoder wraps(10);
  EXPECT_FALSE(wraps.feed("9\r\n123456789\r\nffffffffffffffff\r\n", decoded));
}

TEST(ChunkDecoder, RefusesMalformedFraming) {
  for (const char* bad : {"\r\n", ";x\r\n", " 1\r\na", "1 \r\na", "0x1\r\na", "-1\r\n", "1\na", "1\rxa", "g\r\n",
                          "1\r\nab\r\n", "1\r\na\n", "1\r\na\rx", "11111111111111111\r\n", "1;a\x01\r\n", "1;a\nb\r\n",
                          "0\r\n\n", "0\r\nA: b\n", "0\r\n\rx"}) {
    ChunkDecoder decoder(1000);
    std::string decoded;
    const auto fed = decoder.feed(bad, decoded);
    ASSERT_FALSE(fed) << bad;
    EXPECT_EQ(fed.error().code, base::Code::kInvalidArgument) << bad;
  }
}

TEST(ChunkDecoder, ExtensionsAndTrailersAreBounded) {
  std::string decoded;
  ChunkDecoder fits(10);
  EXPECT_TRUE(fits.feed("1;" + std::string(limits::kHttpHeaderBytes, 'x') + "\r\n", decoded));
  ChunkDecoder over(10);
  EXPECT_FALSE(over.feed("1;" + std::string(limits::kHttpHeaderBytes + 1, 'x') + "\r\n", decoded));
  ChunkDecoder trailer(10);
  EXPECT_FALSE(trailer.feed("0\r\n" + std::string(limits::kHttpHeaderBytes + 1, 'x'), decoded));
}

TEST(ChunkHead, IsHexadecimal) {
  EXPECT_EQ(chunk_head(0x1f4), "1f4\r\n");
  EXPECT_EQ(chunk_head(1), "1\r\n");
}

}  // namespace
}  // namespace ebb::http
