// nftables: whole rule sets as text, read by libnftables when they are loaded, and elements of their sets, added and
// removed by requests of our own.
//
// Both work in the network namespace the caller is in when the object is made.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "os/netlink.h"

struct nft_ctx;

namespace ebb::os {

/// A loaded rule set. A table with `flags owner` in it can be changed by nobody else and goes with this object, or with
/// the process, however that ends (Linux 5.12).
class NftRules {
 public:
  /// All of `text` or nothing. Trusted text: it is a program. Errors: kUnavailable with what nft says.
  static base::Result<NftRules> load(const std::string& text);

 private:
  struct Release {
    void operator()(nft_ctx* context) const;
  };
  explicit NftRules(std::unique_ptr<nft_ctx, Release> context) : context_(std::move(context)) {}
  std::unique_ptr<nft_ctx, Release> context_;
};

/// One element: its key as the kernel holds it, fields padded to 4 bytes.
struct NftElement {
  std::string key;
  std::string key_end;  // of a range, inclusive; empty: a single value
  std::optional<std::chrono::milliseconds> timeout;
};

/// Elements of sets of one table of the inet family.
class NftElements {
 public:
  static base::Result<NftElements> open(std::string table);

  /// Each set's elements in one transaction; an element that is there already stays as it is.
  base::Result<> add(std::string_view set, const std::vector<NftElement>& elements) const;
  /// All or none. Errors: ENOENT when one is not there.
  base::Result<> remove(std::string_view set, const std::vector<NftElement>& elements) const;

 private:
  NftElements(std::string table, NetlinkSocket socket) : table_(std::move(table)), socket_(std::move(socket)) {}
  base::Result<> change(std::uint16_t message, std::uint16_t flags, std::string_view set,
                        const std::vector<NftElement>& elements) const;
  std::string table_;
  NetlinkSocket socket_;
};

}  // namespace ebb::os
