#include "sandbox/output_pipe.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/dispatch.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cerrno>

#include "io/deadline.h"

namespace ebb::sandbox {

namespace asio = io::asio;

namespace {
constexpr std::chrono::milliseconds kFloodRest(2);
}

base::Result<std::shared_ptr<OutputPipe>> OutputPipe::open(asio::io_context& context, Sink sink, os::Fd* write_end,
                                                           Rest rest) {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) return base::os_error("pipe for a function's output", errno);
  os::Fd read_end(ends[0]);
  *write_end = os::Fd(ends[1]);
  ::fcntl(read_end.get(), F_SETFL, O_NONBLOCK);  // only our end: the function's writes block as it expects
  const std::shared_ptr<OutputPipe> pipe(
      new OutputPipe(context, std::move(sink), std::move(rest), std::move(read_end)));
  io::spawn(context, "output pipe", follow(pipe));
  return pipe;
}

OutputPipe::OutputPipe(asio::io_context& context, Sink sink, Rest rest, os::Fd read_end)
    : pipe_(context, read_end.get()), fd_(read_end.release()), sink_(std::move(sink)), rest_(std::move(rest)) {}

void OutputPipe::begin(const base::InvocationId& id) {
  base::MutexLock lock(mutex_);
  current_ = id;
  lines_.begin();
}

std::uint64_t OutputPipe::finish() {
  base::MutexLock lock(mutex_);
  if (!closed_) drain();
  lines_.finish();
  emit();
  return lines_.take_dropped();
}

void OutputPipe::close() {
  {
    base::MutexLock lock(mutex_);
    if (closed_) return;
    closed_ = true;
  }
  // The descriptor belongs to its core's reactor: closed there.
  asio::dispatch(pipe_.get_executor(), [self = shared_from_this()] {
    boost::system::error_code ignored;
    self->pipe_.close(ignored);
  });
}

io::Task<> OutputPipe::follow(std::shared_ptr<OutputPipe> self) {
  const auto token = asio::as_tuple(asio::use_awaitable);
  for (;;) {
    const auto [error] = co_await self->pipe_.async_wait(asio::posix::stream_descriptor::wait_read, token);
    if (error) co_return;
    bool flooded = false;
    {
      base::MutexLock lock(self->mutex_);
      if (self->closed_) co_return;
      const Drained drained = self->drain();
      self->emit();
      if (drained == Drained::kClosed) co_return;
      flooded = self->lines_.floods();
    }
    // Who writes more than is kept waits for us, not our core for him: at least 30 MB/s are read and dropped.
    if (flooded) co_await io::sleep_for(kFloodRest);
  }
}

// Bounded, so that a process that never stops writing cannot hold a core: the reader comes back for the rest.
OutputPipe::Drained OutputPipe::drain() {
  constexpr int kReadsMax = 4;
  std::array<char, 64 * 1024> buffer;
  for (int i = 0; i < kReadsMax; ++i) {
    const ssize_t got = ::read(fd_, buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return Drained::kOpen;
    if (got == 0) return Drained::kClosed;
    lines_.add(std::string_view(buffer.data(), static_cast<std::size_t>(got)));
  }
  return Drained::kOpen;
}

void OutputPipe::emit() {
  const std::vector<std::string> lines = lines_.take();
  if (!lines.empty()) sink_(current_, lines);
  if (!rest_) return;
  const std::vector<std::string> rest = lines_.take_rest();
  if (!rest.empty()) rest_(rest);
}

}  // namespace ebb::sandbox
