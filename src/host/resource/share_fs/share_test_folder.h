// For tests that mount: a folder in a mount namespace of the test's own.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <string>

#include <gtest/gtest.h>
#include <unistd.h>

#include "host/resource/share_fs/share_tree.h"
#include "lib/error/error.h"

namespace kata::share_fs {

class ShareTest : public testing::Test {
 protected:
  void SetUp() override {
    static const std::string problem = enter();
    if (!problem.empty()) GTEST_SKIP() << problem;
    std::string pattern = testing::TempDir() + "share-XXXXXX";
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
  }
  void TearDown() override {
    // Does not cross into mounts that a failed test left: those make it fail and stay for a look.
    std::error_code ignored;
    if (!folder_.empty() && !::testing::Test::HasFailure()) std::filesystem::remove_all(folder_, ignored);
  }

  std::string folder_;

 private:
  static std::string enter() {
    if (::geteuid() != 0) return "needs root for mounts";
    try {
      enter_private_mount_namespace();
    } catch (const Error& error) {
      return error.message();
    }
    return {};
  }
};

}  // namespace kata::share_fs
