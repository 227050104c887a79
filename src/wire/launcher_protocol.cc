#include "wire/launcher_protocol.h"

#include <algorithm>

#include "base/limits.h"
#include "wire/codec.h"

namespace ebb::wire {
namespace {

constexpr std::uint32_t kArgumentsMax = 64;

base::Error malformed(std::string_view what) { return base::invalid_argument("malformed " + std::string(what)); }

bool is_key_or_empty(const std::string& key) { return key.empty() || base::is_content_key(key); }

bool are_keys(const std::vector<std::string>& keys) {
  return std::all_of(keys.begin(), keys.end(), [](const std::string& key) { return base::is_content_key(key); });
}

// Becomes part of a cgroup's name: nothing but letters, digits and inner hyphens.
bool is_app_name(const std::string& name) {
  return !name.empty() && name.size() <= limits::kNameLength && name.front() != '-' &&
         name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-") == std::string::npos;
}

void put_ranges(Writer& writer, const std::vector<ReachRange>& ranges) {
  writer.u32(static_cast<std::uint32_t>(ranges.size()));
  for (const ReachRange& one : ranges) writer.text(base::to_string(one.range)).u32(one.port);
}

// False when one is no range, or there are too many.
bool take_ranges(Reader& reader, std::size_t most, std::vector<ReachRange>& ranges) {
  const std::uint32_t count = reader.u32();
  if (count > most) return false;
  for (std::uint32_t i = 0; i < count; ++i) {
    const auto range = base::parse_ip_range(reader.text());
    const std::uint32_t port = reader.u32();
    if (!range || port > 65'535) return false;
    ranges.push_back({.range = *range, .port = static_cast<std::uint16_t>(port)});
  }
  return true;
}

template <typename T>
base::Result<T> finished(const Reader& reader, T value, bool valid, std::string_view what) {
  if (!reader.finish() || !valid) return malformed(what);
  return value;
}

}  // namespace

std::string encode(const MakeSandbox& m) {
  return Writer()
      .u64(raw(m.sandbox))
      .text(m.app)
      .u32(m.uid_index)
      .text(m.runtime)
      .text(m.layer_key)
      .u64(m.memory_bytes)
      .u32(m.pids)
      .texts(m.image_layers)
      .take();
}
template <>
base::Result<MakeSandbox> decode(std::string_view payload) {
  Reader r(payload);
  MakeSandbox m;
  m.sandbox = base::SandboxId{r.u64()};
  m.app = r.text();
  m.uid_index = r.u32();
  m.runtime = r.text();
  m.layer_key = r.text();
  m.memory_bytes = r.u64();
  m.pids = r.u32();
  m.image_layers = r.texts(limits::kImageLayers);
  const bool valid = are_keys(m.image_layers) && is_app_name(m.app) && m.runtime == "python3" &&
                     is_key_or_empty(m.layer_key) && m.uid_index >= 1 && m.uid_index <= limits::kApps;
  return finished(r, std::move(m), valid, "MakeSandbox");
}

std::string encode(const MakeVersion& m) {
  Writer writer;
  writer.u64(raw(m.version))
      .text(m.app)
      .u32(m.uid_index)
      .text(m.package_key)
      .u64(m.memory_bytes)
      .u32(m.cpu_millis)
      .u32(m.pids)
      .u32(m.instances_max)
      .text(m.config)
      .u8(static_cast<std::uint8_t>(m.reach));
  put_ranges(writer, m.ranges);
  return writer.take();
}
template <>
base::Result<MakeVersion> decode(std::string_view payload) {
  Reader r(payload);
  MakeVersion m;
  m.version = base::VersionId{r.u64()};
  m.app = r.text();
  m.uid_index = r.u32();
  m.package_key = r.text();
  m.memory_bytes = r.u64();
  m.cpu_millis = r.u32();
  m.pids = r.u32();
  m.instances_max = r.u32();
  m.config = r.text();
  m.reach = static_cast<Reach>(r.u8());
  const bool reachable = take_ranges(r, limits::kEgressRules, m.ranges);
  const bool valid = reachable && m.reach <= Reach::kListed && is_app_name(m.app) &&
                     base::is_content_key(m.package_key) && m.uid_index >= 1 && m.uid_index <= limits::kApps &&
                     m.config.size() <= limits::kConfigBlobBytes && m.memory_bytes <= limits::kFunctionMemoryBytesMax &&
                     m.cpu_millis >= 1 && m.pids >= 1 && m.instances_max <= limits::kInstancesPerFunction;
  return finished(r, std::move(m), valid, "MakeVersion");
}

std::string encode(const DropVersion& m) { return Writer().u64(raw(m.version)).take(); }
template <>
base::Result<DropVersion> decode(std::string_view payload) {
  Reader r(payload);
  DropVersion m{base::VersionId{r.u64()}};
  return finished(r, m, true, "DropVersion");
}

std::string encode(const MakeZygote& m) {
  return Writer()
      .u64(raw(m.zygote))
      .u64(raw(m.sandbox))
      .u64(raw(m.version))
      .u64(m.room.expected_bytes)
      .u64(m.room.reserved_bytes)
      .take();
}
template <>
base::Result<MakeZygote> decode(std::string_view payload) {
  Reader r(payload);
  MakeZygote m;
  m.zygote = base::ZygoteId{r.u64()};
  m.sandbox = base::SandboxId{r.u64()};
  m.version = base::VersionId{r.u64()};
  m.room.expected_bytes = r.u64();
  m.room.reserved_bytes = r.u64();
  return finished(r, m, true, "MakeZygote");
}

std::string encode(const Fork& m) {
  return Writer()
      .u64(raw(m.instance))
      .u8(static_cast<std::uint8_t>(m.source))
      .u64(m.source_id)
      .u64(raw(m.version))
      .u64(m.room.expected_bytes)
      .u64(m.room.reserved_bytes)
      .take();
}
template <>
base::Result<Fork> decode(std::string_view payload) {
  Reader r(payload);
  Fork m;
  m.instance = base::InstanceId{r.u64()};
  m.source = static_cast<Subject>(r.u8());
  m.source_id = r.u64();
  m.version = base::VersionId{r.u64()};
  m.room.expected_bytes = r.u64();
  m.room.reserved_bytes = r.u64();
  return finished(r, m, m.source == Subject::kZygote || m.source == Subject::kSandbox, "Fork");
}

std::string encode(const Start& m) {
  return Writer()
      .u64(raw(m.instance))
      .u64(raw(m.version))
      .text(m.layer_key)
      .u8(m.gvisor ? 1 : 0)
      .u64(m.room.expected_bytes)
      .u64(m.room.reserved_bytes)
      .texts(m.image_layers)
      .take();
}
template <>
base::Result<Start> decode(std::string_view payload) {
  Reader r(payload);
  Start m;
  m.instance = base::InstanceId{r.u64()};
  m.version = base::VersionId{r.u64()};
  m.layer_key = r.text();
  const std::uint8_t gvisor = r.u8();
  m.gvisor = gvisor == 1;
  m.room.expected_bytes = r.u64();
  m.room.reserved_bytes = r.u64();
  m.image_layers = r.texts(limits::kImageLayers);
  const bool valid = are_keys(m.image_layers) && is_key_or_empty(m.layer_key) && gvisor <= 1;
  return finished(r, std::move(m), valid, "Start");
}

std::string encode(const Kill& m) { return Writer().u8(static_cast<std::uint8_t>(m.subject)).u64(m.id).take(); }
template <>
base::Result<Kill> decode(std::string_view payload) {
  Reader r(payload);
  Kill m;
  m.subject = static_cast<Subject>(r.u8());
  m.id = r.u64();
  return finished(r, m, m.subject <= Subject::kBuild, "Kill");
}

std::string encode(const Build& m) {
  return Writer()
      .u64(m.build)
      .text(m.source_key)
      .text(m.layer_key)
      .u8(static_cast<std::uint8_t>(m.output))
      .text(m.output_key)
      .u8(m.host_network ? 1 : 0)
      .u64(m.memory_bytes)
      .texts(m.argv)
      .texts(m.env)
      .take();
}
template <>
base::Result<Build> decode(std::string_view payload) {
  Reader r(payload);
  Build m;
  m.build = r.u64();
  m.source_key = r.text();
  m.layer_key = r.text();
  m.output = static_cast<TreeKind>(r.u8());
  m.output_key = r.text();
  m.host_network = r.u8() != 0;
  m.memory_bytes = r.u64();
  m.argv = r.texts(kArgumentsMax);
  m.env = r.texts(kArgumentsMax);
  const bool valid = is_key_or_empty(m.source_key) && is_key_or_empty(m.layer_key) &&
                     base::is_content_key(m.output_key) && m.output <= TreeKind::kPackage && !m.argv.empty() &&
                     m.argv.front().starts_with('/');
  return finished(r, std::move(m), valid, "Build");
}

std::string encode(const RemoveTree& m) { return Writer().u8(static_cast<std::uint8_t>(m.kind)).text(m.key).take(); }
template <>
base::Result<RemoveTree> decode(std::string_view payload) {
  Reader r(payload);
  RemoveTree m;
  m.kind = static_cast<TreeKind>(r.u8());
  m.key = r.text();
  const bool valid = m.kind <= TreeKind::kPackage && base::is_content_key(m.key);
  return finished(r, std::move(m), valid, "RemoveTree");
}

std::string encode(const AllowAddresses& m) {
  Writer writer;
  writer.u32(m.link).u32(m.seconds);
  put_ranges(writer, m.targets);
  return writer.take();
}
template <>
base::Result<AllowAddresses> decode(std::string_view payload) {
  Reader r(payload);
  AllowAddresses m;
  m.link = r.u32();
  m.seconds = r.u32();
  const bool valid = take_ranges(r, limits::kEgressAddresses, m.targets);
  return finished(r, std::move(m), valid, "AllowAddresses");
}

std::string encode(const Linked& m) {
  return Writer().u64(raw(m.version)).u32(m.link).text(base::to_string(m.address)).take();
}
template <>
base::Result<Linked> decode(std::string_view payload) {
  Reader r(payload);
  Linked m;
  m.version = base::VersionId{r.u64()};
  m.link = r.u32();
  const auto address = base::parse_ip(r.text());
  if (address) m.address = *address;
  return finished(r, m, address.has_value(), "Linked");
}

std::string encode(const Unlinked& m) { return Writer().u32(m.link).take(); }
template <>
base::Result<Unlinked> decode(std::string_view payload) {
  Reader r(payload);
  Unlinked m;
  m.link = r.u32();
  return finished(r, m, true, "Unlinked");
}

std::string encode(const OpenSockets& m) { return Writer().u64(raw(m.instance)).u32(m.count).take(); }
template <>
base::Result<OpenSockets> decode(std::string_view payload) {
  Reader r(payload);
  OpenSockets m;
  m.instance = base::InstanceId{r.u64()};
  m.count = r.u32();
  return finished(r, m, m.count >= 1 && m.count <= limits::kSocketsAtOnce, "OpenSockets");
}

std::string encode(const ReadCpu& m) { return Writer().text(m.app).take(); }
template <>
base::Result<ReadCpu> decode(std::string_view payload) {
  Reader r(payload);
  ReadCpu m;
  m.app = r.text();
  const bool valid = is_app_name(m.app);
  return finished(r, std::move(m), valid, "ReadCpu");
}

std::string encode(const CpuUse& m) { return Writer().u64(m.total_ns).u64(m.runtimes_ns).u64(m.zygotes_ns).take(); }
template <>
base::Result<CpuUse> decode(std::string_view payload) {
  Reader r(payload);
  CpuUse m;
  m.total_ns = r.u64();
  m.runtimes_ns = r.u64();
  m.zygotes_ns = r.u64();
  return finished(r, m, true, "CpuUse");
}

std::string encode(const FreezeOrder& m) { return Writer().u64(raw(m.instance)).u64(m.sequence).take(); }
template <>
base::Result<FreezeOrder> decode(std::string_view payload) {
  Reader r(payload);
  FreezeOrder m;
  m.instance = base::InstanceId{r.u64()};
  m.sequence = r.u64();
  return finished(r, m, true, "FreezeOrder");
}

std::string encode(const Failed& m) {
  return Writer().u8(static_cast<std::uint8_t>(m.code)).text(m.message).text(m.detail).take();
}
template <>
base::Result<Failed> decode(std::string_view payload) {
  Reader r(payload);
  Failed m;
  m.code = static_cast<base::Code>(r.u8());
  m.message = r.text();
  m.detail = r.text();
  const bool valid = m.code <= base::Code::kInternal;
  return finished(r, std::move(m), valid, "Failed");
}

std::string encode(const ZygoteReady& m) {
  return Writer().u64(m.init_ns).u8(m.forkable ? 1 : 0).text(m.unfit_reason).take();
}
template <>
base::Result<ZygoteReady> decode(std::string_view payload) {
  Reader r(payload);
  ZygoteReady m;
  m.init_ns = r.u64();
  m.forkable = r.u8() != 0;
  m.unfit_reason = r.text();
  return finished(r, std::move(m), true, "ZygoteReady");
}

std::string encode(const ZygoteMade& m) { return Writer().text(encode(m.zygote)).u64(m.memory_bytes).take(); }
template <>
base::Result<ZygoteMade> decode(std::string_view payload) {
  Reader r(payload);
  ZygoteMade m;
  EBB_TRY(m.zygote, decode<ZygoteReady>(r.text()));
  m.memory_bytes = r.u64();
  return finished(r, std::move(m), true, "ZygoteMade");
}

std::string encode(const Exited& m) {
  return Writer()
      .u8(static_cast<std::uint8_t>(m.subject))
      .u64(m.id)
      .u32(m.wait_status)
      .u8(m.out_of_memory ? 1 : 0)
      .u8(m.orphaned ? 1 : 0)
      .u64(m.cpu_ns)
      .u64(m.memory_peak_bytes)
      .take();
}
template <>
base::Result<Exited> decode(std::string_view payload) {
  Reader r(payload);
  Exited m;
  m.subject = static_cast<Subject>(r.u8());
  m.id = r.u64();
  m.wait_status = r.u32();
  m.out_of_memory = r.u8() != 0;
  m.orphaned = r.u8() != 0;
  m.cpu_ns = r.u64();
  m.memory_peak_bytes = r.u64();
  return finished(r, m, m.subject <= Subject::kBuild, "Exited");
}

}  // namespace ebb::wire
