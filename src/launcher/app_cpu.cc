#include "launcher/app_cpu.h"

namespace ebb::launcher {

void AppCpu::add(const std::string& app_group, Part part, const std::string& group) {
  apps_[app_group].groups[static_cast<std::size_t>(part)].try_emplace(group, 0);
}

// Of a path below an app's group, or that itself.
AppCpu::App* AppCpu::find(const std::string& group) {
  const auto found = apps_.find(group.substr(0, group.find('/')));
  return found == apps_.end() ? nullptr : &found->second;
}

void AppCpu::note(const std::string& group) {
  App* app = find(group);
  if (app == nullptr) return;
  for (auto& groups : app->groups) {
    const auto known = groups.find(group);
    if (known != groups.end()) known->second = cgroups_.cpu_ns(group);
  }
}

void AppCpu::removed(const std::string& group) {
  App* app = find(group);
  if (app == nullptr) return;
  for (std::size_t part = 0; part < app->groups.size(); ++part) {
    const auto known = app->groups[part].find(group);
    if (known == app->groups[part].end()) continue;
    app->ended_ns[part] += known->second;
    app->groups[part].erase(known);
  }
  apps_.erase(group);  // nothing, but for an app's own
}

wire::CpuUse AppCpu::of(const std::string& app_group) const {
  wire::CpuUse use;
  const auto found = apps_.find(app_group);
  if (found == apps_.end()) return use;
  const App& app = found->second;
  std::array<std::uint64_t, 2> used = app.ended_ns;
  for (std::size_t part = 0; part < used.size(); ++part) {
    for (const auto& [group, noted] : app.groups[part]) used[part] += cgroups_.cpu_ns(group);
  }
  use.runtimes_ns = used[static_cast<std::size_t>(Part::kRuntimes)];
  use.zygotes_ns = used[static_cast<std::size_t>(Part::kZygotes)];
  use.total_ns = cgroups_.cpu_ns(app_group);  // last: never less than its parts
  return use;
}

}  // namespace ebb::launcher
