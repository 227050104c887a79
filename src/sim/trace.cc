#include "sim/trace.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <map>
#include <numeric>
#include <optional>
#include <string_view>

namespace ebb::sim {
namespace {

using Row = std::vector<std::string_view>;

void split(std::string_view line, Row& out) {
  out.clear();
  while (true) {
    const auto comma = line.find(',');
    out.push_back(line.substr(0, comma));
    if (comma == std::string_view::npos) return;
    line.remove_prefix(comma + 1);
  }
}

std::optional<double> number(std::string_view text) {
  double value = 0;
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (failure != std::errc() || end != text.data() + text.size() || !std::isfinite(value)) return std::nullopt;
  return value;
}

/// A CSV file without quoting: the data set has none.
class Table {
 public:
  static base::Result<Table> read(const std::string& path) {
    std::error_code failure;
    const auto size = std::filesystem::file_size(path, failure);
    if (failure) return base::not_found("cannot read the trace file " + path + ": " + failure.message());
    if (size > kTraceBytes) {
      return base::Error{.code = base::Code::kTooLarge,
                         .message = path + " has " + std::to_string(size) + " bytes, the most is " +
                                    std::to_string(kTraceBytes) + ": take a sample of its lines"};
    }
    std::ifstream file(path, std::ios::binary);
    Table table;
    table.path_ = path;
    table.text_.resize(size);
    file.read(table.text_.data(), static_cast<std::streamsize>(size));
    if (!file) return base::not_found("cannot read the trace file " + path);
    std::string_view rest = table.text_;
    while (!rest.empty()) {
      const auto end = rest.find('\n');
      std::string_view line = rest.substr(0, end);
      rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
      if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
      if (!line.empty()) table.lines_.push_back(line);
    }
    if (table.lines_.size() < 2) return base::invalid_argument(path + " has no line below its header");
    Row header;
    split(table.lines_[0], header);
    for (std::size_t i = 0; i < header.size(); ++i) table.columns_.emplace(header[i], i);
    table.width_ = header.size();
    return table;
  }

  Table(Table&&) = default;
  Table& operator=(Table&&) = delete;

  std::optional<std::size_t> column(std::string_view name) const {
    const auto at = columns_.find(name);
    if (at == columns_.end()) return std::nullopt;
    return at->second;
  }
  base::Result<std::size_t> wanted(std::string_view name) const {
    if (const auto found = column(name)) return *found;
    return base::invalid_argument(path_ + " has no column " + std::string(name) +
                                  ": give a file in the form of the Azure Functions 2019 data set");
  }
  std::size_t rows() const { return lines_.size() - 1; }
  base::Result<void> row(std::size_t index, Row& out) const {
    split(lines_[index + 1], out);
    if (out.size() == width_) return {};
    return base::invalid_argument(path_ + " line " + std::to_string(index + 2) + " has " + std::to_string(out.size()) +
                                  " fields, its header has " + std::to_string(width_));
  }
  base::Error bad_number(std::size_t index, std::string_view text) const {
    return base::invalid_argument(path_ + " line " + std::to_string(index + 2) + ": '" +
                                  std::string(text.substr(0, 40)) + "' is not a number that can stand here");
  }

 private:
  Table() = default;
  std::string path_;
  std::string text_;
  std::vector<std::string_view> lines_;
  std::map<std::string_view, std::size_t> columns_;
  std::size_t width_ = 0;
};

struct Memory {
  double average = 0;
  double low = 0;
};

double median(std::vector<double> values, double none) {
  if (values.empty()) return none;
  std::nth_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2), values.end());
  return values[values.size() / 2];
}

constexpr std::pair<const char*, double> kRunPoints[] = {
    {"percentile_Average_0", 0.0},   {"percentile_Average_1", 0.01},  {"percentile_Average_25", 0.25},
    {"percentile_Average_50", 0.5},  {"percentile_Average_75", 0.75}, {"percentile_Average_99", 0.99},
    {"percentile_Average_100", 1.0},
};

