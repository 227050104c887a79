// Goal: one record per invocation, whatever instruction the process dies at, however full the disk is.
// Method: real mapped files; threads; a child that is killed while it writes, compared with what it had told.
#include "meter/usage_log.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstring>
#include <fstream>
#include <map>
#include <set>
#include <thread>

#include "meter/checksum.h"
#include "meter/usage_record.h"
#include "store/temp_dir.h"

namespace ebb::meter {
namespace {

namespace fs = std::filesystem;
using model::Outcome;
using model::UsageEnd;
using model::UsageRecord;
using model::UsageStart;
using store::TempDir;
using namespace std::chrono_literals;

base::WallTime wall(std::int64_t ns) { return base::WallTime(std::chrono::nanoseconds(ns)); }

UsageStart start_of(std::string_view app = "vision", std::string_view function = "digits", std::int64_t ns = 1000) {
  return {.invocation = base::new_invocation_id(),
          .arrival = wall(ns),
          .version = base::VersionId{11},
          .version_number = 3,
          .app = app,
          .function = function,
          .instance = base::InstanceId{12},
          .rung = model::Rung::kFork,
          .alias = "live",
          .attempt = 2,
          .memory_limit = {512ull << 20},
          .cpu_millis = 500};
}

const UsageEnd kEnd{.outcome = Outcome::kTimedOut,
                    .http_status = 504,
                    .queue = 1ns,
                    .start = 2ns,
                    .init = 3ns,
                    .handler = 4ns,
                    .total = 5ns,
                    .billed_ms = 6,
                    .memory_peak = {7},
                    .cpu = 8ns,
                    .bytes_in = {9},
                    .bytes_out = {10},
                    .cu_micro = 11};

std::unique_ptr<UsageLog> open_log(const fs::path& directory) {
  auto log = UsageLog::open(directory);
  EXPECT_TRUE(log) << log.error().message;
  return std::move(*log);
}

std::vector<UsageRecord> records(const UsageLog& log, const UsageFilter& filter = {}) {
  std::vector<UsageRecord> found;
  const auto read = log.read(filter, [&](const UsageRecord& record) {
    found.push_back(record);
    return true;
  });
  EXPECT_TRUE(read) << read.error().message;
  return found;
}

void write_closed(UsageLog& log, const UsageStart& start, const UsageEnd& end = kEnd) {
  auto slot = log.open_record(start);
  ASSERT_TRUE(slot) << slot.error().message;
  log.close_record(std::move(*slot), end);
}

std::size_t files_in(const fs::path& directory) {
  return static_cast<std::size_t>(std::distance(fs::directory_iterator(directory), fs::directory_iterator()));
}

TEST(UsageLog, KeepsEveryField) {
  TempDir temp;
  const UsageStart start = start_of(std::string(limits::kNameLength, 'a'), "f");
  const std::string app(start.app.size(), 'a');
  const std::string alias(limits::kNameLength, 'l');
  UsageStart named = start;
  named.app = app;
  named.alias = alias;
  {
    const auto log = open_log(temp.path());
    auto slot = log->open_record(named);
    ASSERT_TRUE(slot);
    ASSERT_EQ(records(*log).size(), 1u);
    EXPECT_FALSE(records(*log)[0].end) << "an open record has no end";
    EXPECT_EQ(log->open_records(), 1u);
    log->close_record(std::move(*slot), kEnd);
    EXPECT_EQ(log->open_records(), 0u);
  }
  const auto log = open_log(temp.path());
  EXPECT_EQ(log->recovered(), 0u);
  const auto found = records(*log);
  ASSERT_EQ(found.size(), 1u);
  const UsageRecord& record = found[0];
  EXPECT_EQ(record.invocation, start.invocation);
  EXPECT_EQ(record.arrival, start.arrival);
  EXPECT_EQ(record.version, start.version);
  EXPECT_EQ(record.version_number, 3u);
  EXPECT_EQ(record.app, app);
  EXPECT_EQ(record.function, "f");
  EXPECT_EQ(record.instance, start.instance);
  EXPECT_EQ(record.rung, model::Rung::kFork);
  EXPECT_EQ(record.alias, alias);
  EXPECT_EQ(record.attempt, 2);
  EXPECT_EQ(record.memory_limit, start.memory_limit);
  EXPECT_EQ(record.cpu_millis, 500u);
  ASSERT_TRUE(record.end);
  EXPECT_EQ(record.end->outcome, Outcome::kTimedOut);
  EXPECT_EQ(record.end->http_status, 504);
  EXPECT_EQ(record.end->queue, 1ns);
  EXPECT_EQ(record.end->start, 2ns);
  EXPECT_EQ(record.end->init, 3ns);
  EXPECT_EQ(record.end->handler, 4ns);
  EXPECT_EQ(record.end->total, 5ns);
  EXPECT_EQ(record.end->billed_ms, 6u);
  EXPECT_EQ(record.end->memory_peak.count, 7u);
  EXPECT_EQ(record.end->cpu, 8ns);
  EXPECT_EQ(record.end->bytes_in.count, 9u);
  EXPECT_EQ(record.end->bytes_out.count, 10u);
  EXPECT_EQ(record.end->cu_micro, 11u);
}

TEST(UsageLog, FiltersLimitsAndTotals) {
  TempDir temp;
  const auto log = open_log(temp.path());
  const UsageStart wanted = start_of("a", "f", 20);
  write_closed(*log, start_of("a", "f", 10));
  write_closed(*log, wanted);
  write_closed(*log, start_of("a", "g", 30));
  write_closed(*log, start_of("b", "f", 40));
  const auto open = log->open_record(start_of("b", "f", 50));
  EXPECT_EQ(records(*log).size(), 5u);
  EXPECT_EQ(records(*log, {.app = "a"}).size(), 3u);
  EXPECT_EQ(records(*log, {.app = "a", .function = "f"}).size(), 2u);
  EXPECT_EQ(records(*log, {.since = wall(20), .until = wall(40)}).size(), 2u);
  ASSERT_EQ(records(*log, {.invocation = wanted.invocation}).size(), 1u);
  EXPECT_EQ(records(*log, {.invocation = wanted.invocation})[0].arrival, wall(20));
  const auto newest = records(*log, {.limit = 2});
  ASSERT_EQ(newest.size(), 2u);
  EXPECT_EQ(newest[0].arrival, wall(40));
  EXPECT_EQ(newest[1].arrival, wall(50));
  EXPECT_EQ(*log->totals({}), (UsageTotals{4, 1, 24, 44}));
  EXPECT_EQ(*log->totals({.app = "a", .function = "g"}), (UsageTotals{1, 0, 6, 11}));
  int seen = 0;
  ASSERT_TRUE(log->read({}, [&](const UsageRecord&) { return ++seen < 2; }));
  EXPECT_EQ(seen, 2);
}

TEST(UsageLog, AnotherProcessLifeClosesOpenRecordsAsUnbilledFaults) {
  TempDir temp;
  {
    const auto log = open_log(temp.path());
    auto kept = log->open_record(start_of());
    const auto lost = log->open_record(start_of());
    log->close_record(std::move(*kept), kEnd);
  }
  const auto log = open_log(temp.path());
  EXPECT_EQ(log->recovered(), 1u);
  EXPECT_EQ(log->open_records(), 0u);
  const auto found = records(*log);
  ASSERT_EQ(found.size(), 2u);
  EXPECT_EQ(found[0].end->outcome, Outcome::kTimedOut);
  EXPECT_EQ(found[1].end->outcome, Outcome::kPlatformFault);
  EXPECT_EQ(found[1].end->billed_ms, 0u);
  EXPECT_EQ(found[1].end->cu_micro, 0u);
  EXPECT_EQ(found[1].app, "vision");
  write_closed(*log, start_of());
  EXPECT_EQ(records(*log).size(), 3u) << "writing goes on in the same segment";
  EXPECT_EQ(files_in(temp.path()), 1u);
}

TEST(UsageLog, WhatWasHeldStandsBesideInvocationsAndIsAskedForByItsKind) {
  TempDir temp;
  model::HeldUse use{.for_ms = 60'000};
  for (std::size_t i = 0; i < model::kHeldTiers; ++i) {
    use.ms[i] = i + 1;
    use.byte_ms[i] = UINT64_MAX - i;
  }
  {
    const auto log = open_log(temp.path());
    write_closed(*log, start_of());
    ASSERT_TRUE(log->add_held({.begun = wall(7),
                               .version = base::VersionId{5},
                               .version_number = 3,
                               .app = "vision",
                               .function = "digits",
                               .memory_limit = {1 << 20},
                               .cpu_millis = 500},
                              use));
    EXPECT_EQ(log->open_records(), 0u);
  }
  const auto log = open_log(temp.path());
  EXPECT_EQ(log->recovered(), 0u);
  EXPECT_EQ(records(*log).size(), 1u);
  EXPECT_EQ(records(*log, {.kinds = RecordKinds::kAll}).size(), 2u);
  EXPECT_EQ(log->totals({})->invocations, 1u);
  EXPECT_EQ(log->check(1)->records, 2u);
  const auto found = records(*log, {.kinds = RecordKinds::kHeld});
  ASSERT_EQ(found.size(), 1u);
  const UsageRecord& record = found[0];
  EXPECT_FALSE(record.end);
  EXPECT_EQ(record.held, use);
  EXPECT_EQ(record.trigger, model::Trigger::kHeld);
  EXPECT_EQ(record.arrival, wall(7));
  EXPECT_EQ(record.version, base::VersionId{5});
  EXPECT_EQ(record.version_number, 3u);
  EXPECT_EQ(record.app + "/" + record.function, "vision/digits");
  EXPECT_EQ(record.memory_limit.count, 1u << 20);
  EXPECT_EQ(record.cpu_millis, 500u);
}

// Killed between its two halves: nobody counts it, and the next open closes it as nothing held.
TEST(UsageLog, AHeldRecordThatWasNotFinishedCountsNothing) {
  TempDir temp;
  {
    const auto log = open_log(temp.path());
    UsageStart start = start_of();
    start.trigger = model::Trigger::kHeld;
    const auto half = log->open_record(start);
    EXPECT_TRUE(records(*log, {.kinds = RecordKinds::kAll}).empty());
  }
  const auto log = open_log(temp.path());
  EXPECT_EQ(log->recovered(), 1u);
  const auto found = records(*log, {.kinds = RecordKinds::kAll});
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].held, model::HeldUse{});
}

TEST(UsageLog, RollsOverSealsAndFindsEverythingAgain) {
  TempDir temp;
  constexpr std::uint32_t kCount = 2 * limits::kUsageSegmentRecords + 5;
  auto log = open_log(temp.path());
  auto straggler = log->open_record(start_of("a", "f", 0));
  for (std::uint32_t i = 1; i < kCount; ++i) {
    write_closed(*log, start_of("a", "f", i));
    if (i == limits::kUsageSegmentRecords / 2 - 2) {
      ASSERT_TRUE(log->prepare());
      EXPECT_EQ(files_in(temp.path()), 1u) << "not yet half full";
    }
    if (i == limits::kUsageSegmentRecords / 2) {
      ASSERT_TRUE(log->prepare());
      EXPECT_EQ(files_in(temp.path()), 2u);
      ASSERT_TRUE(log->prepare());
      EXPECT_EQ(files_in(temp.path()), 2u) << "one ahead is enough";
    }
  }
  EXPECT_EQ(files_in(temp.path()), 3u);
  const auto sealed = [&](int number) {
    std::ifstream stream(temp.path() / ("usage-000000000" + std::to_string(number) + ".ebb"), std::ios::binary);
    stream.seekg(offsetof(StoredHeader, sealed));
    return stream.get() == 1;
  };
  ASSERT_TRUE(log->flush());
  EXPECT_FALSE(sealed(1)) << "a record in it is open";
  EXPECT_TRUE(sealed(2));
  log->close_record(std::move(*straggler), kEnd);
  ASSERT_TRUE(log->flush());
  EXPECT_TRUE(sealed(1));
  EXPECT_FALSE(sealed(3));
  const auto check = [&] {
    const auto found = records(*log);
    ASSERT_EQ(found.size(), kCount);
    for (std::uint32_t i = 0; i < kCount; ++i) ASSERT_EQ(found[i].arrival, wall(i));
    // The bounds in the seals must not hide a record at either edge.
    EXPECT_EQ(records(*log, {.since = wall(limits::kUsageSegmentRecords - 1)}).size(),
              limits::kUsageSegmentRecords + 6);
    EXPECT_EQ(records(*log, {.until = wall(limits::kUsageSegmentRecords + 1)}).size(),
              limits::kUsageSegmentRecords + 1);
    EXPECT_EQ(records(*log, {.limit = 8}).front().arrival, wall(kCount - 8));
  };
  check();
  log.reset();
  log = open_log(temp.path());
  EXPECT_EQ(log->recovered(), 0u);
  check();
  EXPECT_EQ(files_in(temp.path()), 3u);
}

TEST(UsageLog, APreparedSegmentIsUsedAfterARestart) {
  TempDir temp;
  {
    const auto log = open_log(temp.path());
    for (std::uint32_t i = 0; i < limits::kUsageSegmentRecords; ++i) write_closed(*log, start_of());
    ASSERT_TRUE(log->prepare());
  }
  EXPECT_EQ(files_in(temp.path()), 2u);
  const auto log = open_log(temp.path());
  write_closed(*log, start_of());
  EXPECT_EQ(files_in(temp.path()), 2u);
  EXPECT_EQ(log->totals({})->invocations, limits::kUsageSegmentRecords + 1);
}

TEST(UsageLog, ThreadsAcrossARollOverLoseAndDoubleNothing) {
  TempDir temp;
  const auto log = open_log(temp.path());
  constexpr int kThreads = 4;
  constexpr int kEach = 6000;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&log] {
      for (int i = 0; i < kEach; ++i) write_closed(*log, start_of());
    });
  }
  threads.emplace_back([&log] {
    for (int i = 0; i < 30; ++i) {
      EXPECT_TRUE(log->prepare());
      EXPECT_TRUE(log->flush());
      EXPECT_TRUE(log->totals({}));
    }
  });
  for (std::thread& thread : threads) thread.join();
  std::set<base::InvocationId> ids;
  for (const UsageRecord& record : records(*log)) {
    EXPECT_TRUE(record.end);
    ids.insert(record.invocation);
  }
  EXPECT_EQ(ids.size(), std::size_t{kThreads * kEach});
  EXPECT_EQ(log->totals({})->invocations, std::uint64_t{kThreads * kEach});
}

