// What a developer says about one function: the validated content of one entry of ebb.yaml. It is part of an immutable
// version, so it is stored as JSON in the metadata and shown as such by the REST interface.
//
// Invariant: a FunctionSpec that came from parse_manifest or function_spec_from_json has passed first_violation.
#pragma once

#include <boost/json/fwd.hpp>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/duration.h"
#include "base/result.h"
#include "model/async_terms.h"
#include "model/contract.h"
#include "model/egress_rule.h"
#include "model/image.h"
#include "model/scale.h"
#include "model/timer.h"

namespace ebb::model {

/// How a handler is called: with an event and a context, or as a web application in the sense of WSGI (PEP 3333) or
/// ASGI 3. kAuto: the runtime tells by the handler's parameters.
enum class Interface : std::uint8_t { kAuto, kEvent, kWsgi, kAsgi };

/// "auto", "event", "wsgi", "asgi".
std::string_view name_of(Interface interface);
std::optional<Interface> interface_named(std::string_view name);

/// What an instance reaches of the network: nothing but its own loopback, or outgoing connections (`egress` says to
/// where).
enum class Network : std::uint8_t { kNone, kEgress };

/// Whether an instance serves one invocation after the other, or one in its life: no state can pass to the next then.
enum class Reuse : std::uint8_t { kAlways, kNever };

std::string_view name_of(Reuse reuse);
std::optional<Reuse> reuse_named(std::string_view name);

/// What stands between an instance and the host's kernel: the walls of a sandbox, or a kernel of its own in user space
/// inside of them (gVisor; no zygotes there, so each start is a boot).
enum class Isolation : std::uint8_t { kNamespaces, kGvisor };

std::string_view name_of(Isolation isolation);
std::optional<Isolation> isolation_named(std::string_view name);

std::string_view name_of(Network network);
std::optional<Network> network_named(std::string_view name);

/// Whether a web server (runtime http) sees its paths without the part that leads to it, /fn/APP/FUNCTION, or whole.
enum class Prefix : std::uint8_t { kStrip, kKeep };

std::string_view name_of(Prefix prefix);
std::optional<Prefix> prefix_named(std::string_view name);

/// Who may call a function by its URL: everybody, holders of a key, or as the node's `function_auth` says.
enum class Auth : std::uint8_t { kNode, kNone, kKey };

std::string_view name_of(Auth auth);
std::optional<Auth> auth_named(std::string_view name);

/// How many rows of how many calls one run of a model takes together. Size 1: each call runs alone.
struct Batch {
  std::uint32_t size = 1;      // at most limits::kBatchRows
  base::Duration window = {};  // the first of a batch waits at most so long for others
  bool operator==(const Batch&) const = default;
};

struct FunctionSpec {
  std::string name;
  std::string runtime = "python3";  // or "node", "native", "http", "lambda", "model"
  std::string handler;  // of python3: "package.module.attribute"; of node: "path/file.export"; of lambda, fc: any text
  std::string command;  // of http, and where it is not ./bootstrap of lambda, fc: for /bin/sh, in the package's folder
  std::string model;    // of model: the ONNX file, in the package's folder
  Batch batch;          // of model
  Image image;  // of http and lambda: the root instead of the host's system; its own command stands if none is here
  Contract contract = Contract::kPlain;  // of http
  Lifecycle lifecycle;                   // of Contract::kFc
  Prefix prefix = Prefix::kStrip;        // of http
  Interface interface = Interface::kAuto;
  base::Bytes memory{512ull << 20};                   // hard limit of one instance
  std::uint32_t cpu_millis = 1000;                    // thousandths of a core
  base::Duration timeout = std::chrono::seconds(30);  // of one invocation, from lease to last byte
  std::uint32_t concurrency = 1;                      // invocations at a time in one instance
  Scale scale;
  Reuse reuse = Reuse::kAlways;
  base::Duration idle_timeout = std::chrono::seconds(60);  // an idle instance is retired after it; 0 = at once
  base::Duration max_wait = std::chrono::seconds(10);      // who would wait longer for a busy instance is refused
  AsyncTerms async;                                        // of calls that nobody waits for
  std::vector<Timer> timers;                               // when it is called by itself
  std::map<std::string, std::string> env;
  std::map<std::string, std::string> secrets;  // name inside the function -> a secret of the app
  Network network = Network::kNone;
  std::vector<EgressRule> egress;  // of kEgress: where to; empty: everywhere but private and forbidden addresses
  Isolation isolation = Isolation::kNamespaces;
  Auth auth = Auth::kNode;  // who may call its URL

  bool operator==(const FunctionSpec&) const = default;
};

/// Whether the daemon speaks HTTP to a port of its instances, so that they may serve several calls at a time.
bool listens(const FunctionSpec& spec);

/// What is wrong with a field, named by its path inside the function: {"scale.max", "is 0, ..."}.
struct Violation {
  std::string field;
  std::string message;
};

/// The first field that breaks a rule, or nothing. The one place where the rules of a function are written.
std::optional<Violation> first_violation(const FunctionSpec& spec);

/// Same keys and forms as in ebb.yaml, all present, in a fixed order: equal specs give equal text.
boost::json::object to_json(const FunctionSpec& spec);

/// Reads what to_json wrote; absent keys take their defaults, unknown keys are ignored (written by a newer Ebb).
/// Errors: kInvalidArgument naming the key.
base::Result<FunctionSpec> function_spec_from_json(const boost::json::object& object);

}  // namespace ebb::model
