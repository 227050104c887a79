// Goal: what goes through a channel, an output pipe and the launcher socket arrives whole, bounded and at the right
// address. Method: real sockets and pipes, the other end played by the test.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <array>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/use_future.hpp>
#include <future>
#include <thread>

#include "base/limits.h"
#include "base/limits_held.h"
#include "io/cores.h"
#include "os/seqpacket.h"
#include "sandbox/channel.h"
#include "sandbox/launcher_client.h"
#include "sandbox/output_pipe.h"

namespace ebb::sandbox {
namespace {

using namespace std::chrono_literals;
namespace asio = io::asio;

std::array<os::Fd, 2> stream_pair() {
  std::array<int, 2> ends{};
  EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()), 0);
  return {os::Fd(ends[0]), os::Fd(ends[1])};
}

void write_all(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent <= 0) return;
    bytes.remove_prefix(static_cast<std::size_t>(sent));
  }
}

std::string frame_bytes(wire::FrameType type, std::string_view meta, std::string_view body,
                        base::InvocationId id = {}) {
  const auto head = wire::encode({.type = type,
                                  .meta_bytes = static_cast<std::uint32_t>(meta.size()),
                                  .body_bytes = body.size(),
                                  .invocation = id});
  return std::string(head.data(), head.size()) + std::string(meta) + std::string(body);
}

// Runs one coroutine to its end on a core of its own and hands out its value.
template <typename T>
T run(io::Task<T> task, asio::io_context& context) {
  auto value = asio::co_spawn(context, std::move(task), asio::use_future);
  context.restart();
  context.run_for(20s);
  EXPECT_EQ(value.wait_for(0s), std::future_status::ready);
  return value.get();
}

TEST(Channel, AdjacentFramesAndFramesInPiecesArriveWhole) {
  asio::io_context context;
  auto ends = stream_pair();
  Channel channel(std::move(ends[0]));
  ASSERT_TRUE(channel.move_to(context));
  const base::InvocationId id = base::new_invocation_id();
  const std::string bytes = frame_bytes(wire::FrameType::kReady, "{}", "") +
                            frame_bytes(wire::FrameType::kResult, R"({"status":200})", "body", id);
  std::thread peer([&] {
    for (const char c : bytes) write_all(ends[1].get(), std::string_view(&c, 1));
  });
  const auto first = run(channel.receive(), context);
  const auto second = run(channel.receive(), context);
  peer.join();
  ASSERT_TRUE(first);
  ASSERT_TRUE(second);
  EXPECT_EQ(first->header.type, wire::FrameType::kReady);
  EXPECT_EQ(second->header.invocation, id);
  EXPECT_EQ(second->meta, R"({"status":200})");
  EXPECT_EQ(second->body, "body");
}

TEST(Channel, ALargestBodyGoesBothWays) {
  asio::io_context context, other;  // before the channels: they outlive them
  auto ends = stream_pair();
  Channel here(std::move(ends[0]));
  Channel there(std::move(ends[1]));
  ASSERT_TRUE(here.move_to(context));
  ASSERT_TRUE(there.move_to(other));
  std::string body(limits::kHttpBodyBytes, 'x');
  body[12345] = 'y';
  auto received = std::async(std::launch::async, [&] { return run(there.receive(), other); });
  const auto sent = run(here.send({.type = wire::FrameType::kInvoke}, R"({"kind":"direct"})", body), context);
  const auto frame = received.get();
  ASSERT_TRUE(sent);
  ASSERT_TRUE(frame);
  EXPECT_TRUE(frame->body == body);
}

TEST(Channel, MovesBetweenCoresWithoutLosingBufferedBytes) {
  asio::io_context first, second;
  auto ends = stream_pair();
  Channel channel(std::move(ends[0]));
  write_all(ends[1].get(),
            frame_bytes(wire::FrameType::kReady, "{}", "") + frame_bytes(wire::FrameType::kReady, "{\"a\":1}", ""));
  ASSERT_TRUE(channel.move_to(first));
  ASSERT_TRUE(run(channel.receive(), first));
  ASSERT_TRUE(channel.move_to(second));
  const auto frame = run(channel.receive(), second);
  ASSERT_TRUE(frame);
  EXPECT_EQ(frame->meta, "{\"a\":1}");
}

TEST(Channel, AHostilePeerIsAnErrorNotAnAllocation) {
  asio::io_context context;
  for (const std::string& bytes : {std::string(64, 'z'), frame_bytes(wire::FrameType::kReady, "", "").substr(0, 31)}) {
    auto ends = stream_pair();
    Channel channel(std::move(ends[0]));
    ASSERT_TRUE(channel.move_to(context));
    write_all(ends[1].get(), bytes);
    ends[1].reset();
    EXPECT_FALSE(run(channel.receive(), context));
  }
}