// What the killed child reports through its pipe: an invocation that is open, or one that is closed.
struct Told {
  base::InvocationId invocation;
  std::uint8_t closed;
};

[[noreturn]] void write_until_killed(const fs::path& directory, int pipe_fd) {
  auto log = UsageLog::open(directory);
  if (!log) _exit(1);
  const auto work = [&log, pipe_fd] {
    while (true) {
      const UsageStart start = start_of();
      auto slot = (*log)->open_record(start);
      if (!slot) _exit(1);
      Told told{start.invocation, 0};
      if (write(pipe_fd, &told, sizeof told) != ssize_t{sizeof told}) _exit(1);
      (*log)->close_record(std::move(*slot), kEnd);
      told.closed = 1;
      if (write(pipe_fd, &told, sizeof told) != ssize_t{sizeof told}) _exit(1);
    }
  };
  std::thread second(work);
  std::thread third([&log] {
    while ((*log)->prepare() && (*log)->flush()) {
    }
    _exit(1);
  });
  work();
  _exit(1);
}

TEST(UsageLog, SigkillLosesAndDoublesNothing) {
  TempDir temp;
  constexpr int kRounds = 40;
  std::map<base::InvocationId, bool> told;  // closed?
  for (int round = 0; round < kRounds; ++round) {
    int fds[2];
    ASSERT_EQ(pipe2(fds, O_CLOEXEC), 0);
    const pid_t child = fork();
    if (child == 0) {
      close(fds[0]);
      write_until_killed(temp.path(), fds[1]);
    }
    close(fds[1]);
    Told message;
    int count = 0;
    bool killed = false;
    while (read(fds[0], &message, sizeof message) == ssize_t{sizeof message}) {
      bool& closed = told[message.invocation];
      closed = closed || message.closed == 1;
      // Kill at a different place each round; what is still in the pipe counts as told.
      if (++count == 900 + 37 * round) killed = kill(child, SIGKILL) == 0;
    }
    close(fds[0]);
    int status = 0;
    waitpid(child, &status, 0);
    ASSERT_TRUE(killed) << "the child ended by itself with status " << status;
    if (round % 4 == 3) open_log(temp.path());  // sometimes a restart without work between two
  }
  const auto log = open_log(temp.path());
  std::map<base::InvocationId, Outcome> found;
  std::uint64_t faults = 0;
  for (const UsageRecord& record : records(*log)) {
    ASSERT_TRUE(record.end) << "recovery leaves nothing open";
    EXPECT_TRUE(found.emplace(record.invocation, record.end->outcome).second) << "doubled";
    EXPECT_EQ(record.app, "vision");
    EXPECT_EQ(record.function, "digits");
    EXPECT_EQ(record.memory_limit.count, 512ull << 20);
    const bool fault = record.end->outcome == Outcome::kPlatformFault;
    faults += fault;
    EXPECT_EQ(record.end->billed_ms, fault ? 0u : 6u);
    EXPECT_EQ(record.end->http_status, fault ? 0 : 504);
  }
  for (const auto& [invocation, closed] : told) {
    const auto record = found.find(invocation);
    ASSERT_NE(record, found.end()) << "lost";
    EXPECT_TRUE(!closed || record->second == Outcome::kTimedOut) << "what was closed stays as it was closed";
  }
  // At most what two threads had in flight at each kill was not told or not closed.
  EXPECT_LE(found.size(), told.size() + 2 * kRounds);
  EXPECT_LE(faults, std::uint64_t{2 * kRounds});
  EXPECT_GT(found.size(), limits::kUsageSegmentRecords) << "the test must roll over";
}

