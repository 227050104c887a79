#include "wire/message.h"

#include "base/check.h"
#include "base/limits.h"
#include "wire/codec.h"

namespace ebb::wire {

std::string encode(const Message& message) {
  EBB_CHECK(kMessageHeaderBytes + message.payload.size() <= limits::kWireMessageBytes);
  Writer writer;
  writer.u32(kMessageMagic)
      .u32(kMessageVersion | std::uint32_t{message.type} << 16)
      .u32(static_cast<std::uint32_t>(message.payload.size()))
      .u32(0)
      .u64(message.id);
  return writer.take() + message.payload;
}

base::Result<Message> decode_message(std::string_view bytes) {
  if (bytes.size() < kMessageHeaderBytes || bytes.size() > limits::kWireMessageBytes) {
    return base::invalid_argument("message of " + std::to_string(bytes.size()) + " bytes");
  }
  Reader reader(bytes.substr(0, kMessageHeaderBytes));
  const std::uint32_t magic = reader.u32();
  const std::uint32_t version_and_type = reader.u32();
  const std::uint32_t length = reader.u32();
  const std::uint32_t zero = reader.u32();
  const std::uint64_t id = reader.u64();
  if (magic != kMessageMagic || (version_and_type & 0xffff) != kMessageVersion || zero != 0) {
    return base::invalid_argument("message with a wrong header");
  }
  if (length != bytes.size() - kMessageHeaderBytes) return base::invalid_argument("message with a wrong length");
  return Message{.type = static_cast<std::uint16_t>(version_and_type >> 16),
                 .id = id,
                 .payload = std::string(bytes.substr(kMessageHeaderBytes))};
}

}  // namespace ebb::wire