TEST(Channel, ABodyThatFindsNoRoomIsRefusedBeforeItTakesAny) {
  asio::io_context context;
  auto ends = stream_pair();
  Channel channel(std::move(ends[0]));
  ASSERT_TRUE(channel.move_to(context));
  Holdings answers(kAnswerBounds);
  HeldAnswer others(answers.of("app")), held(answers.of("app"));
  ASSERT_TRUE(others.grow_to(limits::kAnswerBytesPerApp - (1 << 20)));
  const std::string bytes = frame_bytes(wire::FrameType::kResult, "{}", std::string(2 << 20, 'x'));
  std::thread peer([&] { write_all(ends[1].get(), bytes); });
  Frame frame;
  const auto received = run(channel.receive_into(frame, &held), context);
  channel.shut_down();
  peer.join();
  ASSERT_FALSE(received);
  EXPECT_EQ(received.error().code, base::Code::kTooLarge);
  EXPECT_LE(frame.body.capacity(), std::size_t{1} << 20);
}

TEST(Channel, AnAnnouncedBodyTakesMemoryOnlyAsItComes) {
  const std::string whole = frame_bytes(wire::FrameType::kResult, "{}", std::string(limits::kHttpBodyBytes, 'x'));
  const std::size_t header = whole.size() - limits::kHttpBodyBytes;
  for (const std::size_t sent : {std::size_t{0}, std::size_t{1} << 20}) {
    asio::io_context context;
    auto ends = stream_pair();
    Channel channel(std::move(ends[0]));
    ASSERT_TRUE(channel.move_to(context));
    Frame frame;
    std::thread peer([&] {
      write_all(ends[1].get(), std::string_view(whole).substr(0, header + sent));
      ends[1].reset();
    });
    EXPECT_FALSE(run(channel.receive_into(frame), context));
    peer.join();
    EXPECT_LE(frame.body.capacity(), 2 * sent + 256 * 1024);
  }
}

TEST(Channel, APeerThatHasGoneIsUnavailableBothWays) {
  asio::io_context context;
  auto ends = stream_pair();
  Channel channel(std::move(ends[0]));
  ASSERT_TRUE(channel.move_to(context));
  ends[1].reset();
  EXPECT_EQ(run(channel.receive(), context).error().code, base::Code::kUnavailable);
  EXPECT_EQ(run(channel.send({.type = wire::FrameType::kInvoke}, "{}", "x"), context).error().code,
            base::Code::kUnavailable);
}

struct Printed {
  base::InvocationId id;
  std::string line;
};

TEST(OutputPipe, WordsBelongToTheInvocationThatWroteThem) {
  asio::io_context context;
  std::vector<Printed> printed;
  os::Fd end;
  auto pipe = OutputPipe::open(
      context,
      [&](const base::InvocationId& id, const std::vector<std::string>& lines) {
        for (const auto& line : lines) printed.push_back({id, line});
      },
      &end);
  ASSERT_TRUE(pipe);
  const auto first = base::new_invocation_id(), second = base::new_invocation_id();
  (*pipe)->begin(first);
  ASSERT_GT(::write(end.get(), "one\ntwo", 7), 0);
  EXPECT_EQ((*pipe)->finish(), 0u);
  (*pipe)->begin(second);
  ASSERT_GT(::write(end.get(), "three\n", 6), 0);
  EXPECT_EQ((*pipe)->finish(), 0u);
  ASSERT_EQ(printed.size(), 3u);
  EXPECT_EQ(printed[1].line, "two");
  EXPECT_EQ(printed[1].id, first);
  EXPECT_EQ(printed[2].line, "three");
  EXPECT_EQ(printed[2].id, second);
  (*pipe)->close();
  context.run_for(1s);
}

TEST(OutputPipe, AFloodIsReadKeptToItsBoundAndCounted) {
  asio::io_context context;
  std::size_t kept = 0, longest = 0;
  std::vector<std::string> rest;
  os::Fd end;
  auto pipe = OutputPipe::open(
      context,
      [&](const base::InvocationId&, const std::vector<std::string>& lines) {
        for (const auto& line : lines) kept += line.size(), longest = std::max(longest, line.size());
      },
      &end, [&](const std::vector<std::string>& lines) { rest.insert(rest.end(), lines.begin(), lines.end()); });
  ASSERT_TRUE(pipe);
  (*pipe)->begin(base::new_invocation_id());
  static constexpr std::string_view kEnd = "\nthe reason\nand no end of line";
  constexpr std::size_t kFlood = 3 * limits::kLogBytesPerInvocation;
  constexpr std::size_t kWritten = kFlood + kEnd.size();
  std::thread writer([fd = std::move(end)] {
    const std::string block(64 * 1024, 'a');
    for (std::size_t sent = 0; sent < kFlood; sent += block.size()) {
      if (::write(fd.get(), block.data(), block.size()) != static_cast<ssize_t>(block.size())) return;
    }
    EXPECT_EQ(::write(fd.get(), kEnd.data(), kEnd.size()), static_cast<ssize_t>(kEnd.size()));
  });
  context.run_for(20s);  // ends when the writer has closed
  writer.join();
  EXPECT_EQ((*pipe)->finish(), kWritten - limits::kLogBytesPerInvocation);
  EXPECT_EQ(kept, limits::kLogBytesPerInvocation);
  EXPECT_EQ(longest, limits::kLogLineBytes);
  EXPECT_THAT(rest, testing::IsSupersetOf({"the reason", "and no end of line"}));
  EXPECT_EQ(rest.back(), "and no end of line");
  (*pipe)->close();
}

