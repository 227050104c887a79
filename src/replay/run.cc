#include "replay/run.h"

#include <boost/json/array.hpp>

#include "base/limits.h"
#include "io/deadline.h"
#include "replay/package.h"
#include "replay/prediction.h"

namespace ebb::replay {
namespace {

using namespace std::chrono_literals;
using namespace io::asio::experimental::awaitable_operators;

constexpr auto kUploadLimit = 30s;
constexpr auto kDeployLimit = 10min;       // of one app
constexpr auto kRemoveLimit = 2min;        // instances are ended first
constexpr int kPollMs = 1'000;             // of a deployment's next step
constexpr auto kBreath = 500ms;            // between the last deployment and the first call
constexpr auto kShowEvery = 200ms;         // the progress line
constexpr auto kRecordsLimit = 20s;        // for the last records to be closed
constexpr auto kClockSlack = 5s;           // between this machine's clock and the node's
constexpr std::size_t kSamplesLeast = 20;  // of a rung, to be taken for the node's own start times

std::string bar(double part) {
  constexpr std::size_t kWidth = 24;
  const auto filled = static_cast<std::size_t>(std::clamp(part, 0.0, 1.0) * kWidth);
  return "[" + std::string(filled, '#') + std::string(kWidth - filled, '-') + "]";
}

double seconds(base::Duration duration) { return std::chrono::duration<double>(duration).count(); }

}  // namespace

Run::Run(io::asio::io_context& context, const cli::Rest& rest, const sim::Trace& trace, RunOptions options,
         const cli::Terminal& terminal)
    : context_(context),
      rest_(rest),
      remote_(rest),
      trace_(trace),
      options_(std::move(options)),
      line_(terminal.err && !options_.quiet) {}

void Run::say(const std::string& text) {
  line_.clear();
  if (!options_.quiet) cli::print_err(text + "\n");
}

io::Task<> Run::perform(Run& self) {
  base::Result<Comparison> outcome = co_await self.replay();
  self.line_.clear();
  self.result_ = std::move(outcome);
  self.context_.stop();
}

io::Task<base::Result<Comparison>> Run::replay() {
  const base::Result<> looked = co_await look_at_node();
  if (!looked) co_return looked.error();
  EBB_CO_TRY(plan_, make_plan(trace_, options_.plan, room_, calibration_));
  const base::Result<> deployed = co_await deploy_all();
  if (!deployed) co_return deployed.error();
  const base::WallTime since = base::wall_now() - kClockSlack;
  const base::Result<> noted = co_await note_earlier(since);
  if (!noted) co_return noted.error();
  base::Result<Reading> reading = co_await remote_.metrics(plan_.apps);
  if (!reading) co_return reading.error();
  // Predicted before the first call: nothing of what follows is known to it.
  const base::SteadyTime start = base::steady_now() + kBreath;
  PredictionOptions options{.room = room_};
  describe_deployments(start, options);
  for (const auto& [app, megabytes] : reading->runtime_mb)
    options.runtime_mb += megabytes / static_cast<double>(reading->runtime_mb.size());
  EBB_CO_TRY(predicted_, predict(plan_, calibration_, options));
  const base::Result<> called = co_await call_all(start);
  if (!called) co_return called.error();
  const base::Result<> read = co_await read_records(since);
  if (!read) co_return read.error();
  measured_.outcomes = caller_->outcomes();
  measured_.first_error = caller_->first_error();
  Live live = live_of(plan_, measured_);
  co_return Comparison{.trace = options_.trace_name,
                       .plan = plan_,
                       .room = room_,
                       .calibrated_on = calibration_.measured_on,
                       .live = std::move(live),
                       .predicted = predicted_};
}

io::Task<base::Result<>> Run::look_at_node() {
  const std::vector<std::string> none;
  base::Result<Reading> reading = co_await remote_.metrics(none);
  if (!reading) co_return reading.error();
  room_ = {.memory_mb = reading->memory_budget_mb,
           .processors = reading->processors,
           .keep_alive_price = reading->keep_alive_price,
           .spares_most = reading->spares_most};
  calibration_ = sim::default_calibration();
  if (options_.calibration) {
    calibration_ = *options_.calibration;
    co_return base::Result<>();
  }
  base::Result<std::string> usage = co_await remote_.usage_text();
  if (!usage) co_return usage.error();
  auto own = sim::calibrate(*usage, calibration_, "this node, by its usage records", kSamplesLeast);
  // How long a function's init takes is the plan's to choose; the records only have those of earlier functions.
  if (own) own->init_ms = calibration_.init_ms;
  if (own) calibration_ = std::move(*own);
  co_return base::Result<>();
}

io::Task<base::Result<>> Run::deploy_all() {
  for (const std::string& app : plan_.apps) {
    const base::Result<> free = co_await remote_.expect_no_app(app);
    if (!free) co_return free.error();
  }
  for (const std::string& app : plan_.apps) {
    EBB_CO_TRY(std::string archive, package_of(plan_, app));
    http::ClientRequest request{.method = "POST", .url = "/api/v1/deployments"};
    request.headers.add("Content-Type", "application/gzip");
    request.body = std::move(archive);
    // Blocking, and short: Ctrl-C comes before it or after it, and then knows what there is to be removed.
    EBB_CO_TRY(const http::ClientResponse answer, rest_.call(std::move(request), kUploadLimit));
    EBB_CO_TRY(const boost::json::object object, cli::json_object(answer.body));
    deployed_.push_back({.name = app, .deployment = cli::count_of(object, "id")});
    const base::Result<> followed = co_await follow(deployed_.back());
    if (!followed) co_return followed.error();
  }
  say("deployed " + std::to_string(plan_.functions.size()) + " functions as " + plan_.apps.front() +
      (plan_.apps.size() > 1 ? " to " + plan_.apps.back() : std::string()));
  co_return base::Result<>();
}

io::Task<base::Result<>> Run::follow(DeployedApp& app) {
  const base::SteadyTime give_up = base::steady_now() + kDeployLimit;
  std::uint64_t after = 0;
  while (base::steady_now() < give_up) {
    std::string path = "/api/v1/deployments/" + std::to_string(app.deployment) + "?wait_ms=" + std::to_string(kPollMs) +
                       "&after=" + std::to_string(after);
    const base::Result<cli::Rest::Document> status = co_await remote_.get(std::move(path));
    if (!status) co_return status.error();
    note_events(status->object, app.name, after);
    const std::string state = cli::text_of(status->object, "state");
    if (state == "running") continue;
    app.done = true;
    load_ended(base::steady_now());
    if (state == "succeeded") co_return base::Result<>();
    const auto* error = status->object.if_contains("error");
    const boost::json::object none;
    const boost::json::object& why = error != nullptr && error->is_object() ? error->get_object() : none;
    co_return base::Error{.code = base::code_named(cli::text_of(why, "code")),
                          .message = "the app " + app.name + " cannot be deployed: " + cli::text_of(why, "message")};
  }
  co_return base::Error{.code = base::Code::kDeadlineExceeded,
                        .message = "the app " + app.name + " is not deployed after " +
                                   base::to_string(base::Duration(kDeployLimit)) + ": replay fewer --functions"};
}

// "importing app.handler of f7": the zygote loads from then on, until the next event.
void Run::note_events(const boost::json::object& status, const std::string& app, std::uint64_t& after) {
  const auto* events = status.if_contains("events");
  if (events == nullptr || !events->is_array()) return;
  for (const boost::json::value& value : events->get_array()) {
    if (!value.is_object()) continue;
    const boost::json::object& event = value.get_object();
    after = std::max(after, cli::count_of(event, "sequence"));
    const std::string message = cli::text_of(event, "message");
    const auto last = message.rfind(' ');
    const base::SteadyTime now = base::steady_now();
    load_ended(now);
    if (cli::text_of(event, "phase") == "zygote" && last != std::string::npos) {
      loading_ = &loads_[{app, message.substr(last + 1)}];
      loading_->begun = now;
    }
  }
  const std::size_t all = plan_.functions.size();
  line_.show("deploying " + bar(static_cast<double>(loads_.size()) / static_cast<double>(all)) + " " +
             std::to_string(loads_.size()) + " of " + std::to_string(all) + " functions");
}

void Run::load_ended(base::SteadyTime now) {
  if (loading_ != nullptr) loading_->took = now - loading_->begun;
  loading_ = nullptr;
}

// A program's trial has loaded what each of its instances will: what is beyond a zygote in which nothing is loaded.
void Run::describe_deployments(base::SteadyTime start, PredictionOptions& options) const {
  std::vector<double> bare_ms;  // of the others, less their init
  for (const PlannedFunction& function : plan_.functions) {
    const auto at = loads_.find({function.app, function.name});
    const Load load = at == loads_.end() ? Load{.begun = start - kBreath} : at->second;
    options.deployed_before.push_back(start - load.begun);
    options.loads.push_back(load.took);
    const double took_ms = seconds(load.took) * 1000;
    if (!function.program && load.took > base::Duration::zero()) bare_ms.push_back(took_ms - function.init_ms);
  }
  std::sort(bare_ms.begin(), bare_ms.end());
  const double bare = bare_ms.empty() ? calibration_.runtime_ms.at(0.5) - calibration_.fork_ms.at(0.5)
                                      : std::max(0.0, bare_ms[bare_ms.size() / 2]);
  const auto bare_takes = base::Duration(static_cast<std::int64_t>(bare * 1e6));
  for (const base::Duration load : options.loads)
    options.program_loads.push_back(std::max(base::Duration::zero(), load - bare_takes));
}

io::Task<base::Result<>> Run::call_all(base::SteadyTime start) {
  caller_.emplace(context_, remote_, plan_);
  say("replaying " + std::to_string(plan_.calls.size()) + " calls in " +
      std::to_string(static_cast<int>(seconds(plan_.length))) + " s");
  co_await (caller_->play(start) && sample(start) && show_progress(start));
  co_return sampled_;
}

// What is held, at every border of a minute of the trace.
io::Task<> Run::sample(base::SteadyTime start) {
  co_await io::sleep_until(start);
  double before = 0;
  double first = 0;
  double first_spares = 0;
  for (base::Duration at{};; at = std::min(at + plan_.bucket, plan_.length)) {
    const base::SteadyTime due = start + at;
    co_await io::sleep_until(due);
    base::Result<Reading> reading = co_await remote_.metrics(plan_.apps);
    if (!reading) sampled_ = reading.error();
    if (!reading) co_return;
    const double held = reading->held_gb_seconds;
    if (at == base::Duration::zero()) {
      first = held;
      first_spares = reading->spare_gb_seconds;
    } else {
      measured_.held_gb_by_bucket.push_back((held - before) / seconds(plan_.bucket));
    }
    before = held;
    measured_.held_gb_seconds = held - first;
    measured_.spare_gb_seconds = reading->spare_gb_seconds - first_spares;
    measured_.reading = std::move(*reading);
    if (at == plan_.length) co_return;
  }
}

io::Task<> Run::show_progress(base::SteadyTime start) {
  while (caller_->ended() < plan_.calls.size()) {
    const base::Duration gone = std::max(base::Duration::zero(), base::steady_now() - start);
    const double left = std::max(0.0, seconds(plan_.length - gone));
    line_.show("replaying " + bar(seconds(gone) / seconds(plan_.length)) + " " + std::to_string(caller_->ended()) +
               " of " + std::to_string(plan_.calls.size()) + " calls, " + std::to_string(caller_->errors()) +
               " errors, " + std::to_string(static_cast<int>(left)) + " s left");
    co_await io::sleep_for(kShowEvery);
  }
  line_.clear();
}

// An earlier replay's apps may have had the same names, and the clocks need not agree on what was earlier.
io::Task<base::Result<>> Run::note_earlier(base::WallTime since) {
  for (const std::string& app : plan_.apps) {
    base::Result<std::vector<Record>> records = co_await remote_.records(app, since, base::wall_now() + kClockSlack);
    if (!records) co_return records.error();
    for (Record& record : *records) earlier_.insert(std::move(record.request_id));
  }
  co_return base::Result<>();
}

io::Task<base::Result<>> Run::read_records(base::WallTime since) {
  const base::SteadyTime give_up = base::steady_now() + kRecordsLimit;
  for (;;) {
    measured_.records.clear();
    bool all_closed = true;
    for (const std::string& app : plan_.apps) {
      base::Result<std::vector<Record>> records = co_await remote_.records(app, since, base::wall_now() + kClockSlack);
      if (!records) co_return records.error();
      for (Record& record : *records) {
        if (earlier_.contains(record.request_id)) continue;
        all_closed = all_closed && record.closed;
        measured_.records.push_back(std::move(record));
      }
    }
    if (all_closed || base::steady_now() > give_up) co_return base::Result<>();
    co_await io::sleep_for(kShowEvery);
  }
}

base::Result<> remove_deployed(const cli::Rest& rest, const std::vector<DeployedApp>& apps) {
  base::Result<> outcome;
  for (const DeployedApp& app : apps) {
    const base::SteadyTime give_up = base::steady_now() + kRemoveLimit;
    bool done = app.done;
    while (!done && base::steady_now() < give_up) {
      const auto status =
          rest.get("/api/v1/deployments/" + std::to_string(app.deployment) + "?wait_ms=" + std::to_string(kPollMs));
      done = !status || cli::text_of(status->object, "state") != "running";
    }
    http::ClientRequest request{.method = "DELETE", .url = "/api/v1/apps/" + app.name};
    const auto removed = rest.call(std::move(request), kRemoveLimit);
    const bool gone = removed || removed.error().code == base::Code::kNotFound;  // a deployment that failed left none
    if (!gone && outcome) {
      outcome = base::Error{.code = removed.error().code,
                            .message = "the app " + app.name + " is still there (" + removed.error().message +
                                       "): remove it with ebb rm " + app.name};
    }
  }
  return outcome;
}

}  // namespace ebb::replay
