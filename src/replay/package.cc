#include "replay/package.h"

#include <stdlib.h>

#include <cmath>
#include <filesystem>
#include <fstream>

#include "cli/pack.h"
#include "sim/formatted.h"

namespace ebb::replay {
namespace {

using sim::formatted;

constexpr std::string_view kSource =
    R"(# One of the functions of `ebb replay`: what it allocates comes from its environment, how long a call runs and how much
# of that it computes from the event.
import os
import time

_BEGAN = time.thread_time()


def _held(megabytes):
    block = bytearray(int(megabytes * 1048576))
    block[::4096] = b"\x01" * len(range(0, len(block), 4096))  # every page is touched
    return block


_loaded = _held(float(os.environ["REPLAY_LOADED_MB"]))
_own = None
while time.thread_time() < _BEGAN + float(os.environ["REPLAY_INIT_MS"]) / 1000:
    pass


def handler(event, context):
    global _own
    ends = time.perf_counter() + event["run_ms"] / 1000
    computes_until = time.thread_time() + event["cpu_ms"] / 1000
    if _own is None:
        _own = _held(float(os.environ["REPLAY_INSTANCE_MB"]))
    while time.thread_time() < computes_until:
        sum(range(200))
    left = ends - time.perf_counter()
    if left > 0:
        time.sleep(left)
    return {}
)";

// A function that is a program: it loads the same in each instance, and asks the Lambda Runtime API for its events.
constexpr std::string_view kProgram =
    R"(import http.client
import json
import os

import app

runtime = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
while True:
    runtime.request("GET", "/2018-06-01/runtime/invocation/next")
    asked = runtime.getresponse()
    result = app.handler(json.loads(asked.read()), None)
    request = asked.headers["Lambda-Runtime-Aws-Request-Id"]
    runtime.request("POST", f"/2018-06-01/runtime/invocation/{request}/response", json.dumps(result))
    runtime.getresponse().read()
)";

/// A folder that is removed with all that lies in it.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::error_code failure;
    path_ = (std::filesystem::temp_directory_path(failure) / "ebb-replay-XXXXXX").string();
    if (failure || ::mkdtemp(path_.data()) == nullptr) path_.clear();
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    if (!path_.empty()) std::filesystem::remove_all(path_, ignored);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

bool write(const std::string& path, std::string_view text) {
  std::ofstream file(path, std::ios::binary);
  file << text;
  file.close();
  return file.good();
}

/// The limit, of a zygote and of what an instance adds: far enough above what is planned that nothing is killed.
long long limit_mib(const PlannedFunction& function) {
  const double most = std::max(function.zygote_mb, function.instance_mb);
  return static_cast<long long>(std::ceil(64 + 1.5 * most));
}

}  // namespace

std::string manifest_of(const Plan& plan, const std::string& app) {
  const long long run_seconds = std::chrono::ceil<std::chrono::seconds>(plan.run_max).count();
  const long long idle_ms = std::chrono::duration_cast<std::chrono::milliseconds>(plan.idle_timeout).count();
  std::string text = "app: " + app + "\nfunctions:\n";
  for (const PlannedFunction& function : plan.functions) {
    if (function.app != app) continue;
    text += "  " + function.name + ":  # " + function.traced + "\n    handler: app.handler\n";
    if (function.program) text += "    runtime: lambda\n    command: exec python3 program.py\n";
    text += formatted("    memory: %lldMi\n    timeout: %llds\n    idle_timeout: %lldms\n", limit_mib(function),
                      60 + 2 * run_seconds, idle_ms);
    text += formatted("    scale: {max: %u}\n", kInstancesMost);
    const double at_load_mb =
        function.program ? function.instance_mb - kBareProgramMb : function.zygote_mb - kBareZygoteMb;
    const double in_call_mb = function.program ? 0 : function.instance_mb - kBareInstanceMb;
    text += formatted("    env: {REPLAY_LOADED_MB: \"%.3f\", REPLAY_INSTANCE_MB: \"%.3f\", REPLAY_INIT_MS: \"%.3f\"}\n",
                      std::max(0.0, at_load_mb), std::max(0.0, in_call_mb), function.init_ms);
  }
  return text;
}

base::Result<std::string> package_of(const Plan& plan, const std::string& app) {
  const TemporaryFolder folder;
  const bool written = !folder.path().empty() && write(folder.path() + "/ebb.yaml", manifest_of(plan, app)) &&
                       write(folder.path() + "/app.py", kSource) && write(folder.path() + "/program.py", kProgram);
  if (!written)
    return base::unavailable("cannot write a temporary folder for the app " + app +
                             ": set TMPDIR to a place with room");
  EBB_TRY(cli::Package package, cli::pack_folder(folder.path()));
  return std::move(package.archive);
}

std::string event_of(const Plan& plan, const sim::PlannedCall& call) {
  return formatted("{\"run_ms\":%.3f,\"cpu_ms\":%.3f}", call.run_ms, call.run_ms * plan.processor_part);
}

}  // namespace ebb::replay