class LauncherSide {
 public:
  LauncherSide() {
    auto pair = os::seqpacket_pair();
    EXPECT_TRUE(pair);
    end_ = std::move(pair->first);
    client = LauncherClient::start(
        context, std::move(pair->second), [this](const wire::Exited& event) { exits.push_back(event.id); },
        [this] { lost = true; });
  }
  wire::Message take() {
    for (int i = 0; i < 2000; ++i) {
      context.restart();
      context.run_for(1ms);
      auto received = os::recv_message(end_);
      if (received && *received && !(*received)->bytes.empty()) return *wire::decode_message((*received)->bytes);
    }
    ADD_FAILURE() << "no request came";
    return {};
  }
  void answer(wire::LauncherType type, std::uint64_t id, std::string payload) {
    EXPECT_TRUE(os::send_message(
        end_, wire::encode(
                  wire::Message{.type = static_cast<std::uint16_t>(type), .id = id, .payload = std::move(payload)})));
  }
  void die() { end_.reset(); }

  asio::io_context context;
  std::shared_ptr<LauncherClient> client;
  std::vector<std::uint64_t> exits;
  bool lost = false;

 private:
  os::Fd end_;
};

TEST(LauncherClient, AnswersFindTheirAskersInAnyOrder) {
  LauncherSide launcher;
  auto first = asio::co_spawn(launcher.context,
                              launcher.client->ask(wire::LauncherType::kKill, encode(wire::Kill{}), {}, 10s, nullptr),
                              asio::use_future);
  auto second = asio::co_spawn(
      launcher.context,
      launcher.client->ask(wire::LauncherType::kDropVersion, encode(wire::DropVersion{}), {}, 10s, nullptr),
      asio::use_future);
  const wire::Message a = launcher.take();
  const wire::Message b = launcher.take();
  EXPECT_NE(a.id, b.id);
  launcher.answer(wire::LauncherType::kFailed, b.id,
                  encode(wire::Failed{.code = base::Code::kNotFound, .message = "no such version"}));
  launcher.answer(wire::LauncherType::kExited, 0, encode(wire::Exited{.id = 42}));
  launcher.answer(wire::LauncherType::kDone, a.id, "");
  for (int i = 0; i < 1000 &&
                  (first.wait_for(0s) != std::future_status::ready || second.wait_for(0s) != std::future_status::ready);
       ++i) {
    launcher.context.restart();
    launcher.context.run_for(1ms);
  }
  EXPECT_TRUE(first.get());
  const auto failed = second.get();
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().code, base::Code::kNotFound);
  EXPECT_EQ(launcher.exits, std::vector<std::uint64_t>{42});
}

TEST(LauncherClient, WhoStopsWaitingIsNotToldOfADeadline) {
  LauncherSide launcher;
  asio::cancellation_signal leaves;
  auto asked = asio::co_spawn(
      launcher.context,
      launcher.client->ask(wire::LauncherType::kOpenSockets, encode(wire::OpenSockets{}), {}, 60s, nullptr),
      asio::bind_cancellation_slot(leaves.slot(), asio::use_future));
  launcher.take();
  leaves.emit(asio::cancellation_type::terminal);
  for (int i = 0; i < 1000 && asked.wait_for(0s) != std::future_status::ready; ++i) {
    launcher.context.restart();
    launcher.context.run_for(1ms);
  }
  ASSERT_EQ(asked.wait_for(0s), std::future_status::ready);
  EXPECT_EQ(asked.get().error().code, base::Code::kCancelled);
}

TEST(LauncherClient, ItsDeathFailsEveryoneWhoWaitsAndTheDeadlineTheRest) {
  LauncherSide launcher;
  auto late = asio::co_spawn(launcher.context,
                             launcher.client->ask(wire::LauncherType::kKill, encode(wire::Kill{}), {}, 20ms, nullptr),
                             asio::use_future);
  launcher.take();
  for (int i = 0; i < 1000 && late.wait_for(0s) != std::future_status::ready; ++i) {
    launcher.context.restart();
    launcher.context.run_for(1ms);
  }
  EXPECT_EQ(late.get().error().code, base::Code::kDeadlineExceeded);
  auto waiting = asio::co_spawn(launcher.context,
                                launcher.client->ask(wire::LauncherType::kKill, encode(wire::Kill{}), {}, 60s, nullptr),
                                asio::use_future);
  launcher.take();
  launcher.die();
  for (int i = 0; i < 1000 && waiting.wait_for(0s) != std::future_status::ready; ++i) {
    launcher.context.restart();
    launcher.context.run_for(1ms);
  }
  EXPECT_EQ(waiting.get().error().code, base::Code::kUnavailable);
  EXPECT_TRUE(launcher.lost);
}

}  // namespace
}  // namespace ebb::sandbox