TEST(UsageLog, HolesAndImpossibleRecordsAreSkipped) {
  TempDir temp;
  {
    const auto log = open_log(temp.path());
    for (int i = 0; i < 4; ++i) write_closed(*log, start_of("a", "f", i));
  }
  const auto poke = [&](int record, std::size_t field, char value) {
    std::fstream stream(temp.path() / "usage-0000000001.ebb", std::ios::in | std::ios::out | std::ios::binary);
    stream.seekp(static_cast<std::streamoff>(kHeaderBytes +
                                             static_cast<std::size_t>(record) * record_bytes(kUsageFormat) + field));
    stream.put(value);
  };
  poke(0, offsetof(StoredRecord, state), 0);   // killed between taking the place and opening it
  poke(1, offsetof(StoredRecord, state), 77);  // torn by a power failure
  poke(2, offsetof(StoredRecord, outcome), 99);
  const auto log = open_log(temp.path());
  const auto found = records(*log);
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].arrival, wall(3));
  write_closed(*log, start_of("a", "f", 4));
  EXPECT_EQ(records(*log).size(), 2u);
}

// What a damaged log says when it is read.
std::vector<Damage> damage_of(const UsageLog& log) {
  std::vector<Damage> damage;
  EXPECT_TRUE(log.read({}, [](const UsageRecord&) { return true; }, &damage));
  return damage;
}

