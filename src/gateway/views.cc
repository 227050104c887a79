#include "gateway/views.h"

#include <boost/json/serialize.hpp>
#include <chrono>

#include "base/limits.h"
#include "base/limits_async.h"
#include "gateway/json_text.h"

namespace ebb::gateway {
namespace {

std::string_view name_of(node::DeploymentStatus::State state) {
  switch (state) {
    case node::DeploymentStatus::State::kRunning: return "running";
    case node::DeploymentStatus::State::kSucceeded: return "succeeded";
    case node::DeploymentStatus::State::kFailed: return "failed";
  }
  return "failed";
}

template <typename Duration>
auto whole_seconds(Duration duration) {
  return std::chrono::duration_cast<std::chrono::seconds>(duration).count();
}

}  // namespace

std::string function_path(std::string_view app, std::string_view function) {
  return "/fn/" + std::string(app) + "/" + std::string(function) + "/";
}

std::string deployment_json(const node::DeploymentStatus& status) {
  JsonArray events;
  for (const node::DeploymentEvent& event : status.events) {
    events.add(JsonObject()
                   .number("sequence", event.sequence)
                   .text("phase", event.phase)
                   .text("message", event.message)
                   .close());
  }
  JsonArray functions;
  for (const node::DeployedFunction& function : status.functions) {
    functions.add(JsonObject()
                      .text("function", function.name)
                      .number("version", function.version_number)
                      .flag("unchanged", function.unchanged)
                      .text("note", function.note)
                      .text("path", function_path(status.app, function.name))
                      .close());
  }
  JsonObject answer;
  answer.number("id", status.id).text("state", name_of(status.state)).text("app", status.app);
  if (!status.package_key.empty()) answer.text("package", status.package_key).text("layer", status.layer_key);
  answer.raw("events", events.close()).raw("functions", functions.close());
  if (status.error) {
    JsonObject error;
    error.text("code", base::name_of(status.error->code)).text("message", status.error->message);
    if (!status.detail.empty()) error.text("detail", status.detail);
    answer.raw("error", error.close());
  }
  return answer.close() + "\n";
}

std::string functions_json(const node::Deployed& deployed) {
  JsonArray list;
  for (const node::FunctionView& view : deployed.functions) {
    // model::to_json gives an object; what runs is added to its end.
    std::string version = boost::json::serialize(model::to_json(view.version));
    version.pop_back();
    const std::string instances = JsonObject()
                                      .number("idle", view.idle)
                                      .number("busy", view.busy)
                                      .number("starting", view.starting)
                                      .number("spare", view.spares)
                                      .close();
    JsonArray timers;
    for (const node::TimerView& one : view.timers) {
      timers.add(JsonObject()
                     .text("timer", model::name_of(one.timer))
                     .text("next", one.next ? base::to_rfc3339(*one.next) : "")
                     .close());
    }
    const std::string running = JsonObject()
                                    .text("zygote", view.zygote)
                                    .text("zygote_note", view.zygote_note)
                                    .raw("instances", instances)
                                    .number("queued", view.queued)
                                    .raw("timers", timers.close())
                                    .text("path", function_path(view.version.app, view.version.function))
                                    .close();
    list.add(version + "," + running.substr(1));
  }
  JsonArray apps;
  for (const node::AppView& view : deployed.apps) {
    JsonObject app;
    app.text("app", view.name).number("instances", view.instances).number("reserve", view.scale.reserve);
    if (view.scale.max_instances > 0) app.number("max_instances", view.scale.max_instances);
    apps.add(app.close());
  }
  return JsonObject().raw("functions", list.close()).raw("apps", apps.close()).close() + "\n";
}

std::string versions_json(const std::vector<node::VersionView>& versions) {
  JsonArray list;
  for (const node::VersionView& view : versions) {
    JsonArray aliases;
    for (const model::Alias& alias : view.aliases) {
      const bool second = alias.weight.version == view.version.number;
      aliases.add(JsonObject()
                      .text("name", alias.name)
                      .number("percent", second ? alias.weight.percent : 100 - alias.weight.percent)
                      .close());
    }
    std::string version = boost::json::serialize(model::to_json(view.version));
    version.pop_back();
    const std::string rest =
        JsonObject().flag("current", view.current).number("bytes", view.bytes).raw("aliases", aliases.close()).close();
    list.add(version + "," + rest.substr(1));
  }
  return JsonObject().raw("versions", list.close()).close() + "\n";
}

std::string aliases_json(const std::vector<model::Alias>& aliases) {
  JsonArray list;
  for (const model::Alias& alias : aliases) list.add(boost::json::serialize(model::to_json(alias)));
  return JsonObject().raw("aliases", list.close()).close() + "\n";
}

std::string logs_json(const node::LogPage& page) {
  JsonArray lines;
  for (const node::LogLine& line : page.lines) {
    lines.add(JsonObject()
                  .text("time", base::to_rfc3339(line.time))
                  .text("request_id", base::to_string(line.id))
                  .text("app", line.app)
                  .text("function", line.function)
                  .text("stream", line.stream)
                  .text("text", line.text)
                  .close());
  }
  return JsonObject().raw("lines", lines.close()).text("cursor", page.cursor).close() + "\n";
}

std::string usage_json(const node::UsagePage& page) {
  JsonArray records;
  for (const model::UsageRecord& record : page.records) records.add(boost::json::serialize(model::to_json(record)));
  const std::string totals = JsonObject()
                                 .number("invocations", page.invocations)
                                 .number("billed_ms", page.billed_ms)
                                 .text("cu", model::cu_text(page.micro_cu))
                                 .close();
  return JsonObject().raw("records", records.close()).raw("totals", totals).close() + "\n";
}

std::string record_lines(const std::vector<model::UsageRecord>& records) {
  std::string lines;
  for (const model::UsageRecord& record : records) lines += boost::json::serialize(model::to_json(record)) + "\n";
  return lines;
}

namespace {
JsonObject key_object(const model::AccessKey& key) {
  JsonObject object;
  object.text("id", key.id)
      .text("role", model::name_of(key.role))
      .text("app", key.app)
      .text("organisation", key.organisation)
      .text("label", key.label)
      .text("created", base::to_rfc3339(key.created))
      .flag("local", key.local);
  return object;
}
}  // namespace

std::string secrets_json(const std::vector<node::SecretView>& secrets) {
  JsonArray list;
  for (const node::SecretView& secret : secrets) {
    JsonArray functions;
    for (const std::string& function : secret.functions) functions.add("\"" + function + "\"");
    list.add(JsonObject()
                 .text("name", secret.name)
                 .number("version", secret.version)
                 .text("updated", base::to_rfc3339(secret.updated))
                 .raw("functions", functions.close())
                 .close());
  }
  return JsonObject().raw("secrets", list.close()).close() + "\n";
}

std::string webhooks_json(const std::vector<model::Webhook>& webhooks) {
  JsonArray list;
  for (const model::Webhook& one : webhooks) {
    list.add(JsonObject().text("organisation", one.organisation).text("url", one.url).flag("usage", one.usage).close());
  }
  return JsonObject().raw("webhooks", list.close()).close() + "\n";
}

std::string webhook_set_json(const model::Webhook& webhook, const std::string& secret) {
  JsonObject shown;
  shown.text("organisation", webhook.organisation).text("url", webhook.url).flag("usage", webhook.usage);
  if (!secret.empty()) shown.text("secret", secret);
  return shown.close() + "\n";
}

std::string organisations_json(const std::vector<model::Organisation>& organisations) {
  JsonArray list;
  const auto names = [](const std::vector<std::string>& apps) {
    JsonArray array;
    for (const std::string& app : apps) array.add("\"" + app + "\"");
    return array.close();
  };
  for (const model::Organisation& one : organisations) {
    list.add(JsonObject()
                 .text("name", one.name)
                 .text("created", base::to_rfc3339(one.created))
                 .raw("apps", names(one.apps))
                 .raw("reserved", names(one.reserved))
                 .close());
  }
  return JsonObject().raw("organisations", list.close()).close() + "\n";
}

std::string keys_json(const std::vector<model::AccessKey>& keys) {
  JsonArray list;
  for (const model::AccessKey& key : keys) list.add(key_object(key).close());
  return JsonObject().raw("keys", list.close()).close() + "\n";
}

std::string fresh_key_json(const model::AccessKey& key, std::string_view text) {
  return key_object(key).text("key", text).close() + "\n";
}

std::string limits_json() {
  JsonObject answer;
  answer.number("name_length", limits::kNameLength)
      .number("http_header_bytes", limits::kHttpHeaderBytes)
      .number("http_target_bytes", limits::kHttpTargetBytes)
      .number("http_body_bytes", limits::kHttpBodyBytes)
      .number("package_upload_bytes", limits::kPackageUploadBytes)
      .number("package_unpacked_bytes", limits::kPackageUnpackedBytes)
      .number("package_entries", limits::kPackageEntries)
      .number("manifest_bytes", limits::kManifestBytes)
      .number("functions_per_app", limits::kFunctionsPerApp)
      .number("apps", limits::kApps)
      .number("build_timeout_seconds", whole_seconds(limits::kBuildTimeout))
      .number("function_memory_bytes_min", limits::kFunctionMemoryBytesMin)
      .number("function_memory_bytes_max", limits::kFunctionMemoryBytesMax)
      .number("function_cpu_millis_min", limits::kFunctionCpuMillisMin)
      .number("function_cpu_millis_max", limits::kFunctionCpuMillisMax)
      .number("function_pids", limits::kFunctionPids)
      .number("function_timeout_seconds", whole_seconds(limits::kFunctionTimeoutMax))
      .number("function_env_bytes", limits::kEnvBytes)
      .number("function_tmp_bytes", limits::kTmpBytes)
      .number("init_timeout_seconds", whole_seconds(limits::kInitTimeout))
      .number("instances_per_function", limits::kInstancesPerFunction)
      .number("queued_per_version", limits::kQueuedPerVersion)
      .number("log_bytes_per_invocation", limits::kLogBytesPerInvocation)
      .number("log_bytes_per_function", limits::kLogBytesPerFunction)
      .number("long_poll_seconds", whole_seconds(limits::kLongPoll))
      .number("async_event_bytes", limits::kAsyncEventBytes)
      .number("async_calls_per_app", limits::kAsyncCallsPerApp)
      .number("log_page_lines", limits::kLogPageLines)
      .number("usage_page_records", limits::kUsagePageRecords);
  return JsonObject().raw("limits", answer.close()).close() + "\n";
}

}  // namespace ebb::gateway
