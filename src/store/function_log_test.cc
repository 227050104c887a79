// Goal: lines come back whole, in order, filtered and bounded, whatever moment the writer was killed at.
// Method: real files, cut and damaged by hand; threads; a child that is killed while it appends.
#include "store/function_log.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <fstream>
#include <thread>
#include <vector>

#include "store/log_record.h"
#include "store/temp_dir.h"

namespace ebb::store {
namespace {

namespace fs = std::filesystem;

base::InvocationId id_of(std::uint8_t number) {
  base::InvocationId id;
  id.bytes[15] = number;
  return id;
}

LogLine line_of(const std::string& text, std::uint8_t invocation = 1, std::int64_t wall_ns = 1000) {
  return {.invocation = id_of(invocation),
          .wall = base::WallTime(std::chrono::nanoseconds(wall_ns)),
          .stream = LogStream::kErr,
          .instance = base::InstanceId{7},
          .text = text};
}

std::vector<std::string> texts(FunctionLog& log, const LogFilter& filter = {}, LogCursor* behind = nullptr) {
  std::vector<std::string> found;
  const auto cursor = log.read(filter, [&](const LogLine& line) {
    found.push_back(line.text);
    return true;
  });
  EXPECT_TRUE(cursor) << cursor.error().message;
  if (behind != nullptr) *behind = *cursor;
  return found;
}

using Texts = std::vector<std::string>;

void append(FunctionLog& log, const std::vector<LogLine>& lines) {
  const auto appended = log.append(lines);
  ASSERT_TRUE(appended) << appended.error().message;
}

fs::path only_segment(const fs::path& directory) {
  EXPECT_EQ(std::distance(fs::directory_iterator(directory), fs::directory_iterator()), 1);
  return fs::directory_iterator(directory)->path();
}

TEST(LogRecord, ChecksumIsTheKnownOne) { EXPECT_EQ(crc32_of("123456789"), 0xcbf43926u); }

TEST(FunctionLog, KeepsEveryFieldAcrossReopening) {
  TempDir temp;
  const std::string odd("a\0b\nc \xff", 7);
  {
    FunctionLog log(temp.path() / "f");
    EXPECT_EQ(texts(log), Texts{});
    append(log, {line_of("one", 1, 5), line_of(odd, 2, 6), line_of("", 2, 7)});
  }
  FunctionLog log(temp.path() / "f");
  append(log, {line_of("two")});
  EXPECT_EQ(texts(log), (Texts{"one", odd, "", "two"}));
  ASSERT_TRUE(log.read({.limit = 1}, [](const LogLine& line) {
    EXPECT_EQ(line.invocation, id_of(1));
    EXPECT_EQ(line.wall.time_since_epoch().count(), 5);
    EXPECT_EQ(line.stream, LogStream::kErr);
    EXPECT_EQ(line.instance, base::InstanceId{7});
    return true;
  }));
}

TEST(FunctionLog, FiltersLimitsAndFollows) {
  TempDir temp;
  FunctionLog log(temp.path());
  append(log, {line_of("a", 1, 10), line_of("b", 2, 20), line_of("c", 1, 30), line_of("d", 2, 40)});
  EXPECT_EQ(texts(log, {.invocation = id_of(1)}), (Texts{"a", "c"}));
  EXPECT_EQ(texts(log, {.invocation = id_of(9)}), Texts{});
  EXPECT_EQ(texts(log, {.since = base::WallTime(std::chrono::nanoseconds(20))}), (Texts{"b", "c", "d"}));
  EXPECT_EQ(texts(log, {.limit = 3}), (Texts{"a", "b", "c"}));
  EXPECT_EQ(texts(log, {.limit = 3, .newest = true}), (Texts{"b", "c", "d"}));
  EXPECT_EQ(texts(log, {.limit = 9, .newest = true}), (Texts{"a", "b", "c", "d"}));
  EXPECT_EQ(texts(log, {.invocation = id_of(2), .limit = 1, .newest = true}), Texts{"d"});
  LogCursor cursor;
  EXPECT_EQ(texts(log, {.limit = 2}, &cursor), (Texts{"a", "b"}));
  EXPECT_EQ(texts(log, {.after = cursor}, &cursor), (Texts{"c", "d"}));
  EXPECT_EQ(texts(log, {.after = cursor}, &cursor), Texts{});
  append(log, {line_of("e")});
  EXPECT_EQ(texts(log, {.after = cursor}, &cursor), Texts{"e"});
  EXPECT_EQ(*parse_log_cursor(to_string(cursor)), cursor);
  for (const char* bad : {"", "1", "-", "1-", "-1", "1-2x", "a-b", "1--2"}) EXPECT_FALSE(parse_log_cursor(bad)) << bad;
}

TEST(FunctionLog, CutsLongLinesInPieces) {
  TempDir temp;
  FunctionLog log(temp.path());
  const std::string text = std::string(limits::kLogLineBytes, 'a') + "b";
  append(log, {line_of(text), line_of(std::string(limits::kLogLineBytes, 'c'))});
  EXPECT_EQ(texts(log), (Texts{std::string(limits::kLogLineBytes, 'a'), "b", std::string(limits::kLogLineBytes, 'c')}));
}

TEST(FunctionLog, DropsTheOldestHalfAndHoldsItsBound) {
  TempDir temp;
  constexpr std::uint64_t kBound = 20'000;
  FunctionLog log(temp.path(), kBound);
  LogCursor early;
  append(log, {line_of("first")});
  texts(log, {}, &early);
  for (int i = 0; i < 2000; ++i) {
    append(log, {line_of("line " + std::to_string(i))});
    std::uint64_t bytes = 0;
    for (const auto& entry : fs::directory_iterator(temp.path())) bytes += entry.file_size();
    ASSERT_LE(bytes, kBound);
  }
  const Texts left = texts(log);
  EXPECT_GT(left.size(), 150u);
  for (std::size_t i = 0; i < left.size(); ++i) EXPECT_EQ(left[i], "line " + std::to_string(2000 - left.size() + i));
  EXPECT_EQ(texts(log, {.after = early}), left) << "a cursor into a dropped segment reads from the oldest";
  // One batch larger than everything: the bound holds and the newest lines stay.
  append(log, std::vector<LogLine>(3000, line_of(std::string(50, 'x'))));
  std::uint64_t bytes = 0;
  for (const auto& entry : fs::directory_iterator(temp.path())) bytes += entry.file_size();
  EXPECT_LE(bytes, kBound);
  EXPECT_GT(texts(log).size(), 50u);
}

TEST(FunctionLog, ATornTailIsSkippedAtEveryLength) {
  TempDir temp;
  FunctionLog(temp.path() / "whole").append(std::vector<LogLine>{line_of("kept"), line_of("torn")}).value();
  const fs::path whole = only_segment(temp.path() / "whole");
  const auto size = fs::file_size(whole);
  const auto record = size / 2;  // "kept" and "torn" are equally long
  for (auto cut = record; cut < size; ++cut) {
    const fs::path directory = temp.path() / ("cut" + std::to_string(cut));
    fs::create_directories(directory);
    fs::copy_file(whole, directory / whole.filename());
    fs::resize_file(directory / whole.filename(), cut);
    FunctionLog log(directory);
    EXPECT_EQ(texts(log), Texts{"kept"});
    append(log, {line_of("next")});
    EXPECT_EQ(texts(log), (Texts{"kept", "next"}));
  }
}

TEST(FunctionLog, DamagedBytesAreNeverShown) {
  TempDir temp;
  FunctionLog(temp.path() / "whole").append(std::vector<LogLine>{line_of("kept"), line_of("bad!")}).value();
  const fs::path whole = only_segment(temp.path() / "whole");
  const auto size = fs::file_size(whole);
  for (auto at = size / 2; at < size; ++at) {
    const fs::path directory = temp.path() / ("flip" + std::to_string(at));
    fs::create_directories(directory);
    fs::copy_file(whole, directory / whole.filename());
    {
      std::fstream stream(directory / whole.filename(), std::ios::in | std::ios::out | std::ios::binary);
      stream.seekg(static_cast<std::streamoff>(at));
      const char byte = static_cast<char>(stream.get());
      stream.seekp(static_cast<std::streamoff>(at));
      stream.put(static_cast<char>(~byte));
    }
    FunctionLog log(directory);
    EXPECT_EQ(texts(log), Texts{"kept"}) << "byte " << at;
  }
}

TEST(FunctionLog, ThreadsAppendWholeBatchesWhileOthersRead) {
  TempDir temp;
  FunctionLog log(temp.path());
  constexpr int kThreads = 4;
  constexpr int kBatches = 100;
  std::vector<std::thread> threads;
  for (std::uint8_t t = 0; t < kThreads; ++t) {
    threads.emplace_back([&log, t] {
      for (int i = 0; i < kBatches; ++i) {
        append(log, {line_of(std::to_string(2 * i), t), line_of(std::to_string(2 * i + 1), t)});
      }
    });
  }
  threads.emplace_back([&log] {
    for (int i = 0; i < 50; ++i) texts(log);
  });
  for (std::thread& thread : threads) thread.join();
  for (std::uint8_t t = 0; t < kThreads; ++t) {
    const Texts found = texts(log, {.invocation = id_of(t)});
    ASSERT_EQ(found.size(), 2u * kBatches);
    for (std::size_t i = 0; i < found.size(); ++i) EXPECT_EQ(found[i], std::to_string(i));
  }
}

TEST(FunctionLog, NothingAppendedIsLostWhenTheWriterIsKilled) {
  TempDir temp;
  std::uint32_t next = 0;
  for (int round = 0; round < 20; ++round) {
    int pipe_fds[2];
    ASSERT_EQ(pipe(pipe_fds), 0);
    const pid_t child = fork();
    if (child == 0) {
      close(pipe_fds[0]);
      FunctionLog log(temp.path(), 64 << 20);
      for (std::uint32_t i = next;; ++i) {
        if (!log.append(std::vector<LogLine>{line_of(std::to_string(i))})) _exit(1);
        if (write(pipe_fds[1], &i, sizeof i) != sizeof i) _exit(1);
      }
    }
    close(pipe_fds[1]);
    std::uint32_t told = 0;
    for (int i = 0; i < 50 + round; ++i) ASSERT_EQ(read(pipe_fds[0], &told, sizeof told), ssize_t{sizeof told});
    kill(child, SIGKILL);
    while (read(pipe_fds[0], &told, sizeof told) == ssize_t{sizeof told}) {
    }
    close(pipe_fds[0]);
    waitpid(child, nullptr, 0);
    FunctionLog log(temp.path(), 64 << 20);
    const Texts found = texts(log);
    ASSERT_GT(found.size(), told);
    for (std::size_t i = 0; i < found.size(); ++i) ASSERT_EQ(found[i], std::to_string(i));
    next = static_cast<std::uint32_t>(found.size());
  }
}

TEST(FunctionLogs, KeepsFunctionsApartAndRemovesThem) {
  TempDir temp;
  FunctionLogs logs(temp.path());
  const auto count = [&](const char* app, const char* function) {
    int lines = 0;
    EXPECT_TRUE(logs.read(app, function, {}, [&](const LogLine&) { return ++lines > 0; }));
    return lines;
  };
  const std::vector<LogLine> one{line_of("x")};
  ASSERT_TRUE(logs.append("a", "f", one));
  ASSERT_TRUE(logs.append("a", "g", one));
  ASSERT_TRUE(logs.append("ab", "f", one));
  ASSERT_TRUE(logs.remove("a", "f"));
  EXPECT_EQ(count("a", "f"), 0);
  EXPECT_EQ(count("a", "g"), 1);
  ASSERT_TRUE(logs.append("a", "f", one));
  EXPECT_EQ(count("a", "f"), 1);
  ASSERT_TRUE(logs.remove("a", ""));
  EXPECT_EQ(count("a", "g"), 0);
  EXPECT_EQ(count("ab", "f"), 1);
  ASSERT_TRUE(logs.remove("never", "was"));
}

}  // namespace
}  // namespace ebb::store