TEST(UsageLog, ForeignAndCutFilesAreToldAndTheLogGoesOn) {
  TempDir temp;
  const fs::path path = temp.path() / "usage-0000000001.ebb";
  std::ofstream(path) << "short";
  for (const char* what : {"instead of", "is not a usage segment"}) {
    const auto log = open_log(temp.path());
    ASSERT_EQ(log->damage().size(), 1u);
    EXPECT_EQ(log->damage()[0].segment, 1u);
    EXPECT_NE(log->damage()[0].what.find(what), std::string::npos) << log->damage()[0].what;
    write_closed(*log, start_of());
    EXPECT_EQ(damage_of(*log).size(), 1u);
    fs::resize_file(path, segment_bytes(kUsageFormat));
  }
  EXPECT_EQ(records(*open_log(temp.path())).size(), 2u);
  EXPECT_EQ(fs::file_size(path), segment_bytes(kUsageFormat)) << "nobody repairs or removes it";
  fs::remove(path);
  std::ofstream(temp.path() / "usage-0000000001.ebb.new") << "left by a killed process";
  EXPECT_TRUE(UsageLog::open(temp.path()));
}

TEST(UsageLog, EveryFlippedBitOfAClosedRecordIsFound) {
  TempDir temp;
  write_closed(*open_log(temp.path()), start_of());
  const fs::path path = temp.path() / "usage-0000000001.ebb";
  const auto flip = [&](std::size_t byte, int bit) {
    std::fstream stream(path, std::ios::in | std::ios::out | std::ios::binary);
    stream.seekg(static_cast<std::streamoff>(kHeaderBytes + byte));
    const auto changed = static_cast<char>(stream.get() ^ (1 << bit));
    stream.seekp(static_cast<std::streamoff>(kHeaderBytes + byte));
    stream.put(changed);
  };
  constexpr std::size_t kReserved = offsetof(StoredRecord, reserved);
  for (std::size_t byte = 0; byte < record_bytes(kUsageFormat); ++byte) {
    if (byte >= kReserved && byte < offsetof(StoredRecord, state)) continue;  // means nothing
    flip(byte, static_cast<int>(byte % 8));
    const auto log = open_log(temp.path());
    EXPECT_EQ(damage_of(*log).size(), 1u) << "byte " << byte;
    EXPECT_TRUE(records(*log).empty());
    EXPECT_EQ(log->check(1)->damage.size(), 1u);
    flip(byte, static_cast<int>(byte % 8));
  }
  EXPECT_TRUE(damage_of(*open_log(temp.path())).empty());
}

