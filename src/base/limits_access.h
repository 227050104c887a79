// Every bound of keys, secrets and TLS: a leaf of limits.h, apart so that a change here compiles few files anew. The
// same rules hold and docs/reference/limits.md has them too.
#pragma once

#include <chrono>
#include <cstddef>

namespace ebb::limits {

using namespace std::chrono_literals;

// Access and secrets.
inline constexpr std::size_t kAccessKeys = 1000;             // of a node
inline constexpr std::size_t kOrganisations = 1000;          // of a node
inline constexpr std::size_t kAppNames = 100'000;            // of all organisations, of removed apps too
inline constexpr std::size_t kBudgets = 10'000;              // of a node
inline constexpr std::size_t kQuotas = 10'000;               // of a node
inline constexpr std::uint64_t kQuotaCalls = 1'000'000;      // of an app, a second or at once
inline constexpr std::uint64_t kQuotaBytes = 1ull << 60;     // of memory or storage
inline constexpr std::uint64_t kBudgetCu = 1'000'000'000;    // of an app, a month
inline constexpr std::size_t kKeyLabelBytes = 64;            // a key's label
inline constexpr std::size_t kKeyFileBytes = 4096;           // a file with a key in it
inline constexpr std::size_t kControlBodyBytes = 64 * 1024;  // a JSON body of the control plane: 413 beyond
inline constexpr std::size_t kSecretBytes = 16 * 1024;       // one secret's value
inline constexpr std::size_t kSecretsPerApp = 100;
inline constexpr std::size_t kSecretsPerFunction = 32;
inline constexpr std::size_t kSecretsBytes = 24 * 1024;  // all of a function's secrets, names and values
inline constexpr auto kTlsHandshakeTimeout = 10s;        // from the connection to the end of the handshake

}  // namespace ebb::limits
