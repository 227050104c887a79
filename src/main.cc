// ebb: one binary, several roles. The only file that knows them all.
//
//   ebb serve     the launcher: reads the configuration as root, makes sandboxes, starts the daemon and keeps it
//   running ebb daemon    the daemon: started by the launcher, without privilege, its socket to the launcher as
//   descriptor 3 ebb doctor    looks at this machine (doctor/doctor.h) ebb sim       replays a recorded day
//   (sim/command.h) ebb ...       everything else: the command line, a client of the daemon (cli/program.h)
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pwd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/limits.h"
#include "base/log.h"
#include "base/result.h"
#include "cli/program.h"
#include "cost/command.h"
#include "doctor/doctor.h"
#include "gateway/daemon.h"
#include "gateway/traces.h"
#include "launcher/launcher.h"
#include "launcher/sandbox_start.h"
#include "meter/price_list.h"
#include "model/config.h"
#include "model/egress_rule.h"
#include "model/local_node.h"
#include "node/webhook_post.h"
#include "os/fd.h"
#include "replay/command.h"
#include "sim/command.h"
#include "tune/command.h"

namespace {

using namespace ebb;

constexpr int kLauncherSocket = 3;
constexpr int kUsageError = 2;

int failed(const base::Error& error) {
  std::fprintf(stderr, "error: %s\n", error.message.c_str());
  return base::exit_code_of(error.code);
}

/// Reads the arguments of a role; a number is the exit status to leave with.
std::optional<int> parse_arguments(CLI::App& app, std::vector<std::string> arguments) {
  std::reverse(arguments.begin(), arguments.end());  // as the library wants them
  try {
    app.parse(std::move(arguments));
    return std::nullopt;
  } catch (const CLI::ParseError& error) {  // also how --help arrives
    if (error.get_exit_code() == 0) return app.exit(error);
    std::fprintf(stderr, "error: %s\nsee ebb --help\n", error.what());
    return kUsageError;
  }
}

struct Account {
  uid_t uid = 0;
  gid_t gid = 0;
};

base::Result<Account> account_named(const std::string& name) {
  std::array<char, 16384> buffer{};
  passwd entry{};
  passwd* found = nullptr;
  getpwnam_r(name.c_str(), &entry, buffer.data(), buffer.size(), &found);
  if (found == nullptr) {
    return base::not_found("there is no account '" + name + "' for the daemon to run as: useradd --system " + name +
                           ", or name another under user in the configuration");
  }
  if (found->pw_uid == 0) {
    return base::invalid_argument(
        "the daemon must not run as root: name another account under user in the configuration");
  }
  return Account{.uid = found->pw_uid, .gid = found->pw_gid};
}

/// What all sandboxes together may use.
std::uint64_t memory_budget_of(const model::Config& config) {
  if (config.memory_budget.count != 0) return config.memory_budget.count;
  const auto pages = static_cast<std::uint64_t>(sysconf(_SC_PHYS_PAGES));
  return pages * static_cast<std::uint64_t>(sysconf(_SC_PAGE_SIZE)) / 4 * 3;
}

/// What runs inside sandboxes: beside the binary in a build tree, in <prefix>/lib/ebb once installed.
base::Result<std::string> runtime_folder() {
  std::error_code failure;
  const std::filesystem::path binary = std::filesystem::read_symlink("/proc/self/exe", failure);
  if (failure) return base::internal("cannot find this program's own path: " + failure.message());
  const std::filesystem::path folder = binary.parent_path();
  const std::array<std::filesystem::path, 2> places = {folder / "runtime",
                                                       folder.parent_path() / "lib" / "ebb" / "runtime"};
  for (const auto& place : places) {
    if (std::filesystem::exists(place / "python" / "zygote.py", failure)) return place.string();
  }
  return base::not_found("no runtime folder at " + places[0].string() + " or " + places[1].string() +
                         ": build or install Ebb whole");
}

/// A daemon that is started anew must be found where the first one was: port 0 becomes a number before any starts.
base::Result<void> settle_port(model::Config& config) {
  EBB_TRY(const model::ListenAddress address, model::parse_listen(config.listen));
  if (address.port != 0) return {};
  const bool v6 = address.host.find(':') != std::string::npos;
  sockaddr_in v4_name{.sin_family = AF_INET};
  sockaddr_in6 v6_name{.sin6_family = AF_INET6};
  auto* name = v6 ? reinterpret_cast<sockaddr*>(&v6_name) : reinterpret_cast<sockaddr*>(&v4_name);
  socklen_t length = v6 ? sizeof v6_name : sizeof v4_name;
  void* host = v6 ? static_cast<void*>(&v6_name.sin6_addr) : static_cast<void*>(&v4_name.sin_addr);
  if (inet_pton(name->sa_family, address.host.c_str(), host) != 1) return {};  // the daemon will say what is wrong
  const os::Fd probe(socket(name->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!probe.valid() || bind(probe.get(), name, length) != 0 || getsockname(probe.get(), name, &length) != 0) {
    return base::os_error("cannot take a free port on " + address.host, errno);
  }
  const unsigned port = ntohs(v6 ? v6_name.sin6_port : v4_name.sin_port);
  config.listen = (v6 ? "[" + address.host + "]" : address.host) + ":" + std::to_string(port);
  return {};
}

/// For as long as the node runs: /run/ebb/PORT.key, by which the command line finds the local admin key.
class LocalKeyLink {
 public:
  explicit LocalKeyLink(const model::Config& config) {
    const auto listen = model::parse_listen(config.listen);
    if (!listen) return;
    path_ = model::local_key_link(listen->port);
    ::mkdir(model::kLocalNodesDirectory, 0755);  // root's: nobody else can put a link there
    ::unlink(path_.c_str());                     // of a node that ended badly
    const std::string target = model::local_key_file(config.data_dir);
    if (::symlink(target.c_str(), path_.c_str()) == 0) return;
    base::log(base::LogLevel::kWarning, "local_key_link_failed",
              {{"link", path_}, {"remedy", "name the key with --key-file " + target}});
    path_.clear();
  }
  ~LocalKeyLink() {
    if (!path_.empty()) ::unlink(path_.c_str());
  }
  LocalKeyLink(const LocalKeyLink&) = delete;
  LocalKeyLink& operator=(const LocalKeyLink&) = delete;

 private:
  std::string path_;
};

base::Result<int> serve(const std::string& config_path, const std::string& listen, const std::string& data_dir) {
  model::Config config;
  if (!config_path.empty()) {
    EBB_TRY(config, model::load_config(config_path));
    EBB_CHECKED(meter::load_prices(config.price_file));  // a mistake shows now, not on the first bill
    EBB_CHECKED(gateway::Traces::options(config));
    EBB_CHECKED(node::operators_receiver(config));
  }
  if (!listen.empty()) config.listen = listen;
  if (!data_dir.empty()) {
    std::error_code failure;
    config.data_dir = std::filesystem::absolute(data_dir, failure).lexically_normal().string();
  }
  // The overrides pass the same checks as the file.
  EBB_TRY(config, model::parse_config(model::effective_config_yaml(config)));
  if (geteuid() != 0) {
    return base::Error{
        .code = base::Code::kPermissionDenied,
        .message = "ebb serve makes sandboxes and needs root: sudo ebb serve (the daemon itself runs as '" +
                   config.user + "')"};
  }
  EBB_TRY(const Account account, account_named(config.user));
  EBB_TRY(const std::string runtime, runtime_folder());
  EBB_CHECKED(settle_port(config));
  base::set_log_level(config.log_level);

  launcher::LauncherOptions options;
  options.data_dir = config.data_dir;
  options.runtime_dir = runtime;
  options.python = config.python;
  options.runsc = config.runsc;
  options.uid_base = config.uid_base;
  options.egress = {.pool4 = config.egress_ipv4,
                    .pool6 = config.egress_ipv6,
                    .never = model::never_ranges(),
                    .reserved = model::private_ranges(),
                    .permitted = config.egress_allow_private};
  config.memory_budget = base::Bytes{memory_budget_of(config)};  // the daemon shows what is in effect
  options.memory_bytes = config.memory_budget.count;
  options.daemon_uid = account.uid;
  options.daemon_gid = account.gid;
  // The settings themselves, not the file's name: the daemon's account need not be able to read the file.
  options.daemon_argv = {"ebb", "daemon", "--settings", model::effective_config_yaml(config)};
  const LocalKeyLink link(config);
  return launcher::run_launcher(options);
}

int serve_main(std::vector<std::string> arguments) {
  CLI::App app("Start the platform on this machine: makes sandboxes as root, serves HTTP as the account 'ebb'.",
               "ebb serve");
  std::string config;
  std::string listen;
  std::string data_dir;
  app.add_option("--config", config, "The configuration file; every key has a default")->type_name("FILE");
  app.add_option("--listen", listen, "Serve HTTP there, whatever the file says; port 0 takes a free one")
      ->type_name("HOST:PORT");
  app.add_option("--data-dir", data_dir, "Keep everything there, whatever the file says")->type_name("DIR");
  app.footer(
      "\nPrints `listening on http://HOST:PORT` once it serves. SIGTERM lets running calls end (10 s), then everything "
      "is\n"
      "taken down; what is deployed is there again at the next start.");
  if (const auto status = parse_arguments(app, std::move(arguments))) return *status;
  const auto status = serve(config, listen, data_dir);
  return status ? *status : failed(status.error());
}

int doctor_main(std::vector<std::string> arguments) {
  CLI::App app("Look at this machine: what a node needs of it, what is missing, what that costs and how to mend it.",
               "ebb doctor");
  std::string config_path;
  std::string fix;
  bool json = false;
  app.add_option("--config", config_path, "The configuration file the node would use")->type_name("FILE");
  app.add_option("--fix", fix, "Set that for the whole machine, until reboot: favordynmods")->type_name("NAME");
  app.add_flag("--json", json, "Print one JSON document for programs to read");
  app.footer(
      "\nAsk as root: some things can only be tried then. Exit status: 0 a node runs here, 1 there is a problem.");
  if (const auto status = parse_arguments(app, std::move(arguments))) return *status;
  if (!fix.empty()) {
    if (const auto mended = doctor::mend(fix); !mended) return failed(mended.error());
    std::fprintf(stderr, "%s is set, until reboot\n", fix.c_str());
  }
  model::Config config;
  if (!config_path.empty()) {
    auto loaded = model::load_config(config_path);
    if (!loaded) return failed(loaded.error());
    config = std::move(*loaded);
  }
  const char* no_colour = std::getenv("NO_COLOR");
  const bool colour = isatty(STDOUT_FILENO) == 1 && (no_colour == nullptr || *no_colour == '\0');
  return doctor::run_doctor({.data_dir = config.data_dir,
                             .account = config.user,
                             .python = config.python,
                             .runsc = config.runsc,
                             .uid_base = config.uid_base,
                             .uid_count = (limits::kApps + 1) * launcher::kIdsPerSandbox,
                             .memory_budget_bytes = config.memory_budget.count,
                             .max_instances = config.max_instances},
                            json, colour);
}

int daemon_main(std::vector<std::string> arguments) {
  CLI::App app("The daemon; `ebb serve` starts it.", "ebb daemon");
  std::string settings;
  app.add_option("--settings", settings, "The configuration as text")->required();
  if (const auto status = parse_arguments(app, std::move(arguments))) return *status;
  const auto config = model::parse_config(settings);
  if (!config) return failed(config.error());
  if (fcntl(kLauncherSocket, F_GETFD) < 0) {
    return failed(base::invalid_argument("ebb daemon is started by ebb serve, not by hand: run ebb serve"));
  }
  fcntl(kLauncherSocket, F_SETFD, FD_CLOEXEC);
  return gateway::run_daemon(*config, os::Fd(kLauncherSocket));
}

}  // namespace

int main(int argc, char** argv) {
  try {
    if (argc >= 2 && std::string_view(argv[1]) == "daemon") {
      return daemon_main(std::vector<std::string>(argv + 2, argv + argc));
    }
    return cli::run(argc, argv,
                    {{"serve", "Start the platform on this machine (as root)", serve_main},
                     {"doctor", "Look whether this machine suits it, and how to mend what does not", doctor_main},
                     {"sim", "Replay a recorded day against the scheduler in virtual time", sim::run_command}},
                    {replay::add_replay, tune::add_tune, cost::add_cost});
  } catch (const std::exception& error) {
    std::fprintf(stderr, "ebb: bug: an exception reached main: %s\n", error.what());
    return base::exit_code_of(base::Code::kInternal);
  }
}
