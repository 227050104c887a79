// W3C Trace Context: what is read, what is refused, what is written; sampling. Method: the recommendation's own cases.
#include "meter/trace_context.h"

#include <gtest/gtest.h>

#include <set>

namespace ebb::meter {
namespace {

constexpr std::string_view kGood = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

TEST(Traceparent, ReadsAndWritesTheSame) {
  const auto context = parse_traceparent(kGood);
  ASSERT_TRUE(context);
  EXPECT_TRUE(context->sampled());
  EXPECT_EQ(hex_of(context->trace), "0af7651916cd43dd8448eb211c80319c");
  EXPECT_EQ(hex_of(context->span), "b7ad6b7169203331");
  EXPECT_EQ(traceparent_of(*context), kGood);
}

TEST(Traceparent, KeepsOnlyTheFlagsItKnows) {
  const auto context = parse_traceparent("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-fe");
  ASSERT_TRUE(context);
  EXPECT_FALSE(context->sampled());
  EXPECT_EQ(context->flags, TraceContext::kRandom);
}

TEST(Traceparent, ReadsALaterVersionAsFarAsItKnows) {
  EXPECT_TRUE(parse_traceparent("cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"));
  EXPECT_TRUE(parse_traceparent("cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-what-comes"));
  EXPECT_FALSE(parse_traceparent("cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01.what-comes"));
}

TEST(Traceparent, RefusesWhatIsMalformed) {
  for (const std::string_view bad : {"", "00", "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
                                     "00-00000000000000000000000000000000-b7ad6b7169203331-01",
                                     "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
                                     "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
                                     "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-",
                                     "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-1",
                                     "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0x",
                                     "00_0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
                                     " 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}) {
    EXPECT_FALSE(parse_traceparent(bad)) << bad;
  }
}

TEST(BeginTrace, SamplesTheShareAskedFor) {
  constexpr int kTraces = 20'000;
  int sampled = 0;
  for (int i = 0; i < kTraces; ++i) {
    const base::InvocationId id = base::new_invocation_id();
    const TraceContext context = begin_trace(id, 0.25);
    EXPECT_EQ(context.trace, id.bytes);
    EXPECT_FALSE(begin_trace(id, 0).sampled());
    EXPECT_TRUE(begin_trace(id, 1).sampled());
    sampled += context.sampled() ? 1 : 0;
  }
  EXPECT_NEAR(sampled, kTraces / 4, 400);  // six standard deviations
}

TEST(SpanIds, AreUniqueWithTheirChildren) {
  std::set<SpanId> seen;
  for (int i = 0; i < 1000; ++i) {
    const SpanId span = new_span_id();
    seen.insert(span);
    for (unsigned child = 1; child <= 7; ++child) seen.insert(child_of(span, child));
  }
  EXPECT_EQ(seen.size(), 8000U);
}

}  // namespace
}  // namespace ebb::meter
