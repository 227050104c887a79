// Goal: an allow-list says exactly what it seems to say. Method: tables of accepted and refused entries.
#include "model/egress_rule.h"

#include <gtest/gtest.h>

#include <boost/json/object.hpp>

#include "model/config.h"
#include "model/manifest.h"

namespace ebb::model {
namespace {

TEST(EgressRule, GoesRound) {
  for (const char* text : {"api.example.com", "*.example.com", "api.example.com:443", "192.0.2.0/24", "192.0.2.1:80",
                           "2001:db8::/32", "2001:db8::1", "[2001:db8::1]:443", "*.example.com:8443"}) {
    const auto rule = parse_egress_rule(text);
    ASSERT_TRUE(rule) << text;
    EXPECT_EQ(to_string(*rule), text);
  }
  EXPECT_EQ(to_string(*parse_egress_rule("API.Example.com.")), "api.example.com");
  for (const char* text : {"", "*", "*.", "a..b", "http://a", "a/b", "a:0", "a:65536", "a:x", "a:", "1.2.3",
                           "1.2.3.4.5", "300.1.1.1", "[2001:db8::1", "[192.0.2.1]:4", "a b", "192.0.2.1/24", "a*.b"}) {
    EXPECT_FALSE(parse_egress_rule(text)) << text;
  }
}

TEST(EgressRule, NamesAreCoveredWhole) {
  EXPECT_TRUE(parse_egress_rule("example.com")->covers_name("example.com"));
  EXPECT_FALSE(parse_egress_rule("example.com")->covers_name("api.example.com"));
  EXPECT_FALSE(parse_egress_rule("example.com")->covers_name("notexample.com"));
  EXPECT_TRUE(parse_egress_rule("*.example.com")->covers_name("a.b.example.com"));
  EXPECT_FALSE(parse_egress_rule("*.example.com")->covers_name("example.com"));
  EXPECT_FALSE(parse_egress_rule("*.example.com")->covers_name("badexample.com"));
  EXPECT_FALSE(parse_egress_rule("192.0.2.1")->covers_name(""));
}

TEST(EgressRule, ManifestSaysItForAFunctionOrForAll) {
  const auto manifest = parse_manifest(
      "app: a\nnetwork: {egress: [api.example.com]}\nfunctions:\n  f: {handler: a.b}\n"
      "  g: {handler: a.b, network: none}\n  h: {handler: a.b, network: {egress: [\"192.0.2.0/24:443\", b.example]}}\n"
      "  i: {handler: a.b, network: egress}\n");
  ASSERT_TRUE(manifest) << manifest.error().message;
  EXPECT_EQ(manifest->functions[0].egress.size(), 1u);
  EXPECT_EQ(manifest->functions[1].network, Network::kNone);
  EXPECT_EQ(to_string(manifest->functions[2].egress[0]), "192.0.2.0/24:443");
  EXPECT_TRUE(manifest->functions[3].egress.empty());
  for (const FunctionSpec& spec : manifest->functions) EXPECT_EQ(function_spec_from_json(to_json(spec)).value(), spec);
  const auto error = [](const std::string& network) {
    const auto parsed = parse_manifest("app: a\nfunctions:\n  f: {handler: a.b, network: " + network + "}\n");
    return parsed ? std::string() : parsed.error().message;
  };
  EXPECT_NE(error("{egres: [a]}").find("did you mean egress"), std::string::npos) << error("{egres: [a]}");
  EXPECT_NE(error("{egress: []}").find("must be a list"), std::string::npos);
  EXPECT_NE(error("{egress: [\"a b\"]}").find("functions.f.network.egress"), std::string::npos);
}

TEST(EgressRule, ConfigurationGoesRound) {
  const auto config = parse_config(
      "egress_allow_private: [10.20.0.0/16, \"fd12:3456::/32\"]\negress_resolvers: [192.0.2.53]\n"
      "egress_ipv4: 100.127.0.0/16\n");
  ASSERT_TRUE(config) << config.error().message;
  EXPECT_EQ(parse_config(effective_config_yaml(*config)).value(), *config);
  EXPECT_FALSE(parse_config("egress_allow_private: [10.0.0.1/8]"));
  EXPECT_FALSE(parse_config("egress_ipv4: 10.0.0.0/25"));
  EXPECT_FALSE(parse_config("egress_ipv6: 10.0.0.0/8"));
  EXPECT_FALSE(parse_config("egress_resolvers: [a, b, c, d]"));
}

}  // namespace
}  // namespace ebb::model
