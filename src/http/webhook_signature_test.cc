// Webhook signatures against the example of the specification, and secrets that are none.
#include "http/webhook_signature.h"

#include <gtest/gtest.h>

namespace ebb::http {
namespace {

TEST(WebhookSignature, IsThatOfTheSpecificationsExample) {
  const auto secret = parse_webhook_secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
  ASSERT_TRUE(secret);
  EXPECT_EQ(webhook_signature(*secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, R"({"test": 2432232314})"),
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
}

TEST(WebhookSignature, ASecretThatIsNoneIsRefusedAndNotShown) {
  for (const char* bad : {"", "whsec_", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_short", "whsec_MfKQ9r8GKYqr",
                          "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLa!!"}) {
    const auto refused = parse_webhook_secret(bad);
    ASSERT_FALSE(refused) << bad;
    EXPECT_EQ(refused.error().message.find("MfKQ"), std::string::npos);
  }
}

TEST(WebhookSignature, NewSecretsAreGoodAndDiffer) {
  const auto one = new_webhook_secret();
  const auto other = new_webhook_secret();
  ASSERT_TRUE(one && other);
  EXPECT_NE(*one, *other);
  const auto bytes = parse_webhook_secret(*one);
  ASSERT_TRUE(bytes) << bytes.error().message;
  EXPECT_EQ(bytes->size(), 32u);
}

}  // namespace
}  // namespace ebb::http
