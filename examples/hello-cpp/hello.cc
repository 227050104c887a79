// The smallest function in C++: it greets whoever is named in the query, ?name=Ada; /count streams.
#include <ebb/function.h>

#include <chrono>
#include <cstdio>
#include <string>
#include <thread>

namespace {

ebb::Response count(ebb::Context& context) {
  ebb::Stream stream = context.stream(200, {{"content-type", "text/plain"}});
  for (int number = 1; number <= 5; ++number) {
    if (!stream.write(std::to_string(number) + "\n")) break;  // the client has gone
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
  }
  return stream.end();
}

ebb::Response handler(const ebb::Event& event, ebb::Context& context) {
  if (event.path() == "/count") return count(context);
  const std::string name = event.query("name", "world");
  std::printf("greeting %s\n", name.c_str());
  return "hello, " + name + "\n";
}

}  // namespace

EBB_FUNCTION(handler)