TEST(UsageLog, ASealedSegmentIsHeldAgainstItsChecksumsAndMayBeRemoved) {
  TempDir temp;
  auto log = open_log(temp.path());
  for (std::uint32_t i = 0; i <= limits::kUsageSegmentRecords; ++i) write_closed(*log, start_of("a", "f", i));
  ASSERT_TRUE(log->flush());
  EXPECT_TRUE(log->is_sealed(1));
  EXPECT_FALSE(log->is_sealed(2));
  const auto whole = log->check(1);
  EXPECT_TRUE(whole->sealed && whole->checked && whole->damage.empty());
  EXPECT_EQ(whole->records, limits::kUsageSegmentRecords);
  std::fstream stream(temp.path() / "usage-0000000001.ebb", std::ios::in | std::ios::out | std::ios::binary);
  const auto put = [&](std::size_t at, char value) {
    stream.seekp(static_cast<std::streamoff>(at));
    stream.put(value);
    stream.flush();
  };
  // A changed bound must not hide the records behind it.
  put(offsetof(StoredHeader, last_arrival_ns) + 1, 0);
  EXPECT_NE(log->check(1)->damage.at(0).what.find("header"), std::string::npos);
  std::vector<Damage> damage;
  std::size_t seen = 0;
  ASSERT_TRUE(log->read(
      {.since = wall(limits::kUsageSegmentRecords - 1)},
      [&](const UsageRecord&) {
        ++seen;
        return true;
      },
      &damage));
  EXPECT_EQ(seen, 2u);
  EXPECT_EQ(damage.size(), 1u);
  EXPECT_EQ(log->remove(2).error().code, base::Code::kConflict);
  EXPECT_TRUE(log->remove(1));
  EXPECT_EQ(records(*log).size(), 1u);
  log.reset();
  EXPECT_EQ(records(*open_log(temp.path())).size(), 1u);
}

