// Hooks: who runs them, where, when, and what becomes of their failure.
#include <filesystem>
#include <fstream>
#include <sstream>
#include <sys/stat.h>

#include "guest/container/testing/box.h"

namespace fs = std::filesystem;

namespace kata::container {
namespace {

class HooksTest : public BoxTest {
 protected:
  // A hook that appends a line to a log: its kind and the status it reads.
  oci::Hook hook(const std::string& text, int64_t timeout = 0) const {
    return {.path = "/bin/busybox",
            .args = {"sh", "-c", text},
            .env = {"PATH=/bin", "LOG=" + log()},
            .timeout = timeout};
  }
  [[nodiscard]] oci::Hook logging(const std::string& kind) const {
    return hook("read -r state; echo " + kind +
                " $(echo \"$state\" | grep -o '\"status\":\"[a-z]*\"') >> $LOG");
  }
  [[nodiscard]] std::string log() const { return folder() + "/log"; }
  [[nodiscard]] std::string logged() const {
    std::ostringstream text;
    text << std::ifstream(log()).rdbuf();
    return text.str();
  }
};

TEST_F(HooksTest, AllKindsInOrder) {
  auto launch = shell("echo program");
  launch.spec.annotations = {{"key", "a \"quoted\"\nvalue"}};
  // The log is to be reached from inside too.
  fs::create_directories(rootfs() + folder());
  std::ofstream(log()).flush();
  launch.spec.mounts.push_back({.destination = log(),
                                .source = log(),
                                .type = "bind",
                                .options = {"bind"},
                                .uid_mappings = {},
                                .gid_mappings = {}});
  launch.spec.hooks.prestart = {logging("prestart")};
  launch.spec.hooks.create_runtime = {logging("createRuntime")};
  launch.spec.hooks.create_container = {logging("createContainer")};
  launch.spec.hooks.start_container = {logging("startContainer")};
  launch.spec.hooks.poststart = {logging("poststart")};
  launch.spec.hooks.poststop = {logging("poststop")};
  EXPECT_EQ(run_container(launch).out, "program\n");
  EXPECT_EQ(logged(),
            "prestart \"status\":\"creating\"\ncreateRuntime \"status\":\"creating\"\ncreateContainer "
            "\"status\":\"creating\"\n"
            "startContainer \"status\":\"created\"\npoststart \"status\":\"running\"\npoststop "
            "\"status\":\"stopped\"\n");
}

TEST_F(HooksTest, FailureOfAnEarlyHookEndsTheContainer) {
  for (const char* kind : {"prestart", "createRuntime", "createContainer"}) {
    auto launch = shell("true");
    auto& list = kind == std::string("prestart")        ? launch.spec.hooks.prestart
                 : kind == std::string("createRuntime") ? launch.spec.hooks.create_runtime
                                                        : launch.spec.hooks.create_container;
    list = {hook("echo because; exit 3")};
    const std::string message = create_error(launch);
    EXPECT_NE(message.find(std::string("running ") + kind + " hook #0 /bin/busybox"), std::string::npos)
        << message;
    EXPECT_NE(message.find("exit status 3, output: because"), std::string::npos) << message;
  }
}

TEST_F(HooksTest, TimeLimit) {
  auto launch = shell("true");
  launch.spec.hooks.prestart = {hook("sleep 1000", 1)};
  Code code{};
  EXPECT_NE(create_error(launch, &code).find("not done within 1 s"), std::string::npos);
  EXPECT_EQ(code, Code::kDeadlineExceeded);
}

TEST_F(HooksTest, MissingHook) {
  auto launch = shell("true");
  launch.spec.hooks.create_runtime = {{.path = "/no/such/hook", .args = {}, .env = {}, .timeout = 0}};
  EXPECT_NE(create_error(launch).find("no such file or directory"), std::string::npos);
}

TEST_F(HooksTest, LateHooksOnlyWarn) {
  auto launch = shell("echo program");
  launch.spec.hooks.poststart = {hook("exit 1")};
  launch.spec.hooks.poststop = {hook("exit 1")};
  EXPECT_EQ(run_container(launch).out, "program\n");
}

TEST_F(HooksTest, FailureBeforeTheStartFailsIt) {
  auto launch = shell("echo program");
  launch.spec.hooks.start_container = {
      {.path = "/bin/sh", .args = {"sh", "-c", "exit 5"}, .env = {}, .timeout = 0}};
  try {
    run_container(launch);
    ADD_FAILURE();
  } catch (const Error& error) {
    EXPECT_NE(error.message().find("startContainer hook #0 /bin/sh: exit status 5"), std::string::npos)
        << error.message();
  }
}

}  // namespace
}  // namespace kata::container
