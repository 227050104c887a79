// Requests at a fixed rate, whether answers come or not: latency counts from the moment a request was due, so that a
// server that stalls is charged for all requests that fell into the stall (no coordinated omission).
//
//   open_loop PORT PATH RATE SECONDS CONNECTIONS [RAW_FILE|- [BODY]]
//
// GETs, or POSTs of BODY, over CONNECTIONS loopback connections, one request at a time on each; a request that finds
// none free waits here, and its time runs. Answers are 200 (latencies are theirs), 429 with Retry-After (refused), or
// errors. One thread, epoll. Prints one line of JSON; RAW_FILE gets one latency in
// microseconds a line.

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <string>
#include <string_view>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::nanoseconds;

constexpr auto kDrain = std::chrono::seconds(5);  // after the last request was due; unanswered then is an error
constexpr std::size_t kWaitingMax = 1'000'000;

[[noreturn]] void die(const char* what) {
  std::fprintf(stderr, "open_loop: %s: %s\n", what, std::strerror(errno));
  std::exit(1);
}

struct Connection {
  int fd = -1;
  bool busy = false;
  Clock::time_point due;
  std::string answer;
};

// The length of a complete answer at the beginning of `text`, or 0.
std::size_t complete(std::string_view text) {
  const std::size_t end = text.find("\r\n\r\n");
  if (end == std::string_view::npos) return 0;
  constexpr std::string_view kName = "\r\ncontent-length:";
  const auto same = [](char a, char b) { return (a >= 'A' && a <= 'Z' ? a + 32 : a) == b; };
  const auto found =
      std::search(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(end), kName.begin(), kName.end(), same);
  const auto at = static_cast<std::size_t>(found - text.begin());
  const std::size_t body = at == end ? 0 : std::strtoull(text.data() + at + kName.size(), nullptr, 10);
  return text.size() >= end + 4 + body ? end + 4 + body : 0;
}

std::string request_of(const std::string& path, const char* body) {
  const std::string rest = path + " HTTP/1.1\r\nHost: 127.0.0.1\r\n";
  if (body == nullptr) return "GET " + rest + "\r\n";
  const std::string text = body;
  return "POST " + rest + "Content-Type: application/json\r\nContent-Length: " + std::to_string(text.size()) +
         "\r\n\r\n" + text;
}

class OpenLoop {
 public:
  OpenLoop(std::uint16_t port, std::string request, double rate, double seconds, std::size_t connections)
      : port_(port),
        request_(std::move(request)),
        interval_(1e9 / rate),
        total_(static_cast<std::uint64_t>(rate * seconds)),
        connections_(connections) {
    epoll_ = ::epoll_create1(EPOLL_CLOEXEC);
    if (epoll_ < 0) die("epoll_create1");
    for (std::size_t i = 0; i < connections_.size(); ++i) free_.push_back(i);
  }

  void run() {
    start_ = Clock::now() + std::chrono::milliseconds(10);
    const auto last = due(total_);
    while (answered() < total_) {
      const auto now = Clock::now();
      if (now > last + kDrain) break;
      for (; sent_ < total_ && due(sent_) <= now; ++sent_) {
        if (waiting_.size() == kWaitingMax) die("too many requests wait for a connection");
        waiting_.push_back(due(sent_));
      }
      give_out();
      wait(sent_ < total_ ? due(sent_) : last + kDrain);
    }
    errors_ += total_ - answered();
  }

  void print(const char* raw_file) {
    if (raw_file != nullptr) {
      std::FILE* raw = std::fopen(raw_file, "w");
      if (raw == nullptr) die(raw_file);
      for (const auto latency : latencies_) std::fprintf(raw, "%.1f\n", static_cast<double>(latency.count()) / 1e3);
      std::fclose(raw);
    }
    std::sort(latencies_.begin(), latencies_.end());
    const auto at = [this](double share) {
      if (latencies_.empty()) return 0.0;
      const auto rank = static_cast<std::size_t>(share * static_cast<double>(latencies_.size()));
      return static_cast<double>(latencies_[std::min(rank, latencies_.size() - 1)].count()) / 1e6;
    };
    const double seconds = std::chrono::duration<double>(due(total_) - start_).count();
    std::printf(
        R"({"n":%zu,"errors":%llu,"refused":%llu,"ok_per_second":%.1f,"p50":%.4f,"p90":%.4f,"p99":%.4f,"p999":%.4f,"max":%.4f})"
        "\n",
        latencies_.size(), static_cast<unsigned long long>(errors_), static_cast<unsigned long long>(refused_),
        static_cast<double>(in_time_) / seconds, at(0.5), at(0.9), at(0.99), at(0.999), at(1));
  }

