#include "node/stores.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <deque>
#include <map>
#include <sstream>

#include "base/limits.h"
#include "base/log.h"
#include "node/billing.h"
#include "node/local_key.h"
#include "node/npm_layer.h"
#include "os/fd.h"
#include "store/sqlite_calls.h"
#include "store/sqlite_metadata.h"

namespace ebb::node {

namespace {

base::Result<std::string> version_of(const std::string& python) {
  const std::string command =
      "'" + python + "' -c 'import sys; print(\".\".join(map(str, sys.version_info[:3])))' 2>/dev/null";
  std::FILE* pipe = ::popen(command.c_str(), "re");
  std::array<char, 64> line{};
  const bool read = pipe != nullptr && std::fgets(line.data(), static_cast<int>(line.size()), pipe) != nullptr;
  const int status = pipe != nullptr ? ::pclose(pipe) : -1;
  if (!read || status != 0)
    return base::unavailable("the interpreter " + python +
                             " does not run, install python3 or set python in the configuration");
  std::string version(line.data());
  while (!version.empty() && version.back() == '\n') version.pop_back();
  return version;
}

// A page's cursor: "function=segment-offset,..." so that each function's log goes on where it was.
std::map<std::string, store::LogCursor> parse_cursor(const std::string& text) {
  std::map<std::string, store::LogCursor> cursors;
  std::istringstream parts(text);
  for (std::string part; std::getline(parts, part, ',');) {
    const auto equals = part.find('=');
    if (equals == std::string::npos) continue;
    const auto cursor = store::parse_log_cursor(part.substr(equals + 1));
    if (cursor) cursors[part.substr(0, equals)] = *cursor;
  }
  return cursors;
}

std::string write_cursor(const std::map<std::string, store::LogCursor>& cursors) {
  std::string text;
  for (const auto& [function, cursor] : cursors)
    text += (text.empty() ? "" : ",") + function + "=" + store::to_string(cursor);
  return text;
}

// Values of env, events, and what functions print are nobody else's business: files made under these keep these modes.
base::Result<> keep_private(const std::vector<std::string>& databases, const std::string& logs) {
  for (const std::string& database : databases) {
    const os::Fd file(::open(database.c_str(), O_CREAT | O_RDWR | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (!file.valid() || ::fchmod(file.get(), 0600) != 0) return base::os_error(database, errno);
  }
  if (::mkdir(logs.c_str(), 0700) != 0 && errno != EEXIST) return base::os_error(logs, errno);
  if (::chmod(logs.c_str(), 0700) != 0) return base::os_error(logs, errno);
  return {};
}

}  // namespace

base::Result<Stores> open_stores(const model::Config& config) {
  const std::string calls = config.data_dir + "/calls.db";
  EBB_CHECKED(keep_private({config.data_dir + "/metadata.db", calls}, config.data_dir + "/logs"));
  Stores stores;
  EBB_TRY(stores.python_version, version_of(config.python));
  stores.node_toolchain = node_toolchain();
  EBB_TRY(stores.metadata, store::SqliteMetadata::open(config.data_dir + "/metadata.db"));
  EBB_CHECKED(ensure_local_key(config.data_dir, *stores.metadata));
  EBB_TRY(stores.secrets, Secrets::open(config.data_dir, *stores.metadata));
  EBB_TRY(store::PackageStore packages, store::PackageStore::open(config.data_dir + "/packages"));
  stores.packages = std::make_unique<store::PackageStore>(std::move(packages));
  stores.log = std::make_unique<store::FunctionLogs>(config.data_dir + "/logs");
  EBB_TRY(stores.calls, store::SqliteCalls::open(calls));
  EBB_TRY(stores.usage, meter::UsageLog::open(config.data_dir + "/usage"));
  if (stores.usage->recovered() > 0) {
    base::log(base::LogLevel::kWarning, "usage_recovered",
              {{"records_closed_as_platform_faults", stores.usage->recovered()}});
  }
  for (const meter::Damage& damage : stores.usage->damage())
    base::log(base::LogLevel::kError, "usage_segment_damaged", {{"what", damage.what}, {"see", "ebb ledger verify"}});
  EBB_TRY(stores.ledger, meter::Ledger::open(config.data_dir + "/ledger.db"));
  if (stores.ledger->replaced()) {
    base::log(base::LogLevel::kError, "ledger_replaced",
              {{"what", "ledger.db was damaged, it is ledger.db.damaged now and is made anew from the usage log"}});
  }
  EBB_TRY(stores.budgets, open_budgets({*stores.usage, *stores.ledger, config.price_file}, *stores.metadata));
  return stores;
}

base::Result<LogPage> read_logs(store::FunctionLogs& log, const LogQuery& query,
                                const std::vector<std::string>& functions) {
  LogPage page;
  std::multimap<base::WallTime, LogLine> by_time;  // lines of one moment stay in the order of their log
  std::map<std::string, store::LogCursor> cursors = parse_cursor(query.cursor);
  for (const std::string& function : functions) {
    const bool follows = cursors.contains(function);
    const store::LogFilter filter{.invocation = query.request,
                                  .since = query.since.value_or(base::WallTime{}),
                                  .after = cursors[function],
                                  .limit = query.limit,
                                  .newest = !follows};
    EBB_TRY(cursors[function], log.read(query.app, function, filter, [&](const store::LogLine& line) {
      by_time.emplace(line.wall, LogLine{.id = line.invocation,
                                         .time = line.wall,
                                         .app = query.app,
                                         .function = function,
                                         .stream = std::string(store::name_of(line.stream)),
                                         .text = line.text});
      return true;
    }));
  }
  for (auto& [time, line] : by_time) page.lines.push_back(std::move(line));
  if (query.cursor.empty() && page.lines.size() > query.limit) {
    page.lines.erase(page.lines.begin(), page.lines.end() - static_cast<std::ptrdiff_t>(query.limit));
  }
  page.cursor = write_cursor(cursors);
  return page;
}

base::Result<UsagePage> read_usage(meter::UsageLog& usage, const UsageQuery& query, const AppSet& apps) {
  meter::UsageFilter filter{.app = query.app,
                            .function = query.function,
                            .since = query.since.value_or(base::WallTime::min()),
                            .until = query.until.value_or(base::WallTime::max()),
                            .invocation = query.request};
  UsagePage page;
  if (apps) {  // in one pass: how many records are to be seen before the newest of these is not known
    std::deque<model::UsageRecord> newest;
    EBB_CHECKED(usage.read(filter, [&](const model::UsageRecord& record) {
      if (!apps->contains(record.app)) return true;
      if (record.end) {
        ++page.invocations;
        page.billed_ms += record.end->billed_ms;
        page.micro_cu += record.end->cu_micro;
      }
      newest.push_back(record);
      if (newest.size() > query.limit) newest.pop_front();
      return true;
    }));
    page.records.assign(std::make_move_iterator(newest.begin()), std::make_move_iterator(newest.end()));
    return page;
  }
  EBB_TRY(const meter::UsageTotals totals, usage.totals(filter));
  page.invocations = totals.invocations;
  page.billed_ms = totals.billed_ms;
  page.micro_cu = totals.cu_micro;
  filter.limit = query.limit;
  EBB_CHECKED(usage.read(filter, [&](const model::UsageRecord& record) {
    page.records.push_back(record);
    return true;
  }));
  return page;
}

}  // namespace ebb::node