// What an earlier version would have written in the place of the segment there: records without tails, and in its first
// format without checksums.
void make_early(const fs::path& path, std::uint32_t format) {
  std::vector<std::byte> now(segment_bytes(kUsageFormat));
  ASSERT_TRUE(std::ifstream(path, std::ios::binary)
                  .read(reinterpret_cast<char*>(now.data()), static_cast<std::streamsize>(now.size())));
  std::vector<std::byte> then(segment_bytes(format));
  std::copy_n(now.begin(), kHeaderBytes, then.begin());
  header_of(then).format = format;
  header_of(then).record_bytes = 256;
  const RecordPlaces from(now, kUsageFormat);
  const RecordPlaces to(then, format);
  for (std::uint32_t i = 0; i < from.size(); ++i) {
    auto* const bytes = reinterpret_cast<std::byte*>(&to[i].record);
    std::memcpy(bytes, &from[i].record, sizeof(StoredRecord));
    if (to[i].record.state != static_cast<std::uint32_t>(RecordState::kClosed)) continue;
    const bool checked = format != kUsageFormatUnchecked;
    to[i].record.checksum = checked ? crc32c({bytes, offsetof(StoredRecord, checksum)}) : 0;
  }
  std::ofstream(path, std::ios::binary)
      .write(reinterpret_cast<const char*>(then.data()), static_cast<std::streamsize>(then.size()));
}

