// The harness's body (launcher_harness.h), and the test that is the daemon when the launcher starts this binary again.
#include "launcher/launcher_harness.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <array>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <thread>

#include "launcher/data_directory.h"
#include "launcher/launcher.h"
#include "os/cgroup.h"
#include "os/file.h"
#include "os/seqpacket.h"
#include "wire/frame.h"

namespace ebb::launcher {
namespace {

constexpr const char* kRelay = "EBB_TEST_RELAY";
constexpr uid_t kNobody = 65534;
constexpr std::uint32_t kUidBase = 1'800'000'000;
constexpr int kPatienceMs = 20'000;

os::Fd connect_to(const char* path) {
  os::Fd socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, path, sizeof address.sun_path - 1);
  if (::connect(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) return os::Fd();
  return socket;
}

}  // namespace

// Run by the launcher, as nobody, with the socket as descriptor 3.
TEST(DaemonRole, DISABLED_HandsItsSocketOver) {
  const char* path = std::getenv(kRelay);
  if (path == nullptr) GTEST_SKIP() << "run by the launcher only";
  const os::Fd relay = connect_to(path);
  if (!relay.valid()) ::_exit(1);
  const int socket = 3;
  const std::string pid = std::to_string(::getpid());
  const bool sent = os::send_message(relay, pid, std::span(&socket, 1)).has_value();
  ::close(socket);
  while (sent) ::pause();
  ::_exit(1);
}

bool eventually(const std::function<bool()>& condition) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::milliseconds(kPatienceMs);
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  return true;
}

