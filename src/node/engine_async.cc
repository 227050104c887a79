// Asynchronous calls as the engine takes them: which may be one, and for how many attempts a version has room.
#include "base/limits_async.h"
#include "node/engine.h"
#include "node/invocation.h"

namespace ebb::node {

namespace {

constexpr std::size_t kTraceparentChars = 55;  // of version 00; later ones may have more, which nobody here knows

// Web servers take requests, and models their protocol's.
bool takes_direct_calls(const model::Version& version) {
  const std::string& runtime = version.spec.runtime;
  return runtime != "model" && (runtime != "http" || version.spec.contract == model::Contract::kFc);
}

base::Error event_too_large(std::uint64_t bytes) {
  return base::Error{.code = base::Code::kTooLarge,
                     .message = "the event has " + std::to_string(bytes) + " bytes, an asynchronous call takes " +
                                std::to_string(limits::kAsyncEventBytes) + ": store it elsewhere and send where it is"};
}

}  // namespace

// That of the call at this moment; the one that it is delivered to may be another.
io::Task<base::Result<model::Version>> Engine::called_version(Call& call) {
  const base::Result<std::shared_ptr<VersionRunner>> known = known_runner(call);
  if (!known) co_return known.error();
  if (*known) co_return (*known)->version();
  std::function<base::Result<model::Version>()> find = [&metadata = services_.metadata, app = call.app,
                                                        function = call.function, number = call.version_number] {
    return metadata.version(app, function, number);
  };
  co_return co_await io::offload(services_.pool, "find version", std::move(find));
}

io::Task<base::Result<AcceptedCall>> Engine::accept(Call call) {
  if (draining_) {
    co_return base::Error{.code = base::Code::kUnavailable,
                          .message = "this node is shutting down",
                          .retry_after = std::chrono::seconds(1)};
  }
  const std::string name = call.app + "/" + call.function;
  const std::uint64_t announced = call.request.unread ? call.request.unread->length().value_or(0) : call.body.size();
  if (announced > limits::kAsyncEventBytes) co_return event_too_large(announced);
  if (call.content_type.size() > limits::kAsyncContentTypeBytes) {
    co_return base::invalid_argument("the content type has " + std::to_string(call.content_type.size()) +
                                     " bytes, an asynchronous call keeps one of up to " +
                                     std::to_string(limits::kAsyncContentTypeBytes));
  }
  if (call.content_type == model::kTimerEventType) {
    co_return base::invalid_argument("the content type " + call.content_type +
                                     " is that of the calls of timers: send application/json");
  }
  call.traceparent.resize(std::min(call.traceparent.size(), kTraceparentChars));  // of later versions, what is known
  const auto version = co_await called_version(call);
  if (!version) co_return version.error();
  if (!takes_direct_calls(*version)) {
    co_return base::invalid_argument(name +
                                     " is a web server or a model, which takes requests at its URL and no "
                                     "direct calls, so no asynchronous ones either");
  }
  if (call.request.unread) {
    std::shared_ptr<sandbox::HeldOfApp> of_app = services_.request_bodies.of(call.app);
    const base::Result<> whole = co_await read_body(call, std::move(of_app));
    if (!whole) co_return whole.error();
    if (call.body.size() > limits::kAsyncEventBytes) co_return event_too_large(call.body.size());
  }
  co_return co_await async_calls_.accept(std::move(call), version->spec.async);
}

// Half of what the version has: the rest is for callers that wait. One attempt has room at least. A version that is not
// loaded gets that one, which loads it; of one that is not there it says so.
AsyncCalls::Room Engine::async_room(const sched::AsyncCall& call) {
  Call asked{.id = call.id, .app = call.app, .function = call.function};
  ask_for_version(asked, call.version);
  asked.key_shown = Call::KeyShown::kGranted;
  const base::Result<Runner> runner = known_runner(asked);
  if (!runner) return {};
  if (!*runner) return {.version = asked.version_number};
  const model::Version& version = (*runner)->version();
  const model::FunctionSpec& spec = version.spec;
  return {.version = version.number, .places = std::max<std::uint32_t>(1, spec.scale.max * spec.concurrency / 2)};
}

io::Task<base::Result<std::vector<AsyncCallView>>> Engine::async_calls(AsyncCallQuery query) {
  const AppSet apps = apps_of(query.organisation);
  std::function<base::Result<std::vector<AsyncCallView>>()> list = [this, query, apps] {
    return async_calls_.list(query, apps);
  };
  co_return co_await io::offload(services_.pool, "list calls", std::move(list));
}

io::Task<base::Result<AsyncCallView>> Engine::async_call(base::InvocationId id) {
  std::function<base::Result<AsyncCallView>()> look = [this, id] { return async_calls_.look(id); };
  co_return co_await io::offload(services_.pool, "look at a call", std::move(look));
}

io::Task<base::Result<std::string>> Engine::async_event(base::InvocationId id) {
  std::function<base::Result<std::string>()> read = [this, id] { return async_calls_.event(id); };
  co_return co_await io::offload(services_.pool, "read an event", std::move(read));
}

io::Task<base::Result<>> Engine::retry_async_call(base::InvocationId id) {
  std::function<base::Result<>()> retry = [this, id] { return async_calls_.retry(id); };
  co_return co_await io::offload(services_.pool, "retry a call", std::move(retry));
}

io::Task<base::Result<>> Engine::remove_async_call(base::InvocationId id) {
  std::function<base::Result<>()> remove = [this, id] { return async_calls_.remove(id); };
  co_return co_await io::offload(services_.pool, "remove a call", std::move(remove));
}

}  // namespace ebb::node
