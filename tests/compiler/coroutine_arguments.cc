// Canaries for g++ 12's coroutine bugs: four ways to give a temporary to an awaited call. A correct compiler makes and
// ends the same number of objects in each; g++ 12 gets all but "named" wrong. The style test's coroutine rule allows
// only "named".
//
// usage: coroutine_arguments named|aggregate|condition|lambda; ends with 0 when the compiler is right, 1 or a crash
// when not.
#include <coroutine>
#include <cstdio>
#include <exception>
#include <string>
#include <string_view>
#include <utility>

namespace {

struct Tracked {
  static inline int made = 0;
  static inline int ended = 0;
  std::string text;

  explicit Tracked(const char* t) : text(t) { ++made; }
  Tracked(const Tracked& other) : text(other.text) { ++made; }
  Tracked(Tracked&& other) noexcept : text(std::move(other.text)) { ++made; }
  ~Tracked() { ++ended; }
};

struct Options {
  Tracked name;
  int number = 0;
};

constexpr const char* kLong = "longer than any small-string buffer, so that a double end is a double free";

class Task {
 public:
  struct promise_type {
    std::coroutine_handle<> caller = std::noop_coroutine();
    bool value = false;

    Task get_return_object() { return Task(std::coroutine_handle<promise_type>::from_promise(*this)); }
    std::suspend_always initial_suspend() noexcept { return {}; }
    struct Final {
      bool await_ready() noexcept { return false; }
      std::coroutine_handle<> await_suspend(std::coroutine_handle<promise_type> h) noexcept {
        return h.promise().caller;
      }
      void await_resume() noexcept {}
    };
    Final final_suspend() noexcept { return {}; }
    void return_value(bool v) { value = v; }
    void unhandled_exception() { std::terminate(); }
  };

  explicit Task(std::coroutine_handle<promise_type> handle) : handle_(handle) {}
  Task(Task&& other) noexcept : handle_(std::exchange(other.handle_, {})) {}
  ~Task() {
    if (handle_) handle_.destroy();
  }
  bool await_ready() { return false; }
  std::coroutine_handle<> await_suspend(std::coroutine_handle<> caller) {
    handle_.promise().caller = caller;
    return handle_;
  }
  bool await_resume() { return handle_.promise().value; }
  void run() { handle_.resume(); }

 private:
  std::coroutine_handle<promise_type> handle_;
};

Task take(Options options) { co_return options.name.text.size() == 0; }

template <typename Function>
Task call(Function function) {
  co_return function();
}

Task named() {
  Options options{.name = Tracked(kLong), .number = 1};
  const bool empty = co_await take(std::move(options));
  co_return empty;
}

Task aggregate() {
  co_await take(Options{.name = Tracked(kLong), .number = 1});
  co_return true;
}

Task condition() {
  if (co_await take(Options{.name = Tracked(kLong), .number = 1})) co_return false;
  co_return true;
}

Task lambda() {
  Tracked tracked(kLong);
  co_await call([tracked] { return tracked.text.empty(); });
  co_return true;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string_view form = argc > 1 ? argv[1] : "";
  {
    Task task = form == "named"       ? named()
                : form == "aggregate" ? aggregate()
                : form == "condition" ? condition()
                                      : lambda();
    task.run();
  }
  std::printf("made %d, ended %d\n", Tracked::made, Tracked::ended);
  return Tracked::made > 0 && Tracked::made == Tracked::ended ? 0 : 1;
}
