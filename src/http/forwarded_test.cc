// Goal: what a trusted proxy says of its client is believed, and nothing of what anybody else says.
#include "http/forwarded.h"

#include <gtest/gtest.h>

namespace ebb::http {
namespace {

std::vector<base::IpRange> trusted() { return {*base::parse_ip_range("10.0.0.0/8"), *base::parse_ip_range("fd00::1")}; }

Forwarded told(std::string peer, Headers headers) {
  Request request;
  request.peer_address = std::move(peer);
  request.headers = std::move(headers);
  return forwarded_by(request, trusted());
}

std::string client(std::string_view hops) { return told("10.1.2.3", {{"X-Forwarded-For", std::string(hops)}}).client; }

TEST(Forwarded, OfATrustedPeerOnly) {
  const Headers headers = {
      {"X-Forwarded-For", "192.0.2.7"}, {"X-Forwarded-Proto", "https"}, {"x-forwarded-host", "shop.example:8443"}};
  for (const char* peer : {"10.1.2.3", "fd00::1", "::ffff:10.1.2.3"}) {
    const Forwarded by = told(peer, headers);
    EXPECT_EQ(by.client, "192.0.2.7") << peer;
    EXPECT_EQ(by.scheme, "https") << peer;
    EXPECT_EQ(by.host, "shop.example:8443") << peer;
  }
  for (const char* peer : {"11.0.0.1", "fd00::2", "::ffff:11.0.0.1", "", "fe80::1%eth0"}) {
    const Forwarded by = told(peer, headers);
    EXPECT_EQ(by.client + by.scheme + by.host, "") << peer;
  }
  Request request;
  request.peer_address = "10.1.2.3";
  request.headers = headers;
  EXPECT_EQ(forwarded_by(request, {}).client, "") << "nobody is trusted";
}

TEST(Forwarded, TheClientIsTheRightmostWhoIsNoProxy) {
  EXPECT_EQ(client("192.0.2.7"), "192.0.2.7");
  EXPECT_EQ(client("198.51.100.1, 192.0.2.7"), "192.0.2.7") << "what is left of it anybody may have written";
  EXPECT_EQ(client("198.51.100.1,192.0.2.7 , 10.9.9.9,fd00::1"), "192.0.2.7");
  EXPECT_EQ(client("10.9.9.9, 10.8.8.8"), "10.9.9.9") << "a call from among the proxies";
  EXPECT_EQ(client("2001:DB8::0:7"), "2001:db8::7");
  EXPECT_EQ(client("::ffff:192.0.2.7"), "192.0.2.7");
  EXPECT_EQ(client("192.0.2.7:4711, [fd00::1]:80"), "192.0.2.7");
  EXPECT_EQ(client("[2001:db8::7]:4711"), "2001:db8::7");
  EXPECT_EQ(told("10.1.2.3", {{"X-Forwarded-For", "192.0.2.7"}, {"x-forwarded-for", "10.9.9.9"}}).client, "192.0.2.7");
}

TEST(Forwarded, WhatIsNoAddressIsNotBelieved) {
  for (const char* bad :
       {"", ",", "unknown", "192.0.2.7, ", "192.0.2.7, me", "192.0.2.256", "[", "[]", "_hidden", "::1::"}) {
    EXPECT_EQ(client(bad), "") << bad;
  }
  EXPECT_EQ(client("me, 10.9.9.9"), "10.9.9.9") << "the last that is known";
  EXPECT_EQ(told("10.1.2.3", {}).client, "");
}

TEST(Forwarded, OneSchemeAndOneHost) {
  const auto scheme = [](std::string text) {
    return told("10.1.2.3", {{"X-Forwarded-Proto", std::move(text)}}).scheme;
  };
  EXPECT_EQ(scheme("http"), "http");
  EXPECT_EQ(scheme(" HTTPS"), "https");
  for (const char* bad : {"", "https,http", "https, https", "ftp", "https\t://", "httpss"})
    EXPECT_EQ(scheme(bad), "") << bad;
  EXPECT_EQ(told("10.1.2.3", {{"X-Forwarded-Proto", "https"}, {"X-Forwarded-Proto", "https"}}).scheme, "");
  const auto host = [](std::string text) { return told("10.1.2.3", {{"X-Forwarded-Host", std::move(text)}}).host; };
  EXPECT_EQ(host("[2001:db8::1]:8443"), "[2001:db8::1]:8443");
  for (const char* bad : {"", "a.example, b.example", "a b", "a/b", "a\"b", "a@b"}) EXPECT_EQ(host(bad), "") << bad;
  EXPECT_EQ(host(std::string(300, 'a')), "");
  EXPECT_EQ(told("10.1.2.3", {{"X-Forwarded-Host", "a"}, {"X-Forwarded-Host", "b"}}).host, "");
}

}  // namespace
}  // namespace ebb::http
