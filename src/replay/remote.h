// The node under replay, through its REST interface: everything the command asks of it, as coroutines, so that calls,
// samples and Ctrl-C run beside each other on one thread.
//
// Errors: those of cli::Rest.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "cli/rest.h"
#include "io/task.h"
#include "replay/plan.h"

namespace ebb::replay {

/// What a node's /metrics say of some apps.
struct Reading {
  double held_gb_seconds = 0;   // by all tiers, since the node started
  double spare_gb_seconds = 0;  // of it by spares
  double memory_budget_mb = 0;
  double keep_alive_price = 0;
  double processors = 0;
  std::uint32_t spares_most = 0;
  std::map<std::string, double> runtime_mb;                         // by app
  std::map<std::pair<std::string, std::string>, double> zygote_mb;  // by app and function: of the newest zygote
};

/// Errors: kInvalidArgument when the text lacks a metric that is needed: the node is older than this command.
base::Result<Reading> parse_metrics(std::string_view text, const std::vector<std::string>& apps);

/// One usage record, as much as a replay needs.
struct Record {
  std::string request_id;
  std::string function;
  std::string app;
  std::string rung;
  std::string outcome;
  bool closed = false;
  double queue_ms = 0;
  double start_ms = 0;
  double init_ms = 0;
  double handler_ms = 0;
  double memory_peak_mb = 0;
  double cpu_ms = 0;
};

class Remote {
 public:
  explicit Remote(const cli::Rest& rest) : rest_(rest) {}

  io::Task<base::Result<http::ClientResponse>> send(http::ClientRequest request, base::Duration limit) const;
  io::Task<base::Result<cli::Rest::Document>> get(std::string path) const;

  io::Task<base::Result<Reading>> metrics(std::vector<std::string> apps) const;
  /// Errors: also kConflict when the app is there.
  io::Task<base::Result<>> expect_no_app(std::string app) const;
  /// All records of an app that arrived in that time, in pieces of at most limits::kUsagePageRecords.
  io::Task<base::Result<std::vector<Record>>> records(std::string app, base::WallTime since,
                                                      base::WallTime until) const;
  /// The newest records of the node, as `ebb usage --json` prints them.
  io::Task<base::Result<std::string>> usage_text() const;

 private:
  const cli::Rest& rest_;
};

}  // namespace ebb::replay
