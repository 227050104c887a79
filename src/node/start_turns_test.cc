// Goal: so many starts at a time and no more; a light app's start waits for one of a flooding app's, not for all; a
// start that hangs holds up nobody for long; what nobody waits for lets go first what somebody does. Method: coroutines
// on one context that hold their turns until told.
#include "node/start_turns.h"

#include <gtest/gtest.h>

#include <string>

#include "io/deadline.h"

namespace ebb::node {
namespace {

using namespace std::chrono_literals;

struct Room {
  io::asio::io_context context{1};
  std::shared_ptr<StartTurns> turns =
      std::make_shared<StartTurns>(2, StartTurns::Age{.others = 100ms, .own_most = 300ms}, 1000);
  std::string order;
  int under_way = 0;
  int under_way_most = 0;

  static io::Task<> start(Room& room, StartTurns::Starter starter, char name, base::Duration takes) {
    const StartTurns::Turn turn = co_await room.turns->take(starter);
    room.order += name;
    room.under_way_most = std::max(room.under_way_most, ++room.under_way);
    co_await io::sleep_for(takes);
    --room.under_way;
  }
  static io::Task<> start_ahead(Room& room, StartTurns::Place place, char name) {
    const StartTurns::Turn turn = co_await room.turns->wait(std::move(place));
    room.order += name;
    co_await io::sleep_for(2ms);
  }
  /// The number of its place.
  std::uint64_t want_ahead(std::uint32_t app, char name) {
    StartTurns::Place place = turns->line_up({.app = app}, StartTurns::Need::kAhead);
    const std::uint64_t id = place.id;
    io::spawn(context, "start", start_ahead(*this, std::move(place), name));
    return id;
  }
  void want(std::uint32_t app, char name, base::Duration takes = 2ms) {
    io::spawn(context, "start", start(*this, {.app = app}, name, takes));
  }
};

TEST(StartTurns, AreSoManyAtATime) {
  Room room;
  for (int i = 0; i < 20; ++i) room.want(1, 'a');
  room.context.run();
  EXPECT_EQ(room.order.size(), 20u);
  EXPECT_EQ(room.under_way_most, 2);
  EXPECT_EQ(room.turns->waiting(), 0u);
}

TEST(StartTurns, AreCalmWhileOneIsLeftFreeBesideAnother) {
  Room room;
  EXPECT_TRUE(room.turns->calm());
  room.want(1, 'h', 10s);
  const base::SteadyTime begun = base::steady_now();
  while (room.order.empty() && base::steady_now() - begun < 5s) room.context.run_for(1ms);
  EXPECT_FALSE(room.turns->calm()) << "one of two is taken";
  while (!room.turns->calm() && base::steady_now() - begun < 5s) room.context.run_for(10ms);
  EXPECT_TRUE(room.turns->calm()) << "it has grown old";
}

TEST(StartTurns, ALightAppWaitsForNoneOfAFlood) {
  Room room;
  for (int i = 0; i < 20; ++i) room.want(1, 'a');
  room.want(2, 'b');
  room.context.run();
  EXPECT_EQ(room.order.find('b'), 2u) << room.order;
  EXPECT_EQ(room.under_way_most, 3);
}

TEST(StartTurns, OfSeveralLightAppsOneBeginsBesideAFloodAndTheOthersWaitForAtMostOneOfItEach) {
  Room room;
  for (int i = 0; i < 20; ++i) room.want(1, 'a');
  for (const char name : {'b', 'c', 'd'}) room.want(static_cast<std::uint32_t>(name - 'a' + 1), name);
  room.want(2, 'e');  // the second of an app that has begun
  room.context.run();
  EXPECT_EQ(room.order.find('b'), 2u) << room.order;
  EXPECT_LE(room.order.find('c'), 4u) << room.order;
  EXPECT_LE(room.order.find('d'), 5u) << room.order;
  EXPECT_GT(room.order.find('e'), 2u) << room.order;
  EXPECT_EQ(room.under_way_most, 3);
}

TEST(StartTurns, WhatIsAwaitedGoesBeforeWhatIsAhead) {
  Room room;
  for (int i = 0; i < 12; ++i) room.want_ahead(1, 'p');  // two begin at once
  room.want(1, 'c');
  room.want(2, 'd');
  EXPECT_EQ(room.turns->waiting(), 10u) << "tasks begin with the context";
  room.context.run();
  EXPECT_EQ(room.order.size(), 14u) << "and nobody is forgotten";
  EXPECT_EQ(room.order.substr(0, 4), "ppdc") << "the other app's begins beside them";
  EXPECT_EQ(room.turns->waiting(), 0u);
}

TEST(StartTurns, WhatIsAheadAndIsWantedNowGoesBeforeTheRest) {
  Room room;
  for (int i = 0; i < 6; ++i) room.want_ahead(1, 'p');
  const std::uint64_t called = room.want_ahead(1, 'c');
  const std::uint64_t of_another = room.want_ahead(2, 'd');
  room.turns->hurry(1, called);
  room.turns->hurry(1, called);  // by its next call
  room.turns->hurry(2, of_another);
  room.turns->hurry(2, 1);  // has its turn
  room.context.run();
  EXPECT_EQ(room.order, "ppdcpppp") << "the other app's begins beside them";
}

TEST(StartTurns, WhatIsAheadGetsOneTurnOfSoMany) {
  Room room;
  for (int i = 0; i < 2; ++i) room.want_ahead(1, 'x');  // both turns are taken
  for (int i = 0; i < 3; ++i) room.want_ahead(1, 'p');
  for (int i = 0; i < 40; ++i) room.want(2, 'a');
  room.context.run();
  constexpr std::size_t kBegun = 3;  // at once: both, and the other app's first beside them
  for (std::size_t at = 0, number = 1; number <= 3; ++number) {
    at = room.order.find('p', at) + 1;
    EXPECT_LE(at, kBegun + number * StartTurns::kAheadEvery) << room.order;
    EXPECT_GT(at, kBegun + (number - 1) * StartTurns::kAheadEvery) << room.order;
  }
}

TEST(StartTurns, AStartThatHangsHoldsUpNobodyForLong) {
  Room room;
  room.want(1, 'h', 10s);
  room.want(1, 'h', 10s);
  room.want(2, 'h', 10s);  // beside them
  room.want(3, 'b');
  const base::SteadyTime begun = base::steady_now();
  while (room.order.find('b') == std::string::npos && base::steady_now() - begun < 5s) room.context.run_for(10ms);
  EXPECT_EQ(room.order, "hhhb");
  EXPECT_GE(base::steady_now() - begun, 100ms);
}

TEST(StartTurns, AStartThatTakesLongAsARuleHasItsTurnForLonger) {
  const auto begun_by_150_ms = [](base::Duration usual) {
    Room room;
    for (int i = 0; i < 3; ++i)
      io::spawn(room.context, "start", Room::start(room, {.app = 1, .usual = usual}, 'p', 10s));
    const base::SteadyTime begun = base::steady_now();
    while (base::steady_now() - begun < 150ms) room.context.run_for(10ms);
    const std::size_t begun_by_then = room.order.size();
    room.want(2, 'a');
    room.context.run_for(5ms);
    EXPECT_EQ(room.order.back(), 'a') << "another app is not held up by it for so long";
    return begun_by_then;
  };
  EXPECT_EQ(begun_by_150_ms(80ms), 2u) << "160 ms are its time";
  EXPECT_EQ(begun_by_150_ms(1ms), 3u);
  Room room;
  for (int i = 0; i < 3; ++i) io::spawn(room.context, "start", Room::start(room, {.app = 1, .usual = 10s}, 'p', 10s));
  const base::SteadyTime begun = base::steady_now();
  while (room.order.size() < 3 && base::steady_now() - begun < 5s) room.context.run_for(10ms);
  EXPECT_GE(base::steady_now() - begun, 300ms) << "and no longer, whatever it usually takes";
  EXPECT_EQ(room.order.size(), 3u);
}

TEST(StartTurns, AFullQueueTurnsNobodyAway) {
  Room room;
  const auto narrow = std::make_shared<StartTurns>(1, StartTurns::Age{.others = 100ms, .own_most = 100ms}, 1);
  int given = 0;
  const auto take = [](StartTurns& turns, int& count) -> io::Task<> {
    const StartTurns::Starter starter{.app = 1};
    const StartTurns::Turn turn = co_await turns.take(starter);
    ++count;
    co_await io::sleep_for(20ms);
  };
  for (int i = 0; i < 3; ++i) io::spawn(room.context, "start", take(*narrow, given));
  room.context.run_for(10ms);
  EXPECT_EQ(given, 2) << "one under way, one waits, the third finds no room to wait";
  room.context.run();
  EXPECT_EQ(given, 3);
}

}  // namespace
}  // namespace ebb::node
