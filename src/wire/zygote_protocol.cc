#include "wire/zygote_protocol.h"

#include "wire/codec.h"

namespace ebb::wire {

std::string encode_fork_function(std::uint64_t token, std::string_view config) {
  return Writer().u64(token).text(config).take();
}
std::string encode_fork_instance(std::uint64_t token, bool with_code, std::string_view config) {
  return Writer().u64(token).u8(with_code ? 1 : 0).text(config).take();
}
std::string encode(const InitFailed& m) { return Writer().text(m.type).text(m.message).text(m.trace).take(); }
std::string encode(const ForkedPid& m) { return Writer().u64(m.token).u32(m.os_errno).u32(m.pid).take(); }
std::string encode(const Reaped& m) { return Writer().u32(m.pid).u32(m.wait_status).take(); }

base::Result<InitFailed> decode_init_failed(std::string_view payload) {
  Reader r(payload);
  InitFailed m;
  m.type = r.text();
  m.message = r.text();
  m.trace = r.text();
  EBB_CHECKED(r.finish());
  return m;
}

base::Result<ForkedPid> decode_forked(std::string_view payload) {
  Reader r(payload);
  ForkedPid m;
  m.token = r.u64();
  m.os_errno = r.u32();
  m.pid = r.u32();
  EBB_CHECKED(r.finish());
  return m;
}

base::Result<Reaped> decode_reaped(std::string_view payload) {
  Reader r(payload);
  Reaped m;
  m.pid = r.u32();
  m.wait_status = r.u32();
  EBB_CHECKED(r.finish());
  return m;
}

}  // namespace ebb::wire
