// Goal: slices never meet, and the rules name what they must. The rules themselves are attacked by
// tests/security/test_network.py.
#include "launcher/network_rules.h"

#include <gtest/gtest.h>

namespace ebb::launcher {
namespace {

TEST(NetworkRules, SlicesOfThePools) {
  const EgressOptions options;
  ASSERT_EQ(slice_count(options), 64u);
  const EgressSlice first = slice_of(options, 0);
  const EgressSlice second = slice_of(options, 1);
  EXPECT_EQ(base::to_string(first.range4), "198.18.0.0/21");
  EXPECT_EQ(base::to_string(second.range4), "198.18.8.0/21");
  EXPECT_EQ(base::to_string(second.range6), "fd65:6262::1:0/112");
  EXPECT_EQ(base::to_string(slice_of(options, 63).address4(kFirstSandbox)), "198.19.248.4");
  EXPECT_EQ(first.last_sandbox(), 2046u);
  for (std::uint32_t i = 1; i < slice_count(options); ++i) {
    EXPECT_FALSE(slice_of(options, i).range4.overlaps(slice_of(options, i - 1).range4));
    EXPECT_TRUE(options.pool4.contains(slice_of(options, i).range4));
    EXPECT_TRUE(options.pool6.contains(slice_of(options, i).range6));
  }
  EgressOptions small;
  small.pool4 = *base::parse_ip_range("10.9.8.0/24");
  ASSERT_EQ(slice_count(small), 1u);
  EXPECT_EQ(slice_of(small, 0).last_sandbox(), 254u);
}

TEST(NetworkRules, WhatMakesAnInterfaceForwardKeepsOthersFromIt) {
  const EgressSlice slice = slice_of({}, 0);
  EXPECT_EQ(host_rules("ebb12345678", slice, {}).find("eth0"), std::string::npos);
  const std::string rules =
      host_rules("ebb12345678", slice, {{.setting = "", .name = "eth0", .family = base::IpFamily::kV6}});
  EXPECT_NE(rules.find("iifname \"eth0\" oifname != \"ebb*\" meta nfproto ipv6 drop"), std::string::npos);
  EXPECT_NE(rules.find("table inet ebb_12345678"), std::string::npos);
}

}  // namespace
}  // namespace ebb::launcher
