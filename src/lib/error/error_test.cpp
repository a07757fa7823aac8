#include "lib/error/error.h"

#include <cerrno>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lib/error/teardown.h"

namespace kata {
namespace {

TEST(ErrorTest, ErrnoBecomesTheCodeThatContainerdUnderstands) {
  struct Row {
    int number;
    Code code;
  };
  const Row rows[] = {{ENOENT, Code::kNotFound},
                      {ESRCH, Code::kNotFound},
                      {EEXIST, Code::kAlreadyExists},
                      {EACCES, Code::kPermissionDenied},
                      {EINVAL, Code::kInvalidArgument},
                      {ENOSPC, Code::kResourceExhausted},
                      {EBUSY, Code::kFailedPrecondition},
                      {ENOSYS, Code::kUnimplemented},
                      {ECONNRESET, Code::kUnavailable},
                      {EIO, Code::kInternal},
                      {0, Code::kOk}};
  for (const Row& row : rows) EXPECT_EQ(errno_code(row.number), row.code) << row.number;
}

TEST(ErrorTest, ContextGoesInFrontAndKeepsCodeAndErrno) {
  const Error inner = Error::from_errno(ENOENT, "opening /x");
  const Error outer = inner.within("starting VM sb1");
  EXPECT_EQ(outer.message(), "starting VM sb1: opening /x: No such file or directory");
  EXPECT_EQ(outer.code(), Code::kNotFound);
  EXPECT_EQ(outer.errno_value(), ENOENT);
  EXPECT_EQ(outer.as(Code::kInternal).errno_value(), ENOENT);
}

TEST(ErrorTest, WithContextPassesTheResultAndDecoratesAnyException) {
  EXPECT_EQ(with_context("x", [] { return 7; }), 7);
  try {
    with_context("outer", []() -> int { throw std::runtime_error("inner"); });
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.message(), "outer: inner");
    EXPECT_EQ(error.code(), Code::kInternal);
  }
}

TEST(ErrorTest, CodeNames) {
  EXPECT_EQ(code_name(Code::kFailedPrecondition), "FAILED_PRECONDITION");
  EXPECT_EQ(code_name(static_cast<Code>(99)), "CODE_99");
  EXPECT_EQ(code_name(static_cast<Code>(-1)), "CODE_-1");
}

TEST(TeardownTest, EveryStepRunsAndFailuresAreNamed) {
  std::vector<std::string> ran;
  std::vector<std::string> warnings;
  Teardown teardown("sandbox s1", [&](std::string_view text) { warnings.emplace_back(text); });
  EXPECT_TRUE(teardown.step("first", [&] { ran.emplace_back("first"); }));
  EXPECT_FALSE(teardown.step("second", [&] { throw Error(Code::kInternal, "busy"); }));
  EXPECT_FALSE(teardown.step("third", [&] { throw 3; }));
  EXPECT_TRUE(teardown.step("last", [&] { ran.emplace_back("last"); }));
  EXPECT_THAT(ran, testing::ElementsAre("first", "last"));
  EXPECT_THAT(warnings, testing::ElementsAre("sandbox s1: second: busy",
                                             "sandbox s1: third: exception of an unknown type"));
  EXPECT_EQ(teardown.failures(), warnings);
}

}  // namespace
}  // namespace kata
