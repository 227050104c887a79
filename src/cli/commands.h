// The commands: each add_... declares one on the command line and says what to do when it was chosen. What they share
// is the Session: the options every command has, and the terminal. Called by program.cc.
#pragma once

#include <CLI/App.hpp>
#include <functional>
#include <string>

#include "base/result.h"
#include "cli/credentials.h"
#include "cli/rest.h"
#include "cli/terminal.h"

namespace ebb::cli {

struct Session {
  std::string url;       // --url, else EBB_URL, else http://127.0.0.1:8080
  std::string key_file;  // --key-file, else EBB_KEY_FILE, else "": see credentials.h
  std::string ca_file;   // --ca-file, else EBB_CA_FILE: whose certificates to believe, "" for the system's authorities
  bool json = false;     // --json: one JSON document on standard output and no other text there
  Terminal terminal = Terminal::detect();
  /// What the chosen command does; run after the whole line was read. Gives the exit status.
  std::function<base::Result<int>()> action;

  Rest rest() const { return Rest(url, find_key(url, key_file), ca_file); }
};

/// "vision", "vision/digits", "vision/digits:3" or "vision/digits:live".
struct Subject {
  std::string app;
  std::string function;  // "" when only an app was named
  std::string version;   // or an alias of one; "" for the current one
};
/// Errors: kInvalidArgument with the form that is asked for.
base::Result<Subject> parse_subject(std::string_view text);
/// "?app=vision&function=digits", "" for no subject.
std::string query_of(const Subject& subject);

void add_init(CLI::App& app, Session& session);
void add_deploy(CLI::App& app, Session& session);
void add_build(CLI::App& app, Session& session);
void add_invoke(CLI::App& app, Session& session);
void add_calls(CLI::App& app, Session& session);
void add_list(CLI::App& app, Session& session);
void add_logs(CLI::App& app, Session& session);
void add_usage(CLI::App& app, Session& session);
void add_ledger(CLI::App& app, Session& session);
void add_bill(CLI::App& app, Session& session);
void add_remove(CLI::App& app, Session& session);
void add_alias(CLI::App& app, Session& session);
void add_versions(CLI::App& app, Session& session);
void add_budget(CLI::App& app, Session& session);
void add_quota(CLI::App& app, Session& session);
void add_secrets(CLI::App& app, Session& session);
void add_organisations(CLI::App& app, Session& session);
void add_webhook(CLI::App& app, Session& session);
void add_keys(CLI::App& app, Session& session);
void add_completion(CLI::App& app, Session& session);

/// Follows a deployment to its end, showing each step, and its outcome. Gives the exit status.
base::Result<int> follow_deployment(const Session& session, std::uint64_t id);

/// Declares the options that every command has.
void add_common_options(CLI::App& command, Session& session);

}  // namespace ebb::cli