 private:
  std::uint64_t answered() const { return latencies_.size() + errors_ + refused_; }
  Clock::time_point due(std::uint64_t number) const {
    return start_ + nanoseconds(static_cast<std::int64_t>(interval_ * static_cast<double>(number)));
  }

  // Only when there is something to send: a server that serves one connection at a time would wait for an idle one.
  void open(std::size_t index) {
    Connection& connection = connections_[index];
    connection.fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port_);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (connection.fd < 0 || ::connect(connection.fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0)
      die("connect");
    const int on = 1;
    ::setsockopt(connection.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    epoll_event event{.events = EPOLLIN, .data = {.u64 = index}};
    if (::epoll_ctl(epoll_, EPOLL_CTL_ADD, connection.fd, &event) != 0) die("epoll_ctl");
  }

  void close(Connection& connection) {
    ::close(connection.fd);
    connection.fd = -1;
    connection.answer.clear();
  }

  void give_out() {
    while (!waiting_.empty() && !free_.empty()) {
      const std::size_t index = free_.back();
      Connection& connection = connections_[index];
      free_.pop_back();
      if (connection.fd < 0) open(index);
      connection.busy = true;
      connection.due = waiting_.front();
      waiting_.pop_front();
      // A peer that closed meanwhile is noticed by the read.
      static_cast<void>(::send(connection.fd, request_.data(), request_.size(), MSG_NOSIGNAL));
    }
  }

  void wait(Clock::time_point until) {
    const auto left = std::max<nanoseconds>(until - Clock::now(), nanoseconds(0));
    const timespec limit{.tv_sec = left.count() / 1'000'000'000, .tv_nsec = left.count() % 1'000'000'000};
    std::array<epoll_event, 256> events;
    const int count = ::epoll_pwait2(epoll_, events.data(), static_cast<int>(events.size()), &limit, nullptr);
    for (int i = 0; i < count; ++i) read(events[static_cast<std::size_t>(i)].data.u64);
  }

  void read(std::size_t index) {
    Connection& connection = connections_[index];
    std::array<char, 16384> buffer;
    const ssize_t got = ::recv(connection.fd, buffer.data(), buffer.size(), MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (got > 0) {
      connection.answer.append(buffer.data(), static_cast<std::size_t>(got));
      const std::size_t length = complete(connection.answer);
      if (length == 0) return;
      finish(connection, index);
      return;
    }
    closed_by_peer(connection, index);
  }

  void finish(Connection& connection, std::size_t index) {
    if (!connection.busy) die("an answer nobody asked for");
    if (connection.answer.compare(0, 12, "HTTP/1.1 200") == 0) {
      const auto now = Clock::now();
      latencies_.push_back(now - connection.due);
      if (now <= due(total_)) ++in_time_;
    } else if (connection.answer.compare(0, 12, "HTTP/1.1 429") == 0 &&
               connection.answer.find("etry-After: ") != std::string::npos) {
      ++refused_;
    } else {
      ++errors_;
    }
    connection.busy = false;
    const bool closes = connection.answer.find("onnection: close\r\n") != std::string::npos;
    connection.answer.clear();
    if (closes) close(connection);
    free_.push_back(index);
  }

  // The server closed. A request under way is sent again, its time running on.
  void closed_by_peer(Connection& connection, std::size_t index) {
    close(connection);
    if (!connection.busy) return;
    connection.busy = false;
    waiting_.push_front(connection.due);
    free_.push_back(index);
  }

  std::uint16_t port_;
  std::string request_;
  double interval_;
  std::uint64_t total_;
  std::vector<Connection> connections_;
  std::vector<std::size_t> free_;
  std::deque<Clock::time_point> waiting_;
  std::vector<nanoseconds> latencies_;
  Clock::time_point start_;
  std::uint64_t sent_ = 0;
  std::uint64_t errors_ = 0;
  std::uint64_t refused_ = 0;  // by 429 with a time to try again
  std::uint64_t in_time_ = 0;  // answered by 200 before the last request was due
  int epoll_ = -1;
};

}  // namespace

int main(int count, char** words) {
  if (count < 6) {
    std::fprintf(stderr, "usage: open_loop PORT PATH RATE SECONDS CONNECTIONS [RAW_FILE|- [BODY]]\n");
    return 2;
  }
  ::prctl(PR_SET_TIMERSLACK, 1);
  const char* raw_file = count > 6 && std::string_view(words[6]) != "-" ? words[6] : nullptr;
  OpenLoop loop(static_cast<std::uint16_t>(std::atoi(words[1])), request_of(words[2], count > 7 ? words[7] : nullptr),
                std::atof(words[3]), std::atof(words[4]), static_cast<std::size_t>(std::atoi(words[5])));
  loop.run();
  loop.print(raw_file);
  return 0;
}
