// Goal: an image's name becomes an argument of skopeo only in the forms there are, and what a version keeps of an image
// comes back from its JSON. Method: tables of names; a round trip.
#include "model/image.h"

#include <gtest/gtest.h>

#include <boost/json.hpp>

namespace ebb::model {
namespace {

TEST(ImageReference, HasFourForms) {
  const auto name = [](const char* text) { return skopeo_name(*parse_image_reference(text), "/ebb/source"); };
  EXPECT_EQ(name("team/tool:1.2"), "docker://team/tool:1.2");
  EXPECT_EQ(name("docker://127.0.0.1:5000/tool@sha256:ab"), "docker://127.0.0.1:5000/tool@sha256:ab");
  EXPECT_EQ(name("127.0.0.1:5000/tool:1.2@sha256:ab"), "docker://127.0.0.1:5000/tool@sha256:ab");
  EXPECT_EQ(name("oci:images/tool:v1"), "oci:/ebb/source/images/tool:v1");
  EXPECT_EQ(name("oci:tool"), "oci:/ebb/source/tool");
  EXPECT_EQ(name("oci-archive:tool.tar"), "oci-archive:/ebb/source/tool.tar");
  EXPECT_EQ(name("docker-archive:tool.tar:shop/tool:1"), "docker-archive:/ebb/source/tool.tar:shop/tool:1");
}

TEST(ImageReference, RefusesWhatIsNoName) {
  for (const char* text :
       {"", "-x", "docker://", "docker://-x", "a b", "a;b", "a\nb", "a'b", "/a", "a//b", "oci:", "oci:/etc/image",
        "oci:../image", "oci:a/../../b", "oci:-a", "oci:a:", "oci:a:b c", "oci:a'b"}) {
    const auto parsed = parse_image_reference(text);
    EXPECT_FALSE(parsed) << text;
  }
}

TEST(ImageReference, KnowsItsRegistry) {
  const auto registry = [](const char* text) { return registry_of(*parse_image_reference(text)); };
  EXPECT_EQ(registry("busybox"), "docker.io");
  EXPECT_EQ(registry("library/busybox:1"), "docker.io");
  EXPECT_EQ(registry("localhost/a"), "localhost");
  EXPECT_EQ(registry("127.0.0.1:5000/a/b:1"), "127.0.0.1:5000");
  EXPECT_EQ(registry("[::1]:5000/a"), "[::1]:5000");
  EXPECT_EQ(without_tag("127.0.0.1:5000/a/b:1"), "127.0.0.1:5000/a/b");
  EXPECT_EQ(without_tag("a/b@sha256:00"), "a/b");
  EXPECT_EQ(without_tag("busybox:1"), "busybox");
}

TEST(Image, ComesBackFromItsJson) {
  const Image image{.reference = "a/b:1",
                    .digest = "sha256:" + std::string(64, 'a'),
                    .layers = {std::string(64, 'b'), std::string(64, 'c')},
                    .command = {"/run", "two words"},
                    .env = {{"A", "b=c"}},
                    .directory = "/app"};
  const auto back = image_from_json(to_json(image));
  ASSERT_TRUE(back);
  EXPECT_EQ(*back, image);
  EXPECT_FALSE(image_violation(image));
  Image bad = image;
  bad.layers.push_back("../x");
  EXPECT_TRUE(image_violation(bad));
  EXPECT_FALSE(image_from_json(boost::json::object{{"layers", "x"}}));
  EXPECT_FALSE(image_from_json(boost::json::object{{"env", boost::json::array()}}));
}

}  // namespace
}  // namespace ebb::model
