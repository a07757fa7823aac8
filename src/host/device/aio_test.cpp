#include "host/device/aio.h"

#include <gtest/gtest.h>

namespace kata::device {
namespace {

TEST(Aio, FallbacksSayWhy) {
  struct Row {
    const char* wanted;
    bool direct;
    const char* problem;
    const char* chosen;
    bool warned;
  };
  for (const Row& row :
       {Row{"io_uring", false, "", "io_uring", false},
        Row{"io_uring", true, "Operation not permitted", "threads", true},
        Row{"native", true, "not asked", "native", false}, Row{"native", false, "not asked", "threads", true},
        Row{"threads", false, "not asked", "threads", false}}) {
    const AioChoice choice = choose_aio(row.wanted, row.direct, [&] { return std::string(row.problem); });
    EXPECT_EQ(choice.aio, row.chosen) << row.wanted << row.direct;
    EXPECT_EQ(!choice.warning.empty(), row.warned) << row.wanted << row.direct;
  }
}

TEST(Aio, TheKernelCanBeAsked) {
  EXPECT_LT(io_uring_problem().size(), 200U);
}

}  // namespace
}  // namespace kata::device
