// Goal: questions and answers are read strictly, and only addresses of the asked name count. Method: messages written
// by hand, with compression, aliases, foreign records, loops and every truncation.
#include "node/dns_message.h"

#include <gtest/gtest.h>

#include <random>

#include "base/limits.h"
#include "node/resolver.h"

namespace ebb::node {
namespace {

std::string word(unsigned value) { return {static_cast<char>(value >> 8), static_cast<char>(value & 0xff)}; }

std::string name(std::initializer_list<std::string> labels) {
  std::string out;
  for (const std::string& label : labels) out += static_cast<char>(label.size()) + label;
  return out + '\0';
}

std::string record(const std::string& owner, unsigned type, unsigned seconds, const std::string& data) {
  return owner + word(type) + word(1) + word(0) + word(seconds) + word(static_cast<unsigned>(data.size())) + data;
}

std::string response(unsigned id, const std::string& question, const std::vector<std::string>& records,
                     unsigned flags = 0x8180) {
  std::string out = word(id) + word(flags) + word(1) + word(static_cast<unsigned>(records.size())) + word(0) + word(0);
  out += question;
  for (const std::string& one : records) out += one;
  return out;
}

const std::string kAsked = name({"api", "example"}) + word(1) + word(1);
const std::string kPointer = "\xc0\x0c";
const std::string kAddress("\xcb\x00\x71\x07", 4);

TEST(DnsMessage, QueriesGoRound) {
  const std::string query =
      word(9) + word(0x0100) + word(1) + word(0) + word(0) + word(0) + name({"API", "Example"}) + word(28) + word(1);
  const auto question = parse_dns_query(query);
  ASSERT_TRUE(question);
  EXPECT_EQ(question->name, "api.example");
  EXPECT_EQ(question->type, 28);
  EXPECT_EQ(question->udp_bytes, 512);
  const auto sent = parse_dns_query(encode_dns_query(*question, 77));
  ASSERT_TRUE(sent);
  EXPECT_EQ(sent->id, 77);
  EXPECT_EQ(sent->name, "api.example");
  EXPECT_EQ(sent->udp_bytes, 1232);
  for (std::size_t size = 0; size < query.size(); ++size) EXPECT_FALSE(parse_dns_query(query.substr(0, size))) << size;
}

TEST(DnsMessage, WhatIsNoQuestionIsRefused) {
  const auto of = [](unsigned flags, unsigned questions, const std::string& rest) {
    return word(9) + word(flags) + word(questions) + word(0) + word(0) + word(0) + rest;
  };
  EXPECT_FALSE(parse_dns_query(of(0x8100, 1, kAsked)));                                  // a response
  EXPECT_FALSE(parse_dns_query(of(0x2900, 1, kAsked)));                                  // an update
  EXPECT_FALSE(parse_dns_query(of(0x0100, 2, kAsked + kAsked)));                         // two
  EXPECT_FALSE(parse_dns_query(of(0x0100, 1, name({"a"}) + word(1) + word(3))));         // class CHAOS
  EXPECT_FALSE(parse_dns_query(of(0x0100, 1, "\xc0\x0c" + word(1) + word(1))));          // points at itself
  EXPECT_FALSE(parse_dns_query(of(0x0100, 1, name({"a.b", "c"}) + word(1) + word(1))));  // a dot in a label
  std::string longest;
  for (int i = 0; i < 5; ++i) longest += static_cast<char>(63) + std::string(63, 'a');
  EXPECT_FALSE(parse_dns_query(of(0x0100, 1, longest + '\0' + word(1) + word(1))));  // 320 bytes
}

TEST(DnsMessage, AddressesOfTheNameAndItsAliasesOnly) {
  const DnsQuestion question{.id = 1, .name = "api.example", .type = 1};
  const auto plain = parse_dns_answer(response(5, kAsked, {record(kPointer, 1, 300, kAddress)}), question, 5);
  ASSERT_TRUE(plain);
  ASSERT_EQ(plain->addresses.size(), 1u);
  EXPECT_EQ(base::to_string(plain->addresses[0]), "203.0.113.7");
  EXPECT_EQ(plain->seconds, 300u);

  const auto alias = parse_dns_answer(
      response(5, kAsked,
               {record(kPointer, 5, 20, name({"cdn", "test"})), record(name({"cdn", "test"}), 1, 300, kAddress)}),
      question, 5);
  ASSERT_TRUE(alias);
  EXPECT_EQ(alias->addresses.size(), 1u);
  EXPECT_EQ(alias->seconds, 20u);

  const auto foreign =
      parse_dns_answer(response(5, kAsked, {record(name({"evil", "test"}), 1, 300, kAddress)}), question, 5);
  ASSERT_TRUE(foreign);
  EXPECT_TRUE(foreign->addresses.empty());
}

TEST(DnsMessage, OtherAnswersAreRefused) {
  const DnsQuestion question{.id = 1, .name = "api.example", .type = 1};
  const std::string good = response(5, kAsked, {record(kPointer, 1, 300, kAddress)});
  EXPECT_FALSE(parse_dns_answer(good, question, 6));
  EXPECT_FALSE(parse_dns_answer(good, {.id = 1, .name = "other", .type = 1}, 5));
  EXPECT_FALSE(parse_dns_answer(good, {.id = 1, .name = "api.example", .type = 28}, 5));
  for (std::size_t size = 0; size < good.size(); ++size) {
    EXPECT_FALSE(parse_dns_answer(good.substr(0, size), question, 5)) << size;
  }
  std::vector<std::string> many(limits::kDnsAddresses * 3, record(kPointer, 1, 300, kAddress));
  EXPECT_EQ(parse_dns_answer(response(5, kAsked, many), question, 5)->addresses.size(), limits::kDnsAddresses);
  std::mt19937 random(3);
  for (int i = 0; i < 20'000; ++i) {  // ASan watches
    std::string flipped = good;
    for (int j = 0; j < 3; ++j) flipped[random() % flipped.size()] = static_cast<char>(random());
    static_cast<void>(parse_dns_answer(flipped, question, 5));
    static_cast<void>(parse_dns_query(flipped));
    static_cast<void>(dns_error(flipped, DnsStatus::kRefused));
  }
}

TEST(DnsMessage, ErrorsRepeatTheQuestion) {
  const std::string query = word(9) + word(0x0100) + word(1) + word(0) + word(0) + word(0) + kAsked;
  const std::string refused = dns_error(query, DnsStatus::kRefused);
  EXPECT_EQ(refused, word(9) + word(0x8185) + word(1) + word(0) + word(0) + word(0) + kAsked);
  EXPECT_EQ(dns_truncated(query).substr(2, 2), word(0x8380));
  EXPECT_EQ(with_dns_id(query, 0x0102).substr(0, 2), word(0x0102));
}

TEST(Resolver, ReadsNameservers) {
  const auto found = resolvers_in(
      "# nameserver 192.0.2.1\nsearch example\nnameserver 192.0.2.53 # office\nnameserver\t2001:db8::53\n"
      "nameserver bad\nnameserver 192.0.2.54\nnameserver 192.0.2.55");
  ASSERT_EQ(found.size(), 3u);
  EXPECT_EQ(base::to_string(found[1]), "2001:db8::53");
  EXPECT_EQ(base::to_string(found[2]), "192.0.2.54");
}

}  // namespace
}  // namespace ebb::node
