#include "host/sandbox/state_file.h"

#include <filesystem>
#include <string>
#include <sys/wait.h>

#include <gtest/gtest.h>
#include <unistd.h>

#include "host/sandbox/run_dir.h"
#include "lib/error/error.h"
#include "lib/fd/io.h"

namespace kata::sandbox {
namespace {

class StateFileTest : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/kata-state-XXXXXX";
    ASSERT_NE(::mkdtemp(name), nullptr);
    dir_ = name;
  }
  void TearDown() override { std::filesystem::remove_all(dir_); }
  std::string dir_;
};

TEST_F(StateFileTest, RoundTripAndWhatDoesNotParse) {
  const std::string path = dir_ + "/state.json";
  EXPECT_FALSE(load_state(path));
  SandboxState state{.sandbox_id = "s1",
                     .containerd_namespace = "default",
                     .processes = {{"vmm", 42, 1234567890123}},
                     .cgroups = {"/c/a", "/c/a/b"},
                     .hooked = {{.id = "c1", .bundle = "/b 1"}}};
  save_state(path, state);
  const auto loaded = load_state(path);
  ASSERT_TRUE(loaded);
  EXPECT_EQ(loaded->sandbox_id, "s1");
  EXPECT_EQ(loaded->cgroups, state.cgroups);
  ASSERT_EQ(loaded->hooked.size(), 1U);
  EXPECT_EQ(loaded->hooked[0].id + loaded->hooked[0].bundle, "c1/b 1");
  ASSERT_EQ(loaded->processes.size(), 1U);
  EXPECT_EQ(loaded->processes[0].pid, 42);
  EXPECT_EQ(loaded->processes[0].start_time, 1234567890123U);
  for (const char* bad : {"", "{", "[]", "{\"version\":2}", "{\"version\":1,\"sandbox_id\":3}"}) {
    write_file(path, bad);
    EXPECT_FALSE(load_state(path)) << bad;
  }
}

TEST_F(StateFileTest, OnlyTheRecordedProcessIsKilled) {
  const pid_t child = ::fork();
  if (child == 0) {
    ::pause();
    ::_exit(0);
  }
  auto process = record_process("vmm", child);
  ASSERT_TRUE(process);
  RecordedProcess other = *process;
  other.start_time += 1;
  EXPECT_FALSE(kill_recorded(other));
  EXPECT_EQ(::kill(child, 0), 0);
  EXPECT_TRUE(kill_recorded(*process));
  int status = 0;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFSIGNALED(status));
  EXPECT_FALSE(kill_recorded(*process));
  EXPECT_FALSE(kill_recorded({"x", 1, 0}));
  EXPECT_FALSE(kill_recorded({"x", 0, 0}));
}

TEST_F(StateFileTest, RunDirIsMadeOnceAndRemovedTwice) {
  const RunDir run_dir("s1", dir_ + "/kata");
  run_dir.create();
  try {
    run_dir.create();
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Code::kAlreadyExists);
  }
  write_file(run_dir.state_file(), "x");
  run_dir.remove();
  run_dir.remove();
  EXPECT_FALSE(std::filesystem::exists(run_dir.path()));
}

TEST(IdTest, OnlyWhatIsSafeInAPath) {
  struct Row {
    std::string id;
    bool valid;
  };
  const Row rows[] = {{"a", true},
                      {"c1.x-y_z", true},
                      {"", false},
                      {".x", false},
                      {"..", false},
                      {"a/b", false},
                      {"-a", false},
                      {std::string(128, 'a'), true},
                      {std::string(129, 'a'), false},
                      {std::string("a\0b", 3), false},
                      {"\xc3\xa4", false}};
  for (const Row& row : rows) EXPECT_EQ(valid_id(row.id), row.valid) << row.id;
}

}  // namespace
}  // namespace kata::sandbox
