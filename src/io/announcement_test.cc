// Goal: every reader gets the value, whenever it asks, on a core of its own; who asks in vain gets nothing at its
// deadline.
#include "io/announcement.h"

#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/use_future.hpp>
#include <future>
#include <string>
#include <thread>
#include <vector>

#include "base/duration.h"

namespace ebb::io {
namespace {

using namespace std::chrono_literals;

Task<std::optional<std::string>> read(std::shared_ptr<Announcement<std::string>> news, base::Duration patience) {
  const base::SteadyTime deadline = base::steady_now() + patience;
  co_return co_await news->wait(deadline);
}

TEST(Announcement, AllWhoWaitAndAllWhoComeLaterReadIt) {
  const auto news = std::make_shared<Announcement<std::string>>();
  asio::io_context one(1), other(1);
  std::vector<std::future<std::optional<std::string>>> readers;
  for (asio::io_context* core : {&one, &other, &one, &other}) {
    readers.push_back(asio::co_spawn(*core, read(news, 20s), asio::use_future));
  }
  std::thread first([&] { one.run(); });
  std::thread second([&] { other.run(); });
  std::this_thread::sleep_for(20ms);
  news->set("over");
  news->set("dropped");
  first.join();
  second.join();
  for (auto& reader : readers) EXPECT_EQ(reader.get(), "over");
  one.restart();
  auto late = asio::co_spawn(one, read(news, 20s), asio::use_future);
  one.run();
  EXPECT_EQ(late.get(), "over");
}

TEST(Announcement, WhoAsksInVainGetsNothing) {
  const auto news = std::make_shared<Announcement<std::string>>();
  asio::io_context core(1);
  auto reader = asio::co_spawn(core, read(news, 10ms), asio::use_future);
  core.run();
  EXPECT_FALSE(reader.get());
}

}  // namespace
}  // namespace ebb::io