LauncherHarness::LauncherHarness() {
  char pattern[] = "/tmp/ebb-launcher-XXXXXX";
  directory_ = ::mkdtemp(pattern);
  ::chmod(directory_.c_str(), 0755);
  int ends[2];
  EXPECT_EQ(::pipe2(ends, O_CLOEXEC), 0);
  output_read_ = os::Fd(ends[0]);
  output_write_ = os::Fd(ends[1]);
  ::fcntl(output_read_.get(), F_SETFL, O_NONBLOCK);
  const std::string path = directory_ + "/relay";
  listener_ = os::Fd(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
  EXPECT_EQ(::bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  EXPECT_EQ(::listen(listener_.get(), 8), 0);
  ::chmod(path.c_str(), 0777);
}

LauncherHarness::~LauncherHarness() {
  if (launcher_pid_ != 0) stop(SIGTERM);
  std::filesystem::remove_all(directory_);
  if (testing::Test::HasFailure()) std::fprintf(stderr, "output of the sandboxes:\n%s\n", output().c_str());
}

void LauncherHarness::start() {
  const std::string runtime = std::filesystem::read_symlink("/proc/self/exe").parent_path().string() + "/runtime";
  ASSERT_TRUE(std::filesystem::exists(runtime + "/python/zygote.py")) << "build the target ebb_python_runtime first";
  LauncherOptions options{.data_dir = directory_ + "/data",
                          .runtime_dir = runtime,
                          .uid_base = kUidBase,
                          .daemon_uid = kNobody,
                          .daemon_gid = kNobody,
                          .daemon_argv = {"launcher_test", "--gtest_filter=DaemonRole.*",
                                          "--gtest_also_run_disabled_tests", "--gtest_brief=1"}};
  ::setenv(kRelay, (directory_ + "/relay").c_str(), 1);
  launcher_pid_ = ::fork();
  if (launcher_pid_ == 0) ::_exit(run_launcher(options));
}

void LauncherHarness::await_daemon() {
  pollfd wait{.fd = listener_.get(), .events = POLLIN, .revents = 0};
  ASSERT_EQ(::poll(&wait, 1, kPatienceMs), 1) << "no daemon was started";
  const os::Fd relay(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
  wait.fd = relay.get();
  ASSERT_EQ(::poll(&wait, 1, kPatienceMs), 1);
  auto received = os::recv_message(relay);
  ASSERT_TRUE(received && *received && (*received)->fds.size() == 1);
  socket_ = std::move((*received)->fds[0]);
  daemon_pid_ = std::stoi((*received)->bytes);
  kept_.clear();
  exits_.clear();
}

int LauncherHarness::stop(int signal) {
  ::kill(launcher_pid_, signal);
  int status = 0;
  ::waitpid(launcher_pid_, &status, 0);
  launcher_pid_ = 0;
  return status;
}

std::optional<Answer> LauncherHarness::receive(int timeout_ms) {
  pollfd wait{.fd = socket_.get(), .events = POLLIN, .revents = 0};
  if (::poll(&wait, 1, timeout_ms) != 1) return std::nullopt;
  auto received = os::recv_message(socket_);
  if (!received || !*received || (*received)->bytes.empty()) return std::nullopt;
  auto message = wire::decode_message((*received)->bytes);
  EXPECT_TRUE(message);
  if (!message) return std::nullopt;
  return Answer{.type = static_cast<wire::LauncherType>(message->type),
                .id = message->id,
                .payload = message->payload,
                .fds = std::move((*received)->fds)};
}

void LauncherHarness::send_raw(const std::string& bytes, const std::vector<int>& fds) const {
  EXPECT_TRUE(os::send_message(socket_, bytes, fds));
}

std::uint64_t LauncherHarness::tell(wire::LauncherType type, std::string payload, const std::vector<int>& fds) {
  const std::uint64_t id = next_request_++;
  send_raw(
      wire::encode(wire::Message{.type = static_cast<std::uint16_t>(type), .id = id, .payload = std::move(payload)}),
      fds);
  return id;
}

Answer LauncherHarness::await_answer(std::uint64_t id) {
  for (auto kept = kept_.begin(); kept != kept_.end(); ++kept) {
    if (kept->id != id) continue;
    Answer answer = std::move(*kept);
    kept_.erase(kept);
    return answer;
  }
  while (std::optional<Answer> answer = receive(kPatienceMs)) {
    if (answer->type == wire::LauncherType::kExited) {
      exits_.push_back(*wire::decode<wire::Exited>(answer->payload));
    } else if (answer->id == id) {
      return std::move(*answer);
    } else {
      kept_.push_back(std::move(*answer));
    }
  }
  ADD_FAILURE() << "no answer to request " << id;
  return {};
}

Answer LauncherHarness::ask(wire::LauncherType type, std::string payload, const std::vector<int>& fds) {
  return await_answer(tell(type, std::move(payload), fds));
}

wire::Exited LauncherHarness::await_exit(wire::Subject subject, std::uint64_t id) {
  for (;;) {
    for (auto exit = exits_.begin(); exit != exits_.end(); ++exit) {
      if (exit->subject != subject || exit->id != id) continue;
      const wire::Exited found = *exit;
      exits_.erase(exit);
      return found;
    }
    std::optional<Answer> answer = receive(kPatienceMs);
    if (!answer) break;
    if (answer->type == wire::LauncherType::kExited) {
      exits_.push_back(*wire::decode<wire::Exited>(answer->payload));
    } else {
      kept_.push_back(std::move(*answer));
    }
  }
  ADD_FAILURE() << "no exit of " << id;
  return {};
}

bool LauncherHarness::received_nothing_more() { return exits_.empty() && kept_.empty() && !receive(0); }

std::string LauncherHarness::make_package(const std::string& app_py) {
  const std::string key = base::to_hex(std::string(24, '\x01')) + [&] {
    std::array<char, 17> digits{};
    std::snprintf(digits.data(), digits.size(), "%016zx", std::hash<std::string>()(app_py));
    return std::string(digits.data());
  }();
  const std::string path = directory_ + "/data/packages/" + key;
  std::filesystem::create_directory(path);
  std::ofstream(path + "/app.py") << app_py;
  return key;
}

void LauncherHarness::make_sandbox(std::uint64_t id) {
  const Answer answer = ask(wire::LauncherType::kMakeSandbox,
                            wire::encode(wire::MakeSandbox{.sandbox = base::SandboxId{id},
                                                           .app = "shop",
                                                           .uid_index = 7,
                                                           .runtime = "python3",
                                                           .memory_bytes = 1 << 30,
                                                           .pids = 64}),
                            {output_fd(), output_fd()});
  ASSERT_EQ(answer.type, wire::LauncherType::kZygoteReady)
      << wire::decode<wire::Failed>(answer.payload)->message << "\n"
      << output();
}

void LauncherHarness::make_version(std::uint64_t id, const std::string& package, std::uint64_t memory_bytes,
                                   const std::string& handler) {
  const std::string config = R"({"app":"shop","function":"f","version":1,"handler":")" + handler +
                             R"(","env":{},"memory_bytes":)" + std::to_string(memory_bytes) +
                             R"(,"timeout_ms":30000,"kind":"python3"})";
  const Answer answer =
      ask(wire::LauncherType::kMakeVersion, wire::encode(wire::MakeVersion{.version = base::VersionId{id},
                                                                           .app = "shop",
                                                                           .uid_index = 7,
                                                                           .package_key = package,
                                                                           .memory_bytes = memory_bytes,
                                                                           .cpu_millis = 1000,
                                                                           .pids = 32,
                                                                           .instances_max = 100,
                                                                           .config = config}));
  ASSERT_EQ(answer.type, wire::LauncherType::kDone);
}

wire::ZygoteReady LauncherHarness::make_zygote(std::uint64_t id, std::uint64_t sandbox, std::uint64_t version) {
  const Answer answer =
      ask(wire::LauncherType::kMakeZygote,
          wire::encode(wire::MakeZygote{
              .zygote = base::ZygoteId{id}, .sandbox = base::SandboxId{sandbox}, .version = base::VersionId{version}}),
          {output_fd(), output_fd()});
  EXPECT_EQ(answer.type, wire::LauncherType::kZygoteReady) << output();
  if (answer.type != wire::LauncherType::kZygoteReady) {
    ADD_FAILURE() << wire::decode<wire::Failed>(answer.payload)->message;
    return {};
  }
  const auto made = wire::decode<wire::ZygoteMade>(answer.payload);
  EXPECT_GT(made->memory_bytes, 1u << 20);
  return made->zygote;
}

TestInstance LauncherHarness::fork(std::uint64_t id, wire::Subject source, std::uint64_t source_id,
                                   std::uint64_t version) {
  int ends[2];
  EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
  TestInstance instance{.id = id, .channel = os::Fd(ends[0])};
  const os::Fd theirs(ends[1]);
  Answer answer = ask(wire::LauncherType::kFork,
                      wire::encode(wire::Fork{.instance = base::InstanceId{id},
                                              .source = source,
                                              .source_id = source_id,
                                              .version = base::VersionId{version}}),
                      {theirs.get(), output_fd(), output_fd()});
  EXPECT_EQ(answer.type, wire::LauncherType::kForked) << output();
  EXPECT_EQ(answer.fds.size(), 2u);
  if (answer.fds.size() != 2) return instance;
  instance.cpu = std::move(answer.fds[0]);
  instance.memory_peak = std::move(answer.fds[1]);
  return instance;
}

namespace {

bool read_exactly(int fd, char* to, std::size_t count) {
  while (count > 0) {
    pollfd wait{.fd = fd, .events = POLLIN, .revents = 0};
    if (::poll(&wait, 1, kPatienceMs) != 1) return false;
    const ssize_t got = ::read(fd, to, count);
    if (got <= 0) return false;
    to += got;
    count -= static_cast<std::size_t>(got);
  }
  return true;
}

std::optional<std::pair<wire::FrameType, Reply>> read_frame(int fd) {
  std::array<char, wire::kFrameHeaderBytes> bytes{};
  if (!read_exactly(fd, bytes.data(), bytes.size())) return std::nullopt;
  const auto header = wire::decode_frame_header({bytes.data(), bytes.size()});
  if (!header) return std::nullopt;
  Reply reply{.fine = header->type != wire::FrameType::kError};
  reply.meta.resize(header->meta_bytes);
  reply.body.resize(header->body_bytes);
  if (!read_exactly(fd, reply.meta.data(), reply.meta.size())) return std::nullopt;
  if (!read_exactly(fd, reply.body.data(), reply.body.size())) return std::nullopt;
  return std::pair(header->type, std::move(reply));
}

}  // namespace

Reply LauncherHarness::first_invoke(const TestInstance& instance, const std::string& body) {
  const auto ready = read_frame(instance.channel.get());
  EXPECT_TRUE(ready && ready->first == wire::FrameType::kReady) << output();
  return invoke(instance, body);
}

void LauncherHarness::send_invoke(const TestInstance& instance, const std::string& body) const {
  const std::string meta = R"({"kind":"direct","request_id":"r1","deadline_ms":32503680000000})";
  const auto header = wire::encode(wire::FrameHeader{.type = wire::FrameType::kInvoke,
                                                     .meta_bytes = static_cast<std::uint32_t>(meta.size()),
                                                     .body_bytes = body.size()});
  const std::string frame = std::string(header.data(), header.size()) + meta + body;
  EXPECT_EQ(::send(instance.channel.get(), frame.data(), frame.size(), MSG_NOSIGNAL),
            static_cast<ssize_t>(frame.size()));
}

Reply LauncherHarness::invoke(const TestInstance& instance, const std::string& body) {
  send_invoke(instance, body);
  auto reply = read_frame(instance.channel.get());
  EXPECT_TRUE(reply) << "the instance ended without an answer: " << output();
  return reply ? std::move(reply->second) : Reply{};
}

std::string LauncherHarness::output() {
  std::array<char, 4096> block;
  for (ssize_t got; (got = ::read(output_read_.get(), block.data(), block.size())) > 0;) {
    output_.append(block.data(), static_cast<std::size_t>(got));
  }
  return output_;
}

std::string LauncherHarness::tag() const {
  std::uint32_t hash = 2166136261;
  for (const char c : directory_ + "/data") hash = (hash ^ static_cast<unsigned char>(c)) * 16777619;
  std::array<char, 16> text{};
  std::snprintf(text.data(), text.size(), "ebb-%08x", hash);
  return text.data();
}

namespace {
os::CgroupTree tree_of(const std::string& tag) {
  return *os::CgroupTree::find(tag, *os::read_file("/proc/self/mountinfo"));
}
void collect(const std::filesystem::path& directory, std::vector<pid_t>& pids) {
  std::ifstream procs(directory / "cgroup.procs");
  for (pid_t pid; procs >> pid;) pids.push_back(pid);
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(directory, error)) {
    if (entry.is_directory()) collect(entry.path(), pids);
  }
}
}  // namespace

std::vector<pid_t> LauncherHarness::processes() const {
  std::vector<pid_t> pids;
  for (const char* mount : {"/sys/fs/cgroup", "/sys/fs/cgroup/memory", "/sys/fs/cgroup/pids"}) {
    const std::filesystem::path directory = std::filesystem::path(mount) / tag();
    if (std::filesystem::exists(directory)) collect(directory, pids);
    if (!pids.empty()) break;
  }
  return pids;
}

bool LauncherHarness::cgroups_absent() const { return tree_of(tag()).absent(); }

bool LauncherHarness::cgroup_absent(const std::string& path) const {
  for (const char* mount : {"/sys/fs/cgroup", "/sys/fs/cgroup/cpuacct"}) {
    if (std::filesystem::exists(std::filesystem::path(mount) / tag() / path)) return false;
  }
  return true;
}

}  // namespace ebb::launcher
