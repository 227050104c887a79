// The pipe behind a sandboxed process's stdout or stderr, and whose words come out of it.
//
// 1. What was written before an invocation's result was sent belongs to that invocation: finish() drains the pipe
// before the lease ends.
// 2. How much of it is kept, and how it is cut into lines: output_lines.h.
// Called by node: one for each stream of each instance and zygote.
#pragma once

#include <boost/asio/posix/stream_descriptor.hpp>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/id.h"
#include "base/mutex.h"
#include "io/task.h"
#include "os/fd.h"
#include "sandbox/output_lines.h"

namespace ebb::sandbox {

class OutputPipe : public std::enable_shared_from_this<OutputPipe> {
 public:
  /// Takes whole lines (without the line break) of one invocation. Called on any core, never at the same time for one
  /// pipe.
  using Sink = std::function<void(const base::InvocationId&, const std::vector<std::string>& lines)>;

  /// Takes the newest lines of what is not kept (OutputLines::take_rest), for whom only the end matters. Likewise.
  using Rest = std::function<void(const std::vector<std::string>& lines)>;

  /// Makes the pipe and begins to read it on `context`. The write end, to be sent to the launcher, is given out through
  /// `write_end`. Errors: that of pipe2.
  static base::Result<std::shared_ptr<OutputPipe>> open(io::asio::io_context& context, Sink sink, os::Fd* write_end,
                                                        Rest rest = nullptr);

  /// From here on, output belongs to this invocation, and as much is kept again.
  void begin(const base::InvocationId& id);
  /// Reads what is left without waiting and flushes the last, unfinished line. Returns the bytes dropped since it was
  /// called last.
  std::uint64_t finish();
  /// Stops reading and closes; safe to call twice.
  void close();

 private:
  OutputPipe(io::asio::io_context& context, Sink sink, Rest rest, os::Fd read_end);
  static io::Task<> follow(std::shared_ptr<OutputPipe> self);
  enum class Drained : bool { kOpen, kClosed };
  Drained drain() EBB_REQUIRES(mutex_);
  void emit() EBB_REQUIRES(mutex_);

  base::Mutex mutex_;
  io::asio::posix::stream_descriptor pipe_;
  const int fd_;
  bool closed_ EBB_GUARDED_BY(mutex_) = false;
  Sink sink_;
  Rest rest_;
  base::InvocationId current_ EBB_GUARDED_BY(mutex_){};
  OutputLines lines_ EBB_GUARDED_BY(mutex_);
};

}  // namespace ebb::sandbox