base::Result<std::map<std::string, Curve>> read_runs(const std::string& path) {
  EBB_TRY(const Table table, Table::read(path));
  EBB_TRY(const std::size_t function, table.wanted("HashFunction"));
  std::vector<std::pair<std::size_t, double>> points;
  for (const auto& [name, quantile] : kRunPoints) {
    EBB_TRY(const std::size_t column, table.wanted(name));
    points.emplace_back(column, quantile);
  }
  std::map<std::string, Curve> runs;
  Row row;
  for (std::size_t i = 0; i < table.rows(); ++i) {
    EBB_CHECKED(table.row(i, row));
    std::vector<Curve::Point> curve;
    for (const auto& [column, quantile] : points) {
      const auto value = number(row[column]);
      if (!value) return table.bad_number(i, row[column]);
      curve.push_back({.quantile = quantile, .value = *value});
    }
    runs.insert_or_assign(std::string(row[function]), Curve(std::move(curve)));
  }
  return runs;
}

base::Result<std::map<std::string, Memory>> read_memory(const std::string& path) {
  EBB_TRY(const Table table, Table::read(path));
  EBB_TRY(const std::size_t app, table.wanted("HashApp"));
  EBB_TRY(const std::size_t average, table.wanted("AverageAllocatedMb"));
  EBB_TRY(const std::size_t low, table.wanted("AverageAllocatedMb_pct1"));
  std::map<std::string, Memory> memory;
  Row row;
  for (std::size_t i = 0; i < table.rows(); ++i) {
    EBB_CHECKED(table.row(i, row));
    const auto mean = number(row[average]);
    const auto least = number(row[low]);
    if (!mean || *mean < 0) return table.bad_number(i, row[average]);
    if (!least || *least < 0) return table.bad_number(i, row[low]);
    memory.insert_or_assign(std::string(row[app]), Memory{.average = *mean, .low = std::min(*least, *mean)});
  }
  return memory;
}

// Nine in ten of the minutes with calls have the same number of them and lie at the same distance.
bool looks_regular(const std::vector<std::uint32_t>& per_minute) {
  std::map<std::size_t, std::size_t> distances;
  std::map<std::uint32_t, std::size_t> counts;
  std::size_t active = 0;
  std::optional<std::size_t> last;
  for (std::size_t minute = 0; minute < per_minute.size(); ++minute) {
    if (per_minute[minute] == 0) continue;
    ++active;
    ++counts[per_minute[minute]];
    if (last) ++distances[minute - *last];
    last = minute;
  }
  if (active < 6) return false;
  const auto mode = [](const auto& found) {
    std::size_t most = 0;
    for (const auto& [value, times] : found) most = std::max(most, times);
    return most;
  };
  return 10 * mode(distances) >= 9 * (active - 1) && 10 * mode(counts) >= 9 * active;
}

base::Result<std::vector<std::size_t>> minute_columns(const Table& table, const std::string& path) {
  std::vector<std::size_t> columns;
  while (columns.size() < kTraceMinutes) {
    const std::string minute = std::to_string(columns.size() + 1);
    auto column = table.column(minute);
    if (!column) column = table.column("minute_" + minute);
    if (!column) break;
    columns.push_back(*column);
  }
  if (columns.empty())
    return base::invalid_argument(path + " has no column 1 or minute_1: it must count calls by minute");
  return columns;
}

