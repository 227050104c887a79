// DNS messages from arbitrary bytes: a sandbox's questions, a resolver's answers.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/check.h"
#include "base/limits.h"
#include "node/dns_message.h"

namespace node = ebb::node;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  if (const auto question = node::parse_dns_query(bytes)) {
    // What goes on to a resolver is the same question.
    const std::string sent = node::encode_dns_query(*question, 7);
    const auto again = node::parse_dns_query(sent);
    EBB_CHECK(again && again->name == question->name && again->type == question->type && again->id == 7);
    if (const auto answer = node::parse_dns_answer(bytes, *question, question->id)) {
      EBB_CHECK(answer->addresses.size() <= ebb::limits::kDnsAddresses);
    }
  }
  if (size >= 12) {
    (void)node::dns_error(bytes, node::DnsStatus::kRefused);
    (void)node::dns_truncated(bytes);
    const node::DnsQuestion fixed{.name = "a", .type = 1};
    (void)node::parse_dns_answer(bytes, fixed, static_cast<std::uint16_t>(data[0] << 8 | data[1]));
  }
  return 0;
}