class EarlyUsageLog : public testing::TestWithParam<std::uint32_t> {};
INSTANTIATE_TEST_SUITE_P(Formats, EarlyUsageLog, testing::Values(kUsageFormatUnchecked, kUsageFormatWithoutTail));

TEST_P(EarlyUsageLog, IsReadAndNotWrittenOn) {
  TempDir temp;
  {
    const auto log = open_log(temp.path());
    write_closed(*log, start_of());
    const auto open = log->open_record(start_of());  // and then the daemon was killed
  }
  make_early(temp.path() / "usage-0000000001.ebb", GetParam());
  const bool checked = GetParam() != kUsageFormatUnchecked;
  const auto log = open_log(temp.path());
  EXPECT_TRUE(log->damage().empty());
  EXPECT_EQ(log->recovered(), 1u);
  EXPECT_EQ(files_in(temp.path()), 1u) << "a full disk does not keep it from being opened";
  write_closed(*log, start_of());
  const auto found = records(*log);
  ASSERT_EQ(found.size(), 3u);
  EXPECT_EQ(found[0].alias, "");
  EXPECT_EQ(found[0].attempt, 1);
  EXPECT_EQ(found[0].end->billed_ms, 6u);
  EXPECT_EQ(found[1].end->outcome, Outcome::kPlatformFault);
  EXPECT_EQ(found[2].alias, "live") << "in a segment that can say it";
  ASSERT_TRUE(log->flush());
  EXPECT_TRUE(log->is_sealed(1));
  EXPECT_FALSE(log->is_sealed(2));
  EXPECT_EQ(log->check(1)->checked, checked);
  EXPECT_EQ(log->check(1)->records, 2u);
  EXPECT_TRUE(damage_of(*log).empty() && log->check(1)->damage.empty());
  EXPECT_TRUE(log->remove(1));
}

