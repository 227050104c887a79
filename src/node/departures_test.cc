// Goal: a start that finds no room waits for who is on its way out, and only then. Method: waits on a loop of their
// own.
#include "node/departures.h"

#include <gtest/gtest.h>

#include <optional>

#include "io/deadline.h"

namespace ebb::node {
namespace {

using namespace std::chrono_literals;

struct Waiting {
  io::asio::io_context context;
  Departures departures;
  std::optional<bool> answer;

  void begin(std::uint64_t seen, base::Duration limit) {
    const auto wait = [](Waiting& self, std::uint64_t before, base::SteadyTime until) -> io::Task<> {
      self.answer = co_await self.departures.more_than(before, until);
    };
    io::spawn(context, "wait", wait(*this, seen, base::steady_now() + limit));
    context.run_for(20ms);
  }
};

TEST(Departures, NobodyIsWaitedForWhereNobodyLeaves) {
  Waiting waiting;
  waiting.begin(0, 60s);
  EXPECT_EQ(waiting.answer, false);
}

TEST(Departures, WhoWaitsHearsOfTheNext) {
  Waiting waiting;
  waiting.departures.leaving();
  waiting.departures.leaving();
  waiting.begin(0, 60s);
  EXPECT_EQ(waiting.answer, std::nullopt);
  waiting.departures.gone();
  waiting.context.run_for(5s);
  EXPECT_EQ(waiting.answer, true);
}

TEST(Departures, OneThatWentSinceOneLookedIsNotMissed) {
  Waiting waiting;
  const std::uint64_t seen = waiting.departures.so_far();
  waiting.departures.leaving();
  waiting.departures.gone();
  waiting.begin(seen, 60s);
  EXPECT_EQ(waiting.answer, true);
}

TEST(Departures, TheWaitHasALimit) {
  Waiting waiting;
  waiting.departures.leaving();
  waiting.begin(0, 1ms);
  waiting.context.run_for(5s);
  EXPECT_EQ(waiting.answer, false);
  waiting.departures.gone();  // which finds nobody that waits any more
}

}  // namespace
}  // namespace ebb::node
