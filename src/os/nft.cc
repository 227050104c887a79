#include "os/nft.h"

#include <arpa/inet.h>
#include <endian.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <nftables/libnftables.h>
#include <sys/socket.h>

#include <algorithm>

namespace ebb::os {
namespace {

constexpr std::size_t kElementsPerRequest = 128;  // a request stays far below limits::kNetlinkBytes

std::uint16_t type_of(std::uint16_t message) { return static_cast<std::uint16_t>(NFNL_SUBSYS_NFTABLES << 8 | message); }

nfgenmsg general(std::uint8_t family, std::uint16_t resource) {
  nfgenmsg header{};
  header.nfgen_family = family;
  header.version = NFNETLINK_V0;
  header.res_id = htons(resource);
  return header;
}

void value(NetlinkRequest& request, std::uint16_t type, const std::string& bytes) {
  const std::size_t opened = request.open(type);
  request.attribute(NFTA_DATA_VALUE, bytes);
  request.close(opened);
}

void element(NetlinkRequest& request, const NftElement& one) {
  const std::size_t opened = request.open(NFTA_LIST_ELEM);
  value(request, NFTA_SET_ELEM_KEY, one.key);
  if (!one.key_end.empty()) value(request, NFTA_SET_ELEM_KEY_END, one.key_end);
  if (one.timeout) {
    const std::uint64_t milliseconds = htobe64(static_cast<std::uint64_t>(one.timeout->count()));
    request.attribute(NFTA_SET_ELEM_TIMEOUT, {reinterpret_cast<const char*>(&milliseconds), sizeof milliseconds});
  }
  request.close(opened);
}

}  // namespace

void NftRules::Release::operator()(nft_ctx* context) const { nft_ctx_free(context); }

base::Result<NftRules> NftRules::load(const std::string& text) {
  std::unique_ptr<nft_ctx, Release> context(nft_ctx_new(NFT_CTX_DEFAULT));
  if (!context) return base::unavailable("nftables: no context");
  nft_ctx_buffer_output(context.get());
  nft_ctx_buffer_error(context.get());
  if (nft_run_cmd_from_buffer(context.get(), text.c_str()) == 0) return NftRules(std::move(context));
  const char* told = nft_ctx_get_error_buffer(context.get());
  std::string reason = told == nullptr ? "" : told;
  reason = reason.substr(0, reason.find('\n')).substr(0, 300);
  return base::unavailable("nftables refuses the rules: " + reason);
}

base::Result<NftElements> NftElements::open(std::string table) {
  EBB_TRY(NetlinkSocket socket, NetlinkSocket::open(NETLINK_NETFILTER));
  return NftElements(std::move(table), std::move(socket));
}

base::Result<> NftElements::change(std::uint16_t message, std::uint16_t flags, std::string_view set,
                                   const std::vector<NftElement>& elements) const {
  for (std::size_t from = 0; from < elements.size(); from += kElementsPerRequest) {
    NetlinkRequest request;
    request.begin(NFNL_MSG_BATCH_BEGIN, 0);
    request.header(general(AF_UNSPEC, NFNL_SUBSYS_NFTABLES));
    request.begin(type_of(message), static_cast<std::uint16_t>(flags | NLM_F_ACK));
    request.header(general(NFPROTO_INET, 0));
    request.attribute_text(NFTA_SET_ELEM_LIST_TABLE, table_);
    request.attribute_text(NFTA_SET_ELEM_LIST_SET, set);
    const std::size_t list = request.open(NFTA_SET_ELEM_LIST_ELEMENTS);
    const std::size_t to = std::min(elements.size(), from + kElementsPerRequest);
    for (std::size_t at = from; at < to; ++at) element(request, elements[at]);
    request.close(list);
    request.begin(NFNL_MSG_BATCH_END, 0);
    request.header(general(AF_UNSPEC, NFNL_SUBSYS_NFTABLES));
    EBB_CHECKED(socket_.perform(request, "change the set " + std::string(set)));
  }
  return {};
}

base::Result<> NftElements::add(std::string_view set, const std::vector<NftElement>& elements) const {
  return change(NFT_MSG_NEWSETELEM, NLM_F_CREATE, set, elements);
}

base::Result<> NftElements::remove(std::string_view set, const std::vector<NftElement>& elements) const {
  return change(NFT_MSG_DELSETELEM, 0, set, elements);
}

}  // namespace ebb::os
