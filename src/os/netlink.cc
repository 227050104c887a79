#include "os/netlink.h"

#include <linux/netlink.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <cerrno>

#include "base/limits.h"

#ifndef SIOCGSKNS
#define SIOCGSKNS 0x894C
#endif

namespace ebb::os {
namespace {

constexpr std::size_t kAnswerBytes = 64 * 1024;
constexpr std::size_t kDumpMessages = 65'536;
constexpr int kAnswerSeconds = 5;  // the kernel answers while the request is being sent

constexpr std::size_t aligned(std::size_t size) { return (size + 3) & ~std::size_t{3}; }

struct NetlinkMessage {
  std::uint16_t type = 0;
  std::string_view payload;
};

// Takes the first message off `left`; nothing when that does not begin with a whole one.
std::optional<NetlinkMessage> take_message(std::string_view& left) {
  nlmsghdr header{};
  if (left.size() < sizeof header) return std::nullopt;
  std::memcpy(&header, left.data(), sizeof header);
  if (header.nlmsg_len < sizeof header || header.nlmsg_len > left.size()) return std::nullopt;
  const NetlinkMessage message{header.nlmsg_type, left.substr(sizeof header, header.nlmsg_len - sizeof header)};
  left.remove_prefix(std::min(aligned(header.nlmsg_len), left.size()));
  return message;
}

// What an NLMSG_ERROR says: 0, or a negative errno; 0 too when it is too short to say anything.
int error_in(const NetlinkMessage& message) {
  int code = 0;
  if (message.payload.size() >= sizeof code) std::memcpy(&code, message.payload.data(), sizeof code);
  return code;
}

}  // namespace

void NetlinkRequest::append(const void* data, std::size_t size) {
  bytes_.append(static_cast<const char*>(data), size);
  bytes_.append(aligned(size) - size, '\0');
  finish_length();
}

void NetlinkRequest::finish_length() {
  const auto length = static_cast<std::uint32_t>(bytes_.size() - message_at_);
  std::memcpy(bytes_.data() + message_at_, &length, sizeof length);
}

void NetlinkRequest::begin(std::uint16_t type, std::uint16_t flags) {
  message_at_ = bytes_.size();
  nlmsghdr header{};
  header.nlmsg_type = type;
  header.nlmsg_flags = static_cast<std::uint16_t>(flags | NLM_F_REQUEST);
  header.nlmsg_seq = ++messages_;
  if ((flags & NLM_F_ACK) != 0) ++acknowledged_;
  bytes_.append(reinterpret_cast<const char*>(&header), sizeof header);
  finish_length();
}

void NetlinkRequest::attribute(std::uint16_t type, std::string_view bytes) {
  nlattr header{};
  header.nla_type = type;
  header.nla_len = static_cast<std::uint16_t>(sizeof header + bytes.size());
  bytes_.append(reinterpret_cast<const char*>(&header), sizeof header);
  append(bytes.data(), bytes.size());
}

void NetlinkRequest::attribute_u32(std::uint16_t type, std::uint32_t value) {
  attribute(type, std::string_view(reinterpret_cast<const char*>(&value), sizeof value));
}

void NetlinkRequest::attribute_text(std::uint16_t type, std::string_view text) {
  std::string terminated(text);
  terminated += '\0';
  attribute(type, terminated);
}

std::size_t NetlinkRequest::open(std::uint16_t type) {
  const std::size_t at = bytes_.size();
  attribute(static_cast<std::uint16_t>(type | NLA_F_NESTED), {});
  return at;
}

void NetlinkRequest::close(std::size_t opened) {
  const auto length = static_cast<std::uint16_t>(bytes_.size() - opened);
  std::memcpy(bytes_.data() + opened, &length, sizeof length);
}

base::Result<NetlinkSocket> NetlinkSocket::open(int protocol) {
  Fd socket(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol));
  if (!socket.valid()) return base::os_error("open a netlink socket", errno);
  const timeval patience{.tv_sec = kAnswerSeconds, .tv_usec = 0};
  const int buffer = 1 << 20;
  static_cast<void>(::setsockopt(socket.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience));
  static_cast<void>(::setsockopt(socket.get(), SOL_SOCKET, SO_RCVBUF, &buffer, sizeof buffer));
  sockaddr_nl self{};
  self.nl_family = AF_NETLINK;
  if (::bind(socket.get(), reinterpret_cast<const sockaddr*>(&self), sizeof self) != 0) {
    return base::os_error("bind a netlink socket", errno);
  }
  return NetlinkSocket(std::move(socket));
}