TEST_P(EarlyUsageLog, WithAPreparedSegmentLeavesBoth) {
  TempDir temp;
  {
    const auto log = open_log(temp.path());
    for (std::uint32_t i = 0; i <= limits::kUsageSegmentRecords / 2; ++i) write_closed(*log, start_of());
    ASSERT_TRUE(log->prepare());
  }
  for (const char* name : {"usage-0000000001.ebb", "usage-0000000002.ebb"}) make_early(temp.path() / name, GetParam());
  auto log = open_log(temp.path());
  write_closed(*log, start_of());
  ASSERT_TRUE(log->flush());
  EXPECT_TRUE(log->is_sealed(1) && log->is_sealed(2));
  EXPECT_EQ(files_in(temp.path()), 3u);
  log.reset();
  log = open_log(temp.path());
  EXPECT_EQ(records(*log).size(), limits::kUsageSegmentRecords / 2 + 2);
  EXPECT_TRUE(damage_of(*log).empty());
}

TEST(UsageLog, AClockThatStepsBackLosesNothing) {
  TempDir temp;
  auto log = open_log(temp.path());
  const auto count = static_cast<std::int64_t>(limits::kUsageSegmentRecords);
  for (std::int64_t i = 0; i <= count; ++i) write_closed(*log, start_of("a", "f", (count - i) * 1000));
  ASSERT_TRUE(log->flush());  // the first is sealed: its bounds are those of its arrivals, in whatever order
  EXPECT_EQ(records(*log, {.until = wall(2000)}).size(), 2u);
  EXPECT_EQ(records(*log, {.since = wall(count * 1000)}).size(), 1u);
}

TEST(Checksum, IsTheOneOfRfc3720) {
  std::vector<std::byte> bytes(32);
  EXPECT_EQ(crc32c(bytes), 0x8a9136aau);
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>(i);
  EXPECT_EQ(crc32c(bytes), 0x46dd794eu);
  EXPECT_EQ(crc32c(std::span(bytes).subspan(5), crc32c(std::span(bytes).first(5))), 0x46dd794eu);
}

// In a mount namespace of its own: a file system with room for one segment and no more. Answers the exit code.
int use_up_a_small_disk(const fs::path& directory) {
  if (unshare(CLONE_NEWNS) != 0 && unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0) return 77;
  if (mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) return 77;
  if (mount("tmpfs", directory.c_str(), "tmpfs", 0, "size=6m") != 0) return 77;
  auto log = UsageLog::open(directory);
  if (!log) return 2;
  for (std::uint32_t i = 0; i < limits::kUsageSegmentRecords; ++i) {
    auto slot = (*log)->open_record(start_of());
    if (!slot) return 3;
    (*log)->close_record(std::move(*slot), kEnd);
  }
  const auto prepared = (*log)->prepare();
  if (prepared || prepared.error().code != base::Code::kUnavailable) return 4;
  const auto refused = (*log)->open_record(start_of());
  if (refused || refused.error().code != base::Code::kUnavailable) return 5;
  if (refused.error().message.find("free some disk space") == std::string::npos) return 6;
  if ((*log)->totals({})->invocations != limits::kUsageSegmentRecords) return 7;
  if (files_in(directory) != 1) return 8;
  // With room again it goes on.
  if (mount(nullptr, directory.c_str(), nullptr, MS_REMOUNT, "size=20m") != 0) return 77;
  return (*log)->open_record(start_of()) ? 0 : 9;
}

TEST(UsageLog, AFullDiskIsAnErrorAndNotASignal) {
  TempDir temp;
  const pid_t child = fork();
  if (child == 0) _exit(use_up_a_small_disk(temp.path()));
  int status = 0;
  waitpid(child, &status, 0);
  ASSERT_TRUE(WIFEXITED(status)) << "killed by signal " << WTERMSIG(status);
  if (WEXITSTATUS(status) == 77) GTEST_SKIP() << "this machine gives no mount namespace";
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

}  // namespace
}  // namespace ebb::meter
