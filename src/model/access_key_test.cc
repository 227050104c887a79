// Access keys as values: which role may what, the form of a key, and loopback addresses. Method: tables.
#include "model/access_key.h"

#include <gtest/gtest.h>

#include <string>

#include "model/local_node.h"

namespace ebb::model {
namespace {

TEST(AccessKey, RolesMayWhatTheTableSays) {
  const std::string kAllowed =
      "admin:any,read,invoke,deploy,admin deploy:any,read,invoke,deploy invoke:any,invoke read:any,read";
  std::string found;
  for (const Role role : {Role::kAdmin, Role::kDeploy, Role::kInvoke, Role::kRead}) {
    found += std::string(found.empty() ? "" : " ") + std::string(name_of(role)) + ":";
    bool first = true;
    for (const auto& [permission, name] :
         {std::pair(Permission::kAnyKey, "any"), std::pair(Permission::kRead, "read"),
          std::pair(Permission::kInvoke, "invoke"), std::pair(Permission::kDeploy, "deploy"),
          std::pair(Permission::kAdmin, "admin")}) {
      if (!allows(role, permission)) continue;
      found += (first ? "" : ",") + std::string(name);
      first = false;
    }
  }
  EXPECT_EQ(found, kAllowed);
  for (const Permission permission : {Permission::kRead, Permission::kInvoke, Permission::kDeploy, Permission::kAdmin})
    EXPECT_TRUE(allows(role_for(permission), permission));
  EXPECT_FALSE(role_named("root"));
}

TEST(AccessKey, OnlyTheExactFormIsAKey) {
  const std::string secret(64, 'a');
  EXPECT_EQ(key_id_of("ebb_0123456789ab_" + secret), "0123456789ab");
  const std::string wrong[] = {"",
                               "ebb_",
                               "ebb_0123456789ab_" + secret + "a",
                               "ebb_0123456789ab_" + secret.substr(1),
                               "ebb_0123456789ab_" + std::string(64, 'A'),
                               "ebb_0123456789aB_" + secret,
                               "ebb-0123456789ab_" + secret,
                               "ebb_0123456789ab-" + secret};
  for (const std::string& text : wrong) EXPECT_FALSE(key_id_of(text)) << text;
}

TEST(AccessKey, AdminIsNeverOneAppsAndLabelsArePlain) {
  EXPECT_TRUE(check_key({.role = Role::kAdmin, .label = "me"}));
  EXPECT_TRUE(check_key({.role = Role::kAdmin, .organisation = "acme"}));
  EXPECT_TRUE(check_key({.role = Role::kRead, .app = "vision"}));
  EXPECT_FALSE(check_key({.role = Role::kAdmin, .app = "vision"}));
  EXPECT_FALSE(check_key({.role = Role::kRead, .app = "vision", .organisation = "acme"}));
  EXPECT_FALSE(check_key({.role = Role::kRead, .app = "../x"}));
  EXPECT_FALSE(check_key({.role = Role::kRead, .organisation = "../x"}));
  EXPECT_FALSE(check_key({.role = Role::kRead, .label = "two\nlines"}));
  EXPECT_FALSE(check_key({.role = Role::kRead, .label = std::string(65, 'x')}));
}

TEST(LocalNode, OnlyLoopbackAddressesAreLocal) {
  EXPECT_EQ(loopback_port("http://127.0.0.1:8080"), 8080);
  EXPECT_EQ(loopback_port("https://localhost:8443/x"), 8443);
  EXPECT_EQ(loopback_port("http://[::1]:9"), 9);
  EXPECT_EQ(loopback_port("http://127.0.0.1"), 80);
  EXPECT_EQ(loopback_port("https://[::1]"), 443);
  for (const char* text :
       {"http://127.0.0.1.evil.example:80", "http://evil.example:8080", "http://127.0.0.1@evil.example",
        "http://127.0.0.1:8080@evil.example", "ftp://127.0.0.1", "http://127.0.0.1:x", "127.0.0.1:8080"})
    EXPECT_FALSE(loopback_port(text)) << text;
}

}  // namespace
}  // namespace ebb::model
