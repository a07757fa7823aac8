#include "lib/text/base64url.h"

#include <gtest/gtest.h>

namespace kata {
namespace {

TEST(Base64Url, KnownTexts) {
  EXPECT_EQ(base64url(""), "");
  EXPECT_EQ(base64url("f"), "Zg==");
  EXPECT_EQ(base64url("fo"), "Zm8=");
  EXPECT_EQ(base64url("foo"), "Zm9v");
  EXPECT_EQ(base64url("foobar"), "Zm9vYmFy");
  EXPECT_EQ(base64url("\xFB\xFF\xFE"), "-__-");
}

}  // namespace
}  // namespace kata
