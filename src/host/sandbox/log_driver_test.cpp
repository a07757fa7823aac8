#include "host/sandbox/log_driver.h"

#include <filesystem>
#include <string>
#include <sys/stat.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/use_future.hpp>

#include "lib/error/error.h"
#include "lib/fd/io.h"

namespace kata::sandbox {
namespace {

TEST(LogDriverUriTest, ProgramAndArguments) {
  struct Row {
    std::string uri;
    std::vector<std::string> argv;
  };
  const Row rows[] = {
      {"binary:///bin/log", {"/bin/log"}},
      {"binary-v2:///bin/log?", {"/bin/log"}},
      {"binary:///bin/log?file=%2Ftmp%2Fx&flag&a+b=c", {"/bin/log", "file", "/tmp/x", "flag", "a b", "c"}},
      {"binary:///bin/a%20b?k=&&x=%zz", {"/bin/a b", "k", "x", "%zz"}},
  };
  for (const Row& row : rows) EXPECT_EQ(parse_log_driver(row.uri).argv, row.argv) << row.uri;
  for (const char* bad : {"binary://", "binary://relative", "binary-v2://?x=1"})
    EXPECT_THROW(parse_log_driver(bad), Error) << bad;
  EXPECT_TRUE(is_log_driver("binary-v2:///x"));
  EXPECT_FALSE(is_log_driver("file:///x"));
}

class LogDriverTest : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/kata-log-XXXXXX";
    ASSERT_NE(::mkdtemp(name), nullptr);
    dir_ = name;
  }
  void TearDown() override { std::filesystem::remove_all(dir_); }

  std::string script(const std::string& body) {
    write_file(dir_ + "/driver", "#!/bin/sh\n" + body, 0755);
    return dir_ + "/driver";
  }

  template <typename T>
  T run(Awaitable<T> task) {
    auto future = asio::co_spawn(context_, std::move(task), asio::use_future);
    context_.restart();
    context_.run();
    return future.get();
  }

  asio::io_context context_;
  std::string dir_;
};

TEST_F(LogDriverTest, BothStreamsArriveApart) {
  const std::string program = script("echo ok >&5; exec 5>&-; cat <&3 >" + dir_ + "/out; cat <&4 >" + dir_ +
                                     "/err; echo $CONTAINER_ID $CONTAINER_NAMESPACE $1 >" + dir_ + "/id\n");
  auto body = [&]() -> Awaitable<> {
    const auto driver = co_await LogDriver::start("binary-v2://" + program + "?arg", "c1", "ns1");
    auto out = driver->take_stdout();
    auto err = driver->take_stderr();
    co_await out->write_some("to stdout");
    co_await err->write_some("to stderr");
    out.reset();
    err.reset();
    co_await driver->finish();
  };
  run(body());
  EXPECT_EQ(read_file(dir_ + "/out"), "to stdout");
  EXPECT_EQ(read_file(dir_ + "/err"), "to stderr");
  EXPECT_EQ(read_file(dir_ + "/id"), "c1 ns1 arg\n");
}

TEST_F(LogDriverTest, ADriverThatDiesIsAnErrorInVersionTwoOnly) {
  const std::string program = script("exit 3\n");
  EXPECT_THROW(run(LogDriver::start("binary-v2://" + program, "c1", "ns")), Error);
  const auto driver = run(LogDriver::start("binary://" + program, "c1", "ns"));
  run(driver->finish());
  EXPECT_THROW(run(LogDriver::start("binary:///no/such/program", "c1", "ns")), Error);
}

}  // namespace
}  // namespace kata::sandbox
