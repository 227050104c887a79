#include "cli/interrupt.h"

#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <csignal>

namespace ebb::cli {

bool run_until_interrupted(io::asio::io_context& context) {
  bool interrupted = false;
  io::asio::signal_set signals(context, SIGINT, SIGTERM);
  signals.async_wait([&](const boost::system::error_code& error, int) {
    if (error) return;
    interrupted = true;
    context.stop();
  });
  context.run();
  return interrupted;
}

}  // namespace ebb::cli
