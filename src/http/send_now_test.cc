// Goal: what the kernel takes at once is sent, in order and once; what it does not take is left, and so is an error.
// Method: a pair of connected sockets whose reader reads when the test says so.
#include "http/send_now.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <boost/asio/buffer.hpp>
#include <string>
#include <string_view>
#include <utility>

namespace ebb::http {
namespace {

namespace asio = boost::asio;

struct Pair {
  Pair() {
    std::array<int, 2> ends{};
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()), 0);
    near = ends[0];
    far = ends[1];
  }
  ~Pair() {
    ::close(near);
    if (far >= 0) ::close(far);
  }
  Pair(const Pair&) = delete;
  Pair& operator=(const Pair&) = delete;
  // All that is there now.
  std::string received() const {
    std::string all;
    std::array<char, 65'536> block;
    for (ssize_t got = 1; got > 0;) {
      got = ::recv(far, block.data(), block.size(), MSG_DONTWAIT);
      if (got > 0) all.append(block.data(), static_cast<std::size_t>(got));
    }
    return all;
  }
  int near = -1;
  int far = -1;
};

using Parts = std::array<asio::const_buffer, 5>;

TEST(SendNow, SendsAllPartsInOrderThoughSomeAreEmpty) {
  const Pair pair;
  Parts parts = {asio::buffer(std::string_view("head")), {}, asio::buffer(std::string_view("body")), {}, {}};
  EXPECT_EQ(send_now(pair.near, parts), 8u);
  EXPECT_EQ(asio::buffer_size(parts), 0u);
  EXPECT_EQ(pair.received(), "headbody");
}

TEST(SendNow, MorePartsThanItTakesAtOnceAreLeftForTheNextCall) {
  const Pair pair;
  Parts parts;
  for (asio::const_buffer& part : parts) part = asio::buffer(std::string_view("12"));
  EXPECT_EQ(send_now(pair.near, parts), 8u);
  EXPECT_EQ(asio::buffer_size(parts), 2u);
  EXPECT_EQ(send_now(pair.near, parts), 2u);
  EXPECT_EQ(pair.received(), "1212121212");
}

TEST(SendNow, WhatDoesNotFitIsLeftAndTheRestCanBeSentLater) {
  const Pair pair;
  std::string first(300'000, 'a');
  std::string second(1'000'000, '\0');
  for (std::size_t i = 0; i < second.size(); ++i) second[i] = static_cast<char>('b' + i % 23);
  Parts parts = {asio::buffer(first), asio::buffer(second), {}, {}, {}};
  const std::size_t all = first.size() + second.size();
  std::string received;
  std::size_t sent = send_now(pair.near, parts);
  EXPECT_GT(sent, 0u);
  EXPECT_LT(sent, all) << "a socket's buffer is smaller";
  EXPECT_EQ(send_now(pair.near, parts), 0u) << "it is full, and nothing waits";
  while (sent < all) {
    EXPECT_EQ(asio::buffer_size(parts), all - sent);
    received += pair.received();
    const std::size_t more = send_now(pair.near, parts);
    ASSERT_GT(more, 0u);
    sent += more;
  }
  received += pair.received();
  EXPECT_EQ(received, first + second);
}

TEST(SendNow, AnErrorIsLeftToTheWriteThatFollows) {
  Pair pair;
  ::close(std::exchange(pair.far, -1));
  Parts parts = {asio::buffer(std::string_view("nobody reads this")), {}, {}, {}, {}};
  EXPECT_EQ(send_now(pair.near, parts), 0u) << "and no signal ends the process";
  EXPECT_EQ(asio::buffer_size(parts), 17u);
}

}  // namespace
}  // namespace ebb::http
