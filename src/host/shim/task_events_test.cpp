#include "host/shim/task_events.h"

#include <filesystem>

#include <gtest/gtest.h>

#include "containerd/events.pb.h"

namespace kata::shim {
namespace {

class Recorder : public EventOutput {
 public:
  void publish(Event event) override {
    std::string line = event.topic.substr(7);
    if (event.topic == "/tasks/exit") {
      containerd::events::TaskExit exit;
      EXPECT_TRUE(exit.ParseFromString(event.message));
      line += " " + exit.id() + " " + std::to_string(exit.exit_status());
    }
    lines.push_back(line);
  }
  std::vector<std::string> lines;
};

using Lines = std::vector<std::string>;

class TaskEventsTest : public testing::Test {
 protected:
  void create(const std::string& bundle = "/b") {
    containerd::task::v3::CreateTaskRequest request;
    request.set_id("c");
    request.set_bundle(bundle);
    events_.created(request, 1);
  }
  void exit(const std::string& exec_id, uint32_t status) { events_.on_exit("c", exec_id, 1, {status, {}}); }

  std::shared_ptr<Recorder> recorder_ = std::make_shared<Recorder>();
  TaskEvents events_{recorder_, Manager::kContainerd};
};

TEST_F(TaskEventsTest, AnExitDuringTheStartFollowsIt) {
  create();
  events_.starting("c", "");
  exit("", 3);
  EXPECT_EQ(recorder_->lines, (Lines{"create"}));
  events_.started("c", "", 1);
  EXPECT_EQ(recorder_->lines, (Lines{"create", "start", "exit c 3"}));
}

TEST_F(TaskEventsTest, TheFirstProcessExitsAfterAnExecThatIsStarting) {
  create();
  events_.starting("c", "");
  events_.started("c", "", 1);
  events_.exec_added("c", "e");
  events_.exec_added("c", "f");
  events_.starting("c", "e");
  events_.starting("c", "f");
  exit("e", 137);
  exit("f", 137);
  exit("", 0);
  events_.started("c", "f", 1);
  events_.started("c", "e", 1);
  EXPECT_EQ(recorder_->lines, (Lines{"create", "start", "exec-added", "exec-added", "exec-started",
                                     "exit f 137", "exec-started", "exit e 137", "exit c 0"}));
}

TEST_F(TaskEventsTest, AFailedExecDoesNotHoldTheExit) {
  create();
  events_.starting("c", "e");
  exit("", 1);
  events_.start_failed("c", "e");
  EXPECT_EQ(recorder_->lines, (Lines{"create", "exit c 1"}));
  events_.start_failed("other", "e");
}

TEST_F(TaskEventsTest, OomKillsAreCountedUntilTheDelete) {
  create();
  events_.on_oom("c");
  events_.on_oom("c");
  EXPECT_EQ(events_.oom_kills("c"), 2U);
  events_.deleted("c", 1, {});
  EXPECT_EQ(events_.oom_kills("c"), 0U);
  EXPECT_EQ(recorder_->lines, (Lines{"create", "oom", "oom", "delete"}));
}

TEST_F(TaskEventsTest, CrioFindsItsOomFile) {
  char name[] = "/tmp/kata-oom-XXXXXX";
  const std::string bundle = ::mkdtemp(name);
  events_.on_oom("c");
  TaskEvents crio(recorder_, Manager::kCrio);
  containerd::task::v3::CreateTaskRequest request;
  request.set_id("c");
  request.set_bundle(bundle);
  crio.created(request, 1);
  EXPECT_FALSE(std::filesystem::exists(bundle + "/oom"));
  crio.on_oom("c");
  EXPECT_TRUE(std::filesystem::exists(bundle + "/oom"));
  std::filesystem::remove_all(bundle);
  // The bundle may be gone already.
  crio.on_oom("c");
}

}  // namespace
}  // namespace kata::shim
