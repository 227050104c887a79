// Requests to the kernel's network configuration over netlink, each answered before the call returns.
//
// 1. A socket speaks for the network namespace it was opened in, wherever its owner goes later. 2. A request is built
// in memory, bounded by limits::kNetlinkBytes, and sent in one message. 3. Only the kernel is listened to. Used by the
// launcher for interfaces, addresses and routes (links.h) and for elements of sets (nft_elements.h).
#pragma once

#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "base/result.h"
#include "os/fd.h"

namespace ebb::os {

/// One or more netlink messages being written.
class NetlinkRequest {
 public:
  /// Begins a message. `flags` beside NLM_F_REQUEST. Its sequence number is its place in the request, from 1.
  void begin(std::uint16_t type, std::uint16_t flags);
  /// The family header that follows: ifinfomsg, rtmsg and the like.
  template <typename Header>
  void header(const Header& header) {
    static_assert(std::is_trivially_copyable_v<Header>);
    append(&header, sizeof header);
  }
  void attribute(std::uint16_t type, std::string_view bytes);
  void attribute_u32(std::uint16_t type, std::uint32_t value);     // in the machine's order
  void attribute_text(std::uint16_t type, std::string_view text);  // with its final NUL
  std::size_t open(std::uint16_t type);  // a nested attribute; what follows belongs to it until close()
  void close(std::size_t opened);

  const std::string& bytes() const { return bytes_; }
  std::uint32_t messages() const { return messages_; }
  /// How many of them ask for an acknowledgement.
  std::uint32_t acknowledged() const { return acknowledged_; }

 private:
  void append(const void* data, std::size_t size);
  void finish_length();
  std::string bytes_;
  std::size_t message_at_ = 0;
  std::uint32_t messages_ = 0;
  std::uint32_t acknowledged_ = 0;
};

class NetlinkSocket {
 public:
  /// In the caller's present network namespace. `protocol`: NETLINK_ROUTE or NETLINK_NETFILTER.
  static base::Result<NetlinkSocket> open(int protocol);

  /// Sends it and waits for the acknowledgement of each message that asks for one. Errors: the first that the kernel
  /// reports, with its errno; kTooLarge.
  base::Result<> perform(const NetlinkRequest& request, std::string_view what) const;
  /// Payloads (family header and attributes) of all messages that answer a request with NLM_F_DUMP or NLM_F_ACK.
  base::Result<std::vector<std::string>> dump(const NetlinkRequest& request, std::string_view what) const;
  /// The network namespace it speaks for.
  base::Result<Fd> network_namespace() const;

 private:
  explicit NetlinkSocket(Fd socket) : socket_(std::move(socket)) {}
  base::Result<std::string> receive(std::string_view what) const;
  Fd socket_;
};

/// The attributes of a payload, found by type; empty when absent.
std::string_view find_attribute(std::string_view attributes, std::uint16_t type);

}  // namespace ebb::os
