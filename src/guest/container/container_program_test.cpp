// Programs that are not there, and how their absence is said.
#include <filesystem>

#include "guest/container/testing/box.h"

namespace kata::container {
namespace {

class ProgramTest : public BoxTest {};

TEST_F(ProgramTest, MessagesAndCodes) {
  write("/bin/plain", "text", 0644);
  write("/bin/format",
        "\x7f"
        "ELF nonsense",
        0755);
  const struct {
    std::vector<std::string> args;
    const char* message;
    Code code;
  } rows[] = {
      {{"foo"}, "exec: \"foo\": executable file not found in $PATH", Code::kNotFound},
      {{"plain"}, "exec: \"plain\": executable file not found in $PATH", Code::kNotFound},
      {{""}, "exec: \"\": executable file not found in $PATH", Code::kNotFound},
      {{"/x"}, "exec: \"/x\": stat /x: no such file or directory", Code::kNotFound},
      {{"/bin/plain"}, "exec: \"/bin/plain\": permission denied", Code::kPermissionDenied},
      {{"./bin/plain"}, "exec: \"./bin/plain\": permission denied", Code::kPermissionDenied},
      {{"/tmp"}, "exec: \"/tmp\": is a directory", Code::kInvalidArgument},
      {{"/bin/sh/x"}, "exec: \"/bin/sh/x\": stat /bin/sh/x: not a directory", Code::kInvalidArgument},
      {{}, "process.args is empty", Code::kInvalidArgument},
  };
  for (const auto& row : rows) {
    Code code{};
    const std::string message = create_error(spec(row.args), &code);
    EXPECT_NE(message.find(row.message), std::string::npos) << message;
    EXPECT_EQ(code, row.code) << message;
  }
}

TEST_F(ProgramTest, ForeignFormatFailsAtStart) {
  write("/bin/format", "nonsense", 0755);
  try {
    run_container(spec({"/bin/format"}));
    ADD_FAILURE();
  } catch (const Error& error) {
    EXPECT_NE(error.message().find("exec /bin/format: exec format error"), std::string::npos)
        << error.message();
  }
}

TEST_F(ProgramTest, ForbiddenForTheUser) {
  write("/bin/secret", "#!/bin/sh\necho hi\n", 0700);
  auto launch = spec({"secret"});
  launch.spec.process->user.uid = 1000;
  launch.spec.process->capabilities.emplace();
  Code code{};
  EXPECT_NE(create_error(launch, &code).find("executable file not found"), std::string::npos);
  EXPECT_EQ(code, Code::kNotFound);
}

TEST_F(ProgramTest, ScriptsAndPathOrder) {
  write("/bin/greet", "#!/bin/sh\necho greet $1\n", 0755);
  EXPECT_EQ(run_container(spec({"greet", "you"})).out, "greet you\n");
  std::filesystem::create_directories(rootfs() + "/usr/bin");
  write("/usr/bin/greet", "#!/bin/sh\necho first\n", 0755);
  EXPECT_EQ(run_container(spec({"greet"})).out, "first\n");
}

TEST_F(ProgramTest, NoPathMeansNotFound) {
  auto launch = spec({"true"});
  launch.spec.process->env = {};
  EXPECT_NE(create_error(launch).find("executable file not found in $PATH"), std::string::npos);
}

TEST_F(ProgramTest, EnvironmentAndHome) {
  auto launch = shell("echo $A-$HOME");
  launch.spec.process->env.emplace_back("A=one two");
  EXPECT_EQ(run_container(launch).out, "one two-/root\n");
  launch.spec.process->env.emplace_back("HOME=/elsewhere");
  EXPECT_EQ(run_container(launch).out, "one two-/elsewhere\n");
  launch.spec.process->env.pop_back();
  launch.spec.process->user.uid = 4242;
  EXPECT_EQ(run_container(launch).out, "one two-/\n");
}

TEST_F(ProgramTest, GiantEnvironmentPasses) {
  auto launch = shell("echo ${#BIG}");
  launch.spec.process->env.push_back("BIG=" + std::string(100000, 'x'));
  for (int i = 0; i < 2000; ++i)
    launch.spec.process->env.push_back("V" + std::to_string(i) + "=" + std::string(200, 'y'));
  EXPECT_EQ(run_container(launch).out, "100000\n");
}

}  // namespace
}  // namespace kata::container
