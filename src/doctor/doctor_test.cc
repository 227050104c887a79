// Goal: each check gives the right verdict, with a cost and a remedy where it is no "ok". Method: a healthy made-up
// machine, changed in one place per case; then the real machine, of which only what must hold anywhere is asserted.
#include "doctor/doctor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <boost/json/parse.hpp>
#include <functional>

#include "doctor/programs.h"

namespace ebb::doctor {
namespace {

constexpr std::uint64_t kGi = 1ULL << 30;

Wanted wanted() {
  return {.data_dir = "/var/lib/ebb",
          .account = "ebb",
          .python = "/usr/bin/python3",
          .uid_base = 1'879'048'192,
          .uid_count = 65'536ULL * 100,
          .max_instances = 1'000};
}

Host healthy() {
  Host host;
  host.root = true;
  host.kernel = "6.8.0-31-generic";
  host.machine = "x86_64";
  host.cgroups = {.mounts = {{"memory", "/sys/fs/cgroup"}, {"cpu", "/sys/fs/cgroup"}, {"pids", "/sys/fs/cgroup"}},
                  .unified_mount = "/sys/fs/cgroup",
                  .favordynmods = true,
                  .writable = true};
  host.user_namespaces = os::UserNamespaceProbe{.level = os::UserNamespaces::kForAll};
  host.namespaces_max = {{"user", 100'000}, {"pid", 100'000}, {"mnt", 100'000}};
  host.last_pid = true;
  host.seccomp_actions = "kill_process kill_thread trap errno user_notif trace log allow";
  host.landlock_abi = 4;
  host.pid_max = 4'194'304;
  host.threads_max = 200'000;
  host.files_max = 1'048'576;
  host.inotify_instances = 1024;
  host.memory_bytes = 16 * kGi;
  host.memory_available = 8 * kGi;
  host.overcommit = 0;
  host.huge_pages = "madvise";
  host.cpu_pressure = true;
  host.disk = DiskFacts{.directory = "/var/lib",
                        .type = "ext4",
                        .bytes_free = 100 * kGi,
                        .inodes_free = 1'000'000,
                        .inodes_all = 2'000'000,
                        .maps = true};
  host.clock_synchronised = true;
  host.boot_clock = true;
  host.wall_seconds = 1'795'000'000;  // November 2026
  host.core_pattern = "core";
  host.account = AccountFacts{.name = "ebb", .uid = 998};
  host.python_version = "3.11.2";
  host.node_version = "v18.19.0";
  host.npm_version = "9.2.0";
  host.veth = true;
  host.nftables = true;
  host.id_ranges = {{.owner = "/etc/subuid: alice", .first = 100'000, .count = 65'536}};
  return host;
}

Finding finding_of(const std::vector<Finding>& findings, const std::string& id) {
  for (const Finding& finding : findings) {
    if (finding.id == id) return finding;
  }
  ADD_FAILURE() << "no check " << id;
  return {};
}

TEST(Doctor, AHealthyMachineHasNothingToMend) {
  for (const Finding& finding : examine(healthy(), wanted())) {
    EXPECT_EQ(finding.verdict, Verdict::kOk) << finding.id << ": " << finding.found;
    EXPECT_FALSE(finding.found.empty()) << finding.id;
  }
}

struct Case {
  const char* id;
  Verdict verdict;
  std::function<void(Host&)> harm;
  const char* remedy;  // a part of it
};

TEST(Doctor, EachHarmIsFoundAndHasARemedy) {
  const Case cases[] = {
      {"kernel", Verdict::kProblem, [](Host& host) { host.kernel = "5.10.0-30-amd64"; }, "6.1"},
      {"kernel", Verdict::kOk, [](Host& host) { host.kernel = "5.12.0"; }, ""},
      {"kernel", Verdict::kWarning, [](Host& host) { host.kernel = "mystery"; }, ""},
      {"machine", Verdict::kWarning, [](Host& host) { host.machine = "aarch64"; }, ""},
      {"cpu", Verdict::kWarning, [](Host& host) { host.cpu_weaknesses = {"mds: Vulnerable"}; }, "microcode"},
      {"cgroups", Verdict::kProblem, [](Host& host) { host.cgroups.mounts.erase("memory"); }, "cgroup_enable=memory"},
      {"cgroups", Verdict::kProblem, [](Host& host) { host.cgroups.writable = false; }, "writable"},
      {"favordynmods", Verdict::kWarning, [](Host& host) { host.cgroups.favordynmods = false; },
       "ebb doctor --fix favordynmods"},
      {"favordynmods", Verdict::kOk,
       [](Host& host) {
         host.cgroups.favordynmods = false;
         host.kernel = "5.15.0";
       },
       ""},
      {"favordynmods", Verdict::kWarning,
       [](Host& host) { host.cgroups = {.mounts = host.cgroups.mounts, .writable = true}; }, "mount -t cgroup2"},
      {"user_namespaces", Verdict::kWarning,
       [](Host& host) {
         host.user_namespaces = {.level = os::UserNamespaces::kNone, .obstacle = "clone: No space left on device"};
         host.namespaces_max["user"] = 0;
       },
       "sysctl -w user.max_user_namespaces="},
      {"user_namespaces", Verdict::kWarning,
       [](Host& host) {
         host.user_namespaces = {.level = os::UserNamespaces::kForRoot, .obstacle = "clone: Operation not permitted"};
         host.unprivileged_clone = false;
       },
       "kernel.unprivileged_userns_clone=1"},
      {"user_namespaces", Verdict::kWarning,
       [](Host& host) {
         host.user_namespaces = {.level = os::UserNamespaces::kForRoot, .obstacle = "mount: Permission denied"};
         host.apparmor_restricts = true;
       },
       "kernel.apparmor_restrict_unprivileged_userns=0"},
      {"user_namespaces", Verdict::kWarning,
       [](Host& host) {
         host.user_namespaces.reset();
         host.apparmor_restricts = true;
       },
       "kernel.apparmor_restrict_unprivileged_userns=0"},
      {"namespace_limits", Verdict::kWarning, [](Host& host) { host.namespaces_max["pid"] = 100; },
       "user.max_pid_namespaces="},
      {"ns_last_pid", Verdict::kProblem, [](Host& host) { host.last_pid = false; }, "kernel"},
      {"seccomp", Verdict::kProblem, [](Host& host) { host.seccomp_actions.clear(); }, "kernel"},
      {"seccomp", Verdict::kProblem, [](Host& host) { host.seccomp_actions = "kill_thread trap errno"; }, "kernel"},
      {"landlock", Verdict::kWarning, [](Host& host) { host.landlock_abi.reset(); }, "lsm=landlock"},
      {"core_pattern", Verdict::kWarning, [](Host& host) { host.core_pattern = "@/run/systemd/coredump"; },
       "kernel.core_pattern"},
      {"core_pattern", Verdict::kOk, [](Host& host) { host.core_pattern = "|/usr/share/apport/apport %p"; }, ""},
      {"pids", Verdict::kProblem, [](Host& host) { host.pid_max = 20'480; }, "kernel.pid_max"},
      {"pids", Verdict::kWarning, [](Host& host) { host.pid_max = 27'000; }, "kernel.pid_max"},
      {"pids", Verdict::kWarning, [](Host& host) { host.threads_max = 10'000; }, "kernel.threads-max"},
      {"pids", Verdict::kWarning, [](Host& host) { host.pids_here = 4'915; }, "TasksMax"},
      {"open_files", Verdict::kWarning, [](Host& host) { host.files_max = 4'096; }, "LimitNOFILE"},
      {"inotify", Verdict::kWarning, [](Host& host) { host.inotify_instances = 16; }, "max_user_instances"},
      {"memory", Verdict::kWarning, [](Host& host) { host.memory_available = kGi / 4; }, "memory"},
      {"overcommit", Verdict::kWarning, [](Host& host) { host.overcommit = 2; }, "vm.overcommit_memory=0"},
      {"huge_pages", Verdict::kWarning, [](Host& host) { host.huge_pages = "never"; }, "echo madvise"},
      {"cpu_pressure", Verdict::kWarning, [](Host& host) { host.cpu_pressure = false; }, "psi=1"},
      {"disk", Verdict::kProblem, [](Host& host) { host.disk->read_only = true; }, "remount,rw"},
      {"disk", Verdict::kProblem, [](Host& host) { host.disk->no_exec = true; }, "remount,exec"},
      {"disk", Verdict::kProblem, [](Host& host) { host.disk->maps = false; }, "local disk"},
      {"disk", Verdict::kProblem, [](Host& host) { host.disk->bytes_free = 1 << 20; }, "free some space"},
      {"disk", Verdict::kProblem, [](Host& host) { host.disk->inodes_free = 10; }, "free some space"},
      {"disk", Verdict::kWarning, [](Host& host) { host.disk->bytes_free = kGi; }, "free some space"},
      {"disk", Verdict::kWarning, [](Host& host) { host.disk->type = "nfs4"; }, "local disk"},
      {"disk", Verdict::kProblem, [](Host& host) { host.disk.reset(); }, "data_dir"},
      {"clock", Verdict::kWarning, [](Host& host) { host.clock_synchronised = false; }, "chrony"},
      {"clock", Verdict::kProblem, [](Host& host) { host.wall_seconds = 0; }, "timedatectl"},
      {"clock", Verdict::kProblem, [](Host& host) { host.boot_clock = false; }, "kernel"},
      {"privilege", Verdict::kWarning, [](Host& host) { host.root = false; }, "sudo"},
      {"account", Verdict::kProblem, [](Host& host) { host.account.reset(); }, "useradd --system"},
      {"account", Verdict::kProblem, [](Host& host) { host.account->uid = 0; }, "user"},
      {"uid_range", Verdict::kWarning,
       [](Host& host) {
         host.id_ranges.push_back({.owner = "/etc/subuid: bob", .first = 1'879'048'000, .count = 300});
       },
       "uid_base"},
      {"uid_range", Verdict::kOk,
       [](Host& host) {
         host.id_ranges.push_back({.owner = "/etc/subuid: bob", .first = 1'879'048'000, .count = 192});
       },
       ""},
      {"python", Verdict::kProblem, [](Host& host) { host.python_version.reset(); }, "apt-get install python3"},
      {"python", Verdict::kProblem, [](Host& host) { host.python_version = "3.9.2"; }, "3.11"},
      {"python", Verdict::kOk, [](Host& host) { host.python_version = "3.13.0"; }, ""},
      {"node", Verdict::kOk, [](Host& host) { host.node_version.reset(); }, ""},
      {"node", Verdict::kOk, [](Host& host) { host.node_version = "v22.1.0"; }, ""},
      {"node", Verdict::kWarning, [](Host& host) { host.node_version = "v16.20.2"; }, "18 or newer"},
      {"npm", Verdict::kOk, [](Host& host) { host.npm_version.reset(); }, ""},
      {"egress", Verdict::kWarning, [](Host& host) { host.veth = false; }, "modprobe veth"},
      {"egress", Verdict::kWarning, [](Host& host) { host.nftables = false; }, "nf_tables"},
      {"gvisor", Verdict::kWarning, [](Host& host) { host.runsc_version = "runsc version 0.0~20221219.0"; },
       "gvisor.dev"},
      {"gvisor", Verdict::kWarning, [](Host& host) { host.runsc_version = "runsc version VERSION_MISSING"; },
       "gvisor.dev"},
      {"gvisor", Verdict::kOk, [](Host& host) { host.runsc_version = "runsc version release-20260302.0"; }, ""},
      {"gvisor", Verdict::kWarning, [](Host& host) { host.runsc_version = "runsc version release-20251101.0"; },
       "gvisor.dev"},
  };
  for (const Case& one : cases) {
    Host host = healthy();
    one.harm(host);
    const Finding finding = finding_of(examine(host, wanted()), one.id);
    EXPECT_EQ(finding.verdict, one.verdict) << one.id << ": " << finding.found;
    EXPECT_THAT(finding.remedy, testing::HasSubstr(one.remedy)) << one.id;
    if (finding.verdict != Verdict::kOk) {
      EXPECT_FALSE(finding.costs.empty()) << one.id;
    }
  }
}

TEST(Doctor, WhatNpmIsForIsSaid) {
  Host host = healthy();
  EXPECT_THAT(finding_of(examine(host, wanted()), "npm").found, testing::HasSubstr("npm 9.2.0"));
  host.npm_version.reset();
  EXPECT_THAT(finding_of(examine(host, wanted()), "npm").found, testing::HasSubstr("apt-get install npm"));
}

TEST(Doctor, TheConfigurationIsJudgedToo) {
  Wanted large = wanted();
  large.memory_budget_bytes = 64 * kGi;
  EXPECT_EQ(finding_of(examine(healthy(), large), "memory").verdict, Verdict::kProblem);
  Wanted many = wanted();
  many.max_instances = 100'000;
  EXPECT_EQ(finding_of(examine(healthy(), many), "namespace_limits").verdict, Verdict::kWarning);
}

TEST(Doctor, OnlyAProblemFails) {
  std::vector<Finding> findings = {{.id = "a"}, {.id = "b", .verdict = Verdict::kWarning}};
  EXPECT_EQ(exit_status_of(findings), 0);
  findings.push_back({.id = "c", .verdict = Verdict::kProblem});
  EXPECT_EQ(exit_status_of(findings), 1);
}

TEST(Doctor, TellsPeopleAndPrograms) {
  const std::vector<Finding> findings = {
      {.id = "disk", .verdict = Verdict::kProblem, .found = "full\x1b[2J", .costs = "much", .remedy = "free some"}};
  const std::string plain = text_of(findings, false);
  EXPECT_EQ(plain.find('\x1b'), std::string::npos);
  EXPECT_THAT(plain, testing::HasSubstr("costs: much\n"));
  EXPECT_THAT(plain, testing::HasSubstr("mend:  free some\n"));
  EXPECT_THAT(text_of(findings, true), testing::HasSubstr("\x1b[31mproblem"));
  const boost::json::object told = boost::json::parse(json_of(findings)).as_object();
  EXPECT_EQ(told.at("verdict"), "problem");
  EXPECT_EQ(told.at("checks").as_array().at(0).as_object().at("remedy"), "free some");
}

TEST(Doctor, OnlyWhatIsNamedIsMended) {
  const auto mended = mend("everything");
  ASSERT_FALSE(mended);
  EXPECT_THAT(mended.error().message, testing::HasSubstr("favordynmods"));
}

TEST(Doctor, ThisMachineIsSeen) {
  Wanted here = wanted();
  here.data_dir = "/tmp/not/there/yet";
  const Host host = probe_host(here);
  EXPECT_EQ(host.root, ::geteuid() == 0);
  EXPECT_FALSE(host.kernel.empty());
  EXPECT_GT(host.memory_bytes, 0u);
  ASSERT_TRUE(host.disk);
  EXPECT_EQ(host.disk->directory, "/tmp");
  EXPECT_EQ(host.disk->maps, true);
  EXPECT_TRUE(host.boot_clock);
  EXPECT_TRUE(host.pid_max);
  EXPECT_TRUE(host.python_version);
  EXPECT_EQ(host.user_namespaces.has_value(), host.root);
  EXPECT_EQ(host.veth.has_value(), host.root);
}

TEST(Doctor, AProgramThatFailsHasNoOutput) {
  EXPECT_EQ(output_of({"/bin/echo", "hello"}), "hello\n");
  EXPECT_EQ(output_of({"/bin/false"}), std::nullopt);
  EXPECT_EQ(output_of({"no-such-program-of-that-name"}), std::nullopt);
}

}  // namespace
}  // namespace ebb::doctor
