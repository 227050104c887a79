// A replay from its plan to its comparison: deploys, predicts, calls, measures. Whoever starts it cleans up after it,
// for a run may end at any point (Ctrl-C).
#pragma once

#include <boost/asio/io_context.hpp>
#include <map>
#include <optional>
#include <string>
#include <unordered_set>
#include <vector>

#include "cli/terminal.h"
#include "replay/caller.h"
#include "replay/comparison.h"
#include "replay/prediction.h"

namespace ebb::replay {

/// An app that this run has put on the node, or is putting there.
struct DeployedApp {
  std::string name;
  std::uint64_t deployment = 0;
  bool done = false;  // whether the deployment has ended
};

struct RunOptions {
  std::string trace_name;
  PlanOptions plan;
  /// Start times; none: of the node's own records, as far as there are enough.
  std::optional<sim::Calibration> calibration;
  bool quiet = false;  // says nothing on standard error
};

class Run {
 public:
  Run(io::asio::io_context& context, const cli::Rest& rest, const sim::Trace& trace, RunOptions options,
      const cli::Terminal& terminal);

  /// Runs all of it, then stops the context. The outcome is in result(); nothing there means that it was broken off.
  static io::Task<> perform(Run& self);

  const std::optional<base::Result<Comparison>>& result() const { return result_; }
  const std::vector<DeployedApp>& deployed() const { return deployed_; }
  /// Leaves the terminal's line clean.
  void clear_line() { line_.clear(); }

 private:
  io::Task<base::Result<Comparison>> replay();
  io::Task<base::Result<>> look_at_node();
  io::Task<base::Result<>> deploy_all();
  io::Task<base::Result<>> follow(DeployedApp& app);
  void note_events(const boost::json::object& status, const std::string& app, std::uint64_t& after);
  /// A deployment loads one zygote after the other.
  void load_ended(base::SteadyTime now);
  void describe_deployments(base::SteadyTime start, PredictionOptions& options) const;
  io::Task<base::Result<>> call_all(base::SteadyTime start);
  io::Task<> sample(base::SteadyTime start);
  io::Task<> show_progress(base::SteadyTime start);
  /// Remembers the records since then that are there before the first call.
  io::Task<base::Result<>> note_earlier(base::WallTime since);
  io::Task<base::Result<>> read_records(base::WallTime since);
  void say(const std::string& text);

  io::asio::io_context& context_;
  const cli::Rest& rest_;
  const Remote remote_;
  const sim::Trace& trace_;
  const RunOptions options_;
  cli::ProgressLine line_;

  Room room_;
  sim::Calibration calibration_;
  Plan plan_;
  std::vector<DeployedApp> deployed_;
  struct Load {
    base::SteadyTime begun;
    base::Duration took{};
  };
  std::map<std::pair<std::string, std::string>, Load> loads_;  // of zygotes, at the deployment; by app and function
  Load* loading_ = nullptr;                                    // the one that has not ended
  std::optional<Caller> caller_;
  base::Result<> sampled_;
  std::unordered_set<std::string> earlier_;  // request ids
  Measured measured_;
  sim::Totals predicted_;
  std::optional<base::Result<Comparison>> result_;
};

/// Removes what a run has deployed, after the end of deployments under way. Blocking, for at most three minutes an app.
base::Result<> remove_deployed(const cli::Rest& rest, const std::vector<DeployedApp>& apps);

}  // namespace ebb::replay
