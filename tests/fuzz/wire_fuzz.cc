// Messages and frames from arbitrary bytes: the launcher and the daemon trust neither each other's nor a sandbox's
// input.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/check.h"
#include "wire/frame.h"
#include "wire/launcher_protocol.h"
#include "wire/message.h"
#include "wire/zygote_protocol.h"

namespace wire = ebb::wire;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  if (bytes.size() >= wire::kFrameHeaderBytes)
    (void)wire::decode_frame_header(bytes.substr(0, wire::kFrameHeaderBytes));
  (void)wire::decode_init_failed(bytes);
  (void)wire::decode_forked(bytes);
  (void)wire::decode_reaped(bytes);
  (void)wire::decode<wire::MakeSandbox>(bytes);
  (void)wire::decode<wire::ZygoteReady>(bytes);
  (void)wire::decode<wire::ZygoteMade>(bytes);
  (void)wire::decode<wire::Failed>(bytes);
  (void)wire::decode<wire::Exited>(bytes);
  (void)wire::decode<wire::MakeVersion>(bytes);
  (void)wire::decode<wire::AllowAddresses>(bytes);
  (void)wire::decode<wire::DropVersion>(bytes);
  (void)wire::decode<wire::MakeZygote>(bytes);
  (void)wire::decode<wire::Fork>(bytes);
  (void)wire::decode<wire::Start>(bytes);
  (void)wire::decode<wire::Kill>(bytes);
  (void)wire::decode<wire::Build>(bytes);
  (void)wire::decode<wire::RemoveTree>(bytes);
  (void)wire::decode<wire::FreezeOrder>(bytes);
  (void)wire::decode<wire::OpenSockets>(bytes);
  (void)wire::decode<wire::ReadCpu>(bytes);
  (void)wire::decode<wire::CpuUse>(bytes);
  if (const auto message = wire::decode_message(bytes)) EBB_CHECK(wire::encode(*message) == bytes);
  return 0;
}
