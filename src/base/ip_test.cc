// Goal: addresses are read strictly and ranges hold exactly what their prefix says. Method: tables of both families.
#include "base/ip.h"

#include <gtest/gtest.h>

namespace ebb::base {
namespace {

TEST(Ip, IsReadStrictly) {
  for (const char* text : {"192.0.2.1", "0.0.0.0", "2001:db8::1", "::", "::ffff:192.0.2.1"}) {
    const auto address = parse_ip(text);
    ASSERT_TRUE(address) << text;
    EXPECT_EQ(to_string(*address), text);
  }
  for (const char* text : {"", "1.2.3", "1.2.3.4.5", "010.0.0.1", "0x7f.0.0.1", "2130706433", "1.2.3.4 ",
                           "fe80::1%eth0", "[::1]", "a", "1:2:3:4:5:6:7:8:9"}) {
    EXPECT_FALSE(parse_ip(text)) << text;
  }
}

TEST(Ip, RangesHoldWhatTheirPrefixSays) {
  const IpRange ten = *parse_ip_range("10.0.0.0/8");
  EXPECT_TRUE(ten.contains(*parse_ip("10.255.0.1")));
  EXPECT_FALSE(ten.contains(*parse_ip("11.0.0.0")));
  EXPECT_TRUE(ten.contains(*parse_ip_range("10.2.0.0/16")));
  EXPECT_FALSE(parse_ip_range("10.2.0.0/16")->contains(ten));
  EXPECT_TRUE(parse_ip_range("10.2.0.0/16")->overlaps(ten));
  EXPECT_EQ(to_string(ten.last()), "10.255.255.255");
  const IpRange local = *parse_ip_range("fe80::/10");
  EXPECT_TRUE(local.contains(*parse_ip("febf::1")));
  EXPECT_FALSE(local.contains(*parse_ip("fec0::1")));
  EXPECT_FALSE(parse_ip_range("0.0.0.0/0")->contains(*parse_ip("::ffff:1.2.3.4")));
  EXPECT_EQ(to_string(*parse_ip_range("192.0.2.7")), "192.0.2.7");
  for (const char* text : {"10.0.0.1/8", "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/x", "::/129", "2001:db8::1/64"}) {
    EXPECT_FALSE(parse_ip_range(text)) << text;
  }
}

TEST(Ip, MappedAddressesAndCounting) {
  EXPECT_EQ(unmapped(*parse_ip("::ffff:10.0.0.1")), *parse_ip("10.0.0.1"));
  EXPECT_EQ(unmapped(*parse_ip("::fffe:10.0.0.1")), *parse_ip("::fffe:10.0.0.1"));
  EXPECT_EQ(to_string(nth(*parse_ip("198.18.7.250"), 10)), "198.18.8.4");
  EXPECT_EQ(to_string(nth(*parse_ip("fd00::"), 0x10002)), "fd00::1:2");
  EXPECT_EQ(to_string(ipv4(0xc0000201)), "192.0.2.1");
}

}  // namespace
}  // namespace ebb::base
