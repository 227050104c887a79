// The handler of app.py in C++.
#include <ebb/function.h>

#include <chrono>
#include <string>
#include <thread>

namespace {

constexpr int kPieces = 2;
constexpr std::chrono::milliseconds kPause{5};

ebb::Response handler(const ebb::Event&, ebb::Context& context) {
  ebb::Stream out = context.stream(200, {{"content-type", "text/plain"}});
  for (int number = 0; number < kPieces; ++number) {
    if (number > 0) std::this_thread::sleep_for(kPause);
    const std::chrono::nanoseconds now = std::chrono::steady_clock::now().time_since_epoch();
    if (!out.write(std::to_string(now.count()) + "\n")) break;
  }
  return out.end();
}

}  // namespace

EBB_FUNCTION(handler)
