// Life of containers: streams, exit codes, signals, what is left.
#include <csignal>
#include <filesystem>

#include "guest/container/testing/box.h"
#include "lib/error/error.h"

namespace kata::container {
namespace {

class LifeTest : public BoxTest {};

TEST_F(LifeTest, EchoThroughPipes) {
  const Output output = run_container(shell("echo hello; echo oops >&2"));
  EXPECT_EQ(output.code, 0);
  EXPECT_EQ(output.out, "hello\n");
  EXPECT_EQ(output.err, "oops\n");
}

}  // namespace
}  // namespace kata::container
