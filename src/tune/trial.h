// A trial: versions of one function at several sizes, made on the node, called in turns, and read from their usage
// records. Whoever starts it removes the versions, for it may end at any point (Ctrl-C).
#pragma once

#include <boost/asio/io_context.hpp>
#include <optional>
#include <string>
#include <vector>

#include "cli/rest.h"
#include "cli/terminal.h"
#include "io/task.h"
#include "tune/sizes.h"

namespace ebb::tune {

struct TrialOptions {
  std::string app;
  std::string function;
  std::string event = "{}";                 // JSON, or what is sent to `path`
  std::string path;                         // set: a request to the function's URL instead of a direct call
  std::string method = "GET";               // of it
  std::vector<base::Bytes> memories{};      // empty: the function's own, and what a first call says is enough
  std::vector<std::uint32_t> cpu_millis{};  // empty: usual_cpus()
  std::uint32_t calls = 20;                 // of each size, beside the first
  bool quiet = false;                       // says nothing on standard error
};

class Trial {
 public:
  Trial(io::asio::io_context& context, const cli::Rest& rest, TrialOptions options, const cli::Terminal& terminal);

  /// Runs all of it, then stops the context. The outcome is in result(); nothing there means that it was broken off.
  static io::Task<> perform(Trial& self);

  /// By cores, then by memory.
  const std::optional<base::Result<std::vector<Measured>>>& result() const { return result_; }
  /// Paths of the versions that are on the node because of this trial.
  const std::vector<std::string>& made() const { return made_; }
  void clear_line() { line_.clear(); }

 private:
  struct Tried {
    Measured measured;
    std::uint64_t version = 0;
    std::vector<std::string> requests{};  // their ids, the first one's in front
  };

  io::Task<base::Result<std::vector<Measured>>> run();
  io::Task<base::Result<>> look();
  /// One call at the present size, for what memory it needs.
  io::Task<base::Result<>> choose_memories();
  io::Task<base::Result<>> make_versions();
  io::Task<base::Result<>> call_in_turns();
  /// Gives the request id. `milliseconds`: as the caller saw it.
  io::Task<base::Result<std::string>> call(std::uint64_t version, double* milliseconds);
  io::Task<base::Result<>> read_records();
  io::Task<base::Result<Sample>> record_of(std::string request) const;
  std::string base_path() const;

  io::asio::io_context& context_;
  const cli::Rest& rest_;
  TrialOptions options_;
  cli::ProgressLine line_;

  Size current_;
  std::uint64_t current_version_ = 0;
  double zygote_mb_ = 0;
  std::vector<Tried> tried_;
  std::vector<std::string> made_;
  std::optional<base::Result<std::vector<Measured>>> result_;
};

}  // namespace ebb::tune
