#include "os/seqpacket.h"

#include <sys/socket.h>
#include <sys/uio.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "base/limits.h"

namespace ebb::os {
namespace {

// Newer than Debian 12's headers.
constexpr int kSoPassPidfd = 76;
constexpr int kScmPidfd = 4;

constexpr std::size_t kControlBytes =
    CMSG_SPACE(sizeof(int) * limits::kWireFds) + CMSG_SPACE(sizeof(ucred)) + CMSG_SPACE(sizeof(int));

// Takes ownership of whatever the control data holds, before any decision about it: nothing may leak.
void take_control(msghdr& header, Received& received) {
  for (cmsghdr* c = CMSG_FIRSTHDR(&header); c != nullptr; c = CMSG_NXTHDR(&header, c)) {
    if (c->cmsg_level != SOL_SOCKET) continue;
    const std::size_t bytes = c->cmsg_len - CMSG_LEN(0);
    if (c->cmsg_type == SCM_RIGHTS) {
      for (std::size_t at = 0; at + sizeof(int) <= bytes; at += sizeof(int)) {
        int fd = -1;
        std::memcpy(&fd, CMSG_DATA(c) + at, sizeof fd);
        received.fds.emplace_back(fd);
      }
    } else if (c->cmsg_type == SCM_CREDENTIALS && bytes >= sizeof(ucred)) {
      ucred credentials{};
      std::memcpy(&credentials, CMSG_DATA(c), sizeof credentials);
      received.pid = credentials.pid;
    } else if (c->cmsg_type == kScmPidfd && bytes >= sizeof(int)) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(c), sizeof fd);
      if (fd >= 0) received.pidfd = Fd(fd);
    }
  }
}

}  // namespace

base::Result<std::pair<Fd, Fd>> seqpacket_pair() {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) return base::os_error("socketpair", errno);
  return std::pair(Fd(ends[0]), Fd(ends[1]));
}

base::Result<> receive_credentials(const Fd& socket) {
  const int on = 1;
  if (::setsockopt(socket.get(), SOL_SOCKET, SO_PASSCRED, &on, sizeof on) != 0) {
    return base::os_error("setsockopt SO_PASSCRED", errno);
  }
  // Best effort: before Linux 6.5 the receiver opens a pidfd by number and checks whose it is.
  static_cast<void>(::setsockopt(socket.get(), SOL_SOCKET, kSoPassPidfd, &on, sizeof on));
  return {};
}

base::Result<> send_message(const Fd& socket, std::string_view bytes, std::span<const int> fds) {
  EBB_CHECK(!bytes.empty() && bytes.size() <= limits::kWireMessageBytes && fds.size() <= limits::kWireFds);
  iovec part{.iov_base = const_cast<char*>(bytes.data()), .iov_len = bytes.size()};
  msghdr header{};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int) * limits::kWireFds)> control{};
  if (!fds.empty()) {
    header.msg_control = control.data();
    header.msg_controllen = CMSG_SPACE(fds.size_bytes());
    cmsghdr* c = CMSG_FIRSTHDR(&header);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(fds.size_bytes());
    std::memcpy(CMSG_DATA(c), fds.data(), fds.size_bytes());
  }
  ssize_t sent = 0;
  do {
    sent = ::sendmsg(socket.get(), &header, MSG_DONTWAIT | MSG_NOSIGNAL);
  } while (sent < 0 && errno == EINTR);
  if (sent >= 0) return {};
  base::Error error = base::os_error("send message", errno);
  if (error.os_errno == EAGAIN || error.os_errno == EPIPE || error.os_errno == ECONNRESET) {
    error.code = base::Code::kUnavailable;
  }
  return error;
}

base::Result<std::optional<Received>> recv_message(const Fd& socket) {
  std::array<char, limits::kWireMessageBytes> bytes;  // left uninitialised: the kernel says how much of it counts
  iovec part{.iov_base = bytes.data(), .iov_len = bytes.size()};
  alignas(cmsghdr) std::array<char, kControlBytes> control;
  msghdr header{};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  header.msg_control = control.data();
  header.msg_controllen = control.size();
  ssize_t got = 0;
  do {
    got = ::recvmsg(socket.get(), &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  } while (got < 0 && errno == EINTR);
  if (got < 0 && errno == EAGAIN) return std::optional<Received>();
  // A peer that died with our messages unread resets the connection: it is closed, no more and no less.
  if (got < 0 && errno == ECONNRESET) return std::optional<Received>(Received{});
  if (got < 0) return base::os_error("receive message", errno);
  Received received;
  take_control(header, received);
  if ((header.msg_flags & MSG_TRUNC) != 0) {
    return base::invalid_argument("message longer than " + std::to_string(bytes.size()) + " bytes");
  }
  // Cut short although there was room: it is we who have no descriptor left, the peer did nothing wrong.
  received.fds_lost = (header.msg_flags & MSG_CTRUNC) != 0 && received.fds.size() < limits::kWireFds;
  if (received.fds_lost) received.fds.clear();
  if (((header.msg_flags & MSG_CTRUNC) != 0 && !received.fds_lost) || received.fds.size() > limits::kWireFds) {
    return base::invalid_argument("message with more than " + std::to_string(limits::kWireFds) + " descriptors");
  }
  if (got == 0 && !received.fds.empty()) return base::invalid_argument("empty message with descriptors");
  received.bytes.assign(bytes.data(), static_cast<std::size_t>(got));
  return std::optional<Received>(std::move(received));
}

}  // namespace ebb::os