base::Result<Trace> read_counts(const std::string& path) {
  EBB_TRY(const Table table, Table::read(path));
  EBB_TRY(const std::size_t function, table.wanted("HashFunction"));
  EBB_TRY(const std::size_t app, table.wanted("HashApp"));
  EBB_TRY(const std::vector<std::size_t> minutes, minute_columns(table, path));
  const auto trigger = table.column("Trigger");
  Trace trace;
  trace.minutes = static_cast<std::uint32_t>(minutes.size());
  std::map<std::string_view, std::uint32_t> apps;
  Row row;
  for (std::size_t i = 0; i < table.rows(); ++i) {
    EBB_CHECKED(table.row(i, row));
    TraceFunction one;
    one.name = std::string(row[app]) + "/" + std::string(row[function]);
    one.app = apps.emplace(row[app], static_cast<std::uint32_t>(apps.size())).first->second;
    for (const std::size_t column : minutes) {
      const auto count = number(row[column]);
      if (!count || *count < 0 || *count > kTraceCallsPerMinute) return table.bad_number(i, row[column]);
      one.per_minute.push_back(static_cast<std::uint32_t>(*count));
    }
    one.regular = (trigger && row[*trigger] == "timer") || looks_regular(one.per_minute);
    trace.functions.push_back(std::move(one));
  }
  trace.apps = static_cast<std::uint32_t>(apps.size());
  return trace;
}

std::string beside(const std::string& path, std::string_view part, std::string_view other) {
  const auto folder = path.rfind('/');
  const auto at = path.rfind(part);
  if (at == std::string::npos || (folder != std::string::npos && at < folder)) return {};
  return path.substr(0, at) + std::string(other) + path.substr(at + part.size());
}

base::Result<TraceFiles> find_files(TraceFiles files) {
  constexpr std::string_view kCounts = "invocations_per_function_md";
  if (files.durations.empty()) files.durations = beside(files.invocations, kCounts, "function_durations_percentiles");
  if (files.durations.empty()) files.durations = beside(files.invocations, "_inv", "_run");
  if (files.memory.empty()) files.memory = beside(files.invocations, kCounts, "app_memory_percentiles");
  if (files.memory.empty()) files.memory = beside(files.invocations, "_inv", "_mem");
  if (!files.durations.empty() && !files.memory.empty()) return files;
  return base::invalid_argument("cannot tell the files that belong to " + files.invocations +
                                " by its name: give them with --durations and --memory");
}

}  // namespace

std::uint64_t TraceFunction::calls() const {
  return std::accumulate(per_minute.begin(), per_minute.end(), std::uint64_t{0});
}

std::uint64_t Trace::calls() const {
  std::uint64_t sum = 0;
  for (const TraceFunction& function : functions) sum += function.calls();
  return sum;
}

base::Result<Trace> read_trace(TraceFiles given) {
  EBB_TRY(const TraceFiles files, find_files(std::move(given)));
  EBB_TRY(Trace trace, read_counts(files.invocations));
  EBB_TRY(const auto runs, read_runs(files.durations));
  EBB_TRY(const auto memory, read_memory(files.memory));
  std::vector<double> run_medians;
  std::vector<double> averages;
  std::vector<double> lows;
  for (const auto& [name, run] : runs) run_medians.push_back(run.at(0.5));
  for (const auto& [name, app] : memory) {
    averages.push_back(app.average);
    lows.push_back(app.low);
  }
  const Curve usual_run = Curve::constant(median(run_medians, 100));
  const Memory usual_memory{.average = median(averages, 128), .low = median(lows, 100)};
  for (TraceFunction& function : trace.functions) {
    const auto slash = function.name.find('/');
    const std::string app = function.name.substr(0, slash);
    const auto run = runs.find(function.name.substr(slash + 1));
    const auto held = memory.find(app);
    function.run_ms = run == runs.end() ? usual_run : run->second;
    function.memory_mb = std::max(1.0, held == memory.end() ? usual_memory.average : held->second.average);
    function.memory_low_mb = held == memory.end() ? usual_memory.low : held->second.low;
    function.name = app.substr(0, 8) + "/" + function.name.substr(slash + 1, 8);
  }
  return trace;
}

Trace excerpt(const Trace& trace, std::uint32_t first, std::uint32_t minutes) {
  Trace part = trace;
  part.minutes = first >= trace.minutes ? 0 : std::min(minutes, trace.minutes - first);
  for (TraceFunction& function : part.functions) {
    const auto begin = function.per_minute.begin() + std::min(first, trace.minutes);
    function.per_minute = std::vector<std::uint32_t>(begin, begin + part.minutes);
  }
  return part;
}

}  // namespace ebb::sim