base::Result<std::string> NetlinkSocket::receive(std::string_view what) const {
  std::string answer(kAnswerBytes, '\0');
  for (;;) {
    sockaddr_nl sender{};
    socklen_t length = sizeof sender;
    const ssize_t got = ::recvfrom(socket_.get(), answer.data(), answer.size(), MSG_TRUNC,
                                   reinterpret_cast<sockaddr*>(&sender), &length);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return base::os_error(what, errno);
    if (sender.nl_pid != 0) continue;  // not the kernel
    if (static_cast<std::size_t>(got) > answer.size())
      return base::internal(std::string(what) + ": too long an answer");
    answer.resize(static_cast<std::size_t>(got));
    return answer;
  }
}

base::Result<> NetlinkSocket::perform(const NetlinkRequest& request, std::string_view what) const {
  if (request.bytes().size() > limits::kNetlinkBytes) {
    return base::Error{.code = base::Code::kTooLarge, .message = std::string(what) + ": the request is too long"};
  }
  if (::send(socket_.get(), request.bytes().data(), request.bytes().size(), 0) < 0) return base::os_error(what, errno);
  base::Result<> outcome;
  for (std::uint32_t answered = 0; answered < request.acknowledged();) {
    EBB_TRY(const std::string answer, receive(what));
    std::string_view left = answer;
    while (const auto message = take_message(left)) {
      if (message->type != NLMSG_ERROR || message->payload.size() < sizeof(int)) continue;
      const int code = error_in(*message);
      if (code != 0 && outcome) outcome = base::os_error(what, -code);
      // A message that asked for nothing may fail too, and then nothing else is acknowledged.
      ++answered;
    }
  }
  return outcome;
}

base::Result<std::vector<std::string>> NetlinkSocket::dump(const NetlinkRequest& request, std::string_view what) const {
  if (::send(socket_.get(), request.bytes().data(), request.bytes().size(), 0) < 0) return base::os_error(what, errno);
  std::vector<std::string> payloads;
  for (;;) {
    EBB_TRY(const std::string answer, receive(what));
    std::string_view left = answer;
    while (const auto message = take_message(left)) {
      if (message->type == NLMSG_DONE) return payloads;
      if (message->type == NLMSG_ERROR) {
        const int code = error_in(*message);
        if (code == 0) return payloads;  // the acknowledgement that ends an answer of one message
        return base::os_error(what, -code);
      }
      if (payloads.size() >= kDumpMessages) return base::internal(std::string(what) + ": too many answers");
      payloads.emplace_back(message->payload);
    }
  }
}

base::Result<Fd> NetlinkSocket::network_namespace() const {
  Fd found(::ioctl(socket_.get(), SIOCGSKNS));
  if (!found.valid()) return base::os_error("find a socket's network namespace", errno);
  return found;
}

std::string_view find_attribute(std::string_view attributes, std::uint16_t type) {
  nlattr header{};
  while (attributes.size() >= sizeof header) {
    std::memcpy(&header, attributes.data(), sizeof header);
    if (header.nla_len < sizeof header || header.nla_len > attributes.size()) return {};
    if ((header.nla_type & NLA_TYPE_MASK) == type) {
      return attributes.substr(sizeof header, header.nla_len - sizeof header);
    }
    attributes.remove_prefix(std::min(aligned(header.nla_len), attributes.size()));
  }
  return {};
}

}  // namespace ebb::os
