#include "host/device/disk_manager.h"

#include <filesystem>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/use_future.hpp>

#include "host/vmm/fake_disk_plug.h"
#include "lib/error/error.h"
#include "lib/fd/io.h"

namespace kata::device {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class DiskManagerTest : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/kata-disks-XXXXXX";
    ASSERT_NE(::mkdtemp(name), nullptr);
    dir_ = name;
  }
  void TearDown() override { std::filesystem::remove_all(dir_); }

  std::string file(int number) const {
    const std::string path = dir_ + "/disk" + std::to_string(number);
    if (!std::filesystem::exists(path)) write_file(path, std::string(512, 'x'));
    return path;
  }
  DiskManager make(uint32_t ports, const std::string& driver = "virtio-blk-pci") {
    return {context_.get_executor(), {.driver = driver, .refusal = {}, .ports = ports}};
  }
  template <typename T>
  T run(Awaitable<T> task) {
    auto future = asio::co_spawn(context_, std::move(task), asio::use_future);
    context_.restart();
    context_.run();
    return future.get();
  }
  template <typename Body>
  Error failure(Body body) {
    try {
      body();
    } catch (const Error& error) {
      return error;
    }
    return {Code::kOk, ""};
  }
  static std::string text(const GuestAddress& address) { return address.driver + " " + address.source; }

  std::string dir_;
  asio::io_context context_;
  vmm::FakeDiskPlug plug_;
};

TEST_F(DiskManagerTest, DisksOfTheStartHaveKnownPlaces) {
  DiskManager manager = make(2);
  const std::string first = manager.claim(file(1), Access::kReadWrite);
  const std::string second = manager.claim(file(2), Access::kReadOnly);
  vmm::VmSpec spec;
  manager.plan_start(spec);
  ASSERT_EQ(spec.disks.size(), 2U);
  EXPECT_EQ(spec.ports.size(), 2U);
  EXPECT_EQ(spec.disks[0].id, "drive-0");
  EXPECT_FALSE(spec.disks[0].readonly);
  EXPECT_TRUE(spec.disks[1].readonly);
  EXPECT_GE(spec.disks[1].files.at(0), 0);
  manager.vm_started(&plug_);
  EXPECT_EQ(text(run(manager.plug(first))), "blk 10");
  EXPECT_EQ(text(run(manager.plug(second))), "blk 11");
  // What the VM was started with stays in it.
  run(manager.release(first));
  EXPECT_THAT(plug_.calls(), IsEmpty());
  EXPECT_EQ(manager.size(), 2U);
}

TEST_F(DiskManagerTest, ARunningVmGetsAndLosesDisks) {
  DiskManager manager = make(3);
  vmm::VmSpec spec;
  manager.plan_start(spec);
  manager.vm_started(&plug_);
  const std::string id = manager.claim(file(1), Access::kReadWrite);
  EXPECT_EQ(text(run(manager.plug(id))), "blk 1d/00");
  EXPECT_EQ(text(run(manager.plug(id))), "blk 1d/00") << "again changes nothing";
  EXPECT_EQ(plug_.disks().at(id).iothread, 0U);
  run(manager.release(id));
  run(manager.release(id));
  EXPECT_THAT(plug_.calls(), ElementsAre("add drive-0", "remove drive-0"));
  EXPECT_EQ(manager.size(), 0U);
  const std::string again = manager.claim(file(1), Access::kReadWrite);
  EXPECT_EQ(text(run(manager.plug(again))), "blk 1d/00") << "its place was given back";
  EXPECT_EQ(plug_.disks().at(again).iothread, 1U);
}

TEST_F(DiskManagerTest, OneDiskHasManyUsers) {
  DiskManager manager = make(2);
  vmm::VmSpec spec;
  manager.plan_start(spec);
  manager.vm_started(&plug_);
  const std::string id = manager.claim(file(1), Access::kReadOnly);
  std::filesystem::create_symlink(file(1), dir_ + "/link");
  EXPECT_EQ(manager.claim(dir_ + "/link", Access::kReadOnly), id) << "another name of the same disk";
  const Error error = failure([&] { manager.claim(file(1), Access::kReadWrite); });
  EXPECT_EQ(error.code(), Code::kFailedPrecondition);
  EXPECT_THAT(error.message(), HasSubstr("attached read-only"));
  run(manager.plug(id));
  run(manager.release(id));
  EXPECT_EQ(plug_.disks().size(), 1U);
  run(manager.release(id));
  EXPECT_EQ(plug_.disks().size(), 0U);
}

TEST_F(DiskManagerTest, BeyondThePortsThereIsAController) {
  DiskManager manager = make(2);
  vmm::VmSpec spec;
  manager.plan_start(spec);
  manager.vm_started(&plug_);
  std::vector<std::string> addresses;
  for (int i = 0; i < 4; ++i)
    addresses.push_back(text(run(manager.plug(manager.claim(file(i), Access::kReadOnly)))));
  EXPECT_THAT(addresses, ElementsAre("blk 1d/00", "scsi 0:0", "scsi 1:0", "scsi 2:0"));
  EXPECT_THAT(plug_.calls(),
              ElementsAre("add drive-0", "controller scsi0", "add drive-1", "add drive-2", "add drive-3"));
}

TEST_F(DiskManagerTest, BeyondTheRootBusThereIsAController) {
  DiskManager manager = make(0);
  for (int i = 0; i < 20; ++i) manager.claim(file(i), Access::kReadOnly);
  vmm::VmSpec spec;
  manager.plan_start(spec);
  manager.vm_started(nullptr);
  ASSERT_EQ(spec.scsi_controllers.size(), 1U);
  EXPECT_EQ(spec.scsi_controllers[0].place.slot, 0x1a);
  EXPECT_EQ(spec.disks.size(), 20U);
  const Error error = failure([&] { run(manager.plug(manager.claim(file(50), Access::kReadOnly))); });
  EXPECT_EQ(error.code(), Code::kFailedPrecondition) << error.message();
}

TEST_F(DiskManagerTest, ScsiDriver) {
  DiskManager manager = make(1, "virtio-scsi");
  const std::string id = manager.claim(file(1), Access::kReadOnly);
  vmm::VmSpec spec;
  manager.plan_start(spec);
  manager.vm_started(&plug_);
  EXPECT_EQ(spec.scsi_controllers.size(), 1U);
  EXPECT_EQ(text(run(manager.plug(id))), "scsi 0:0");
  EXPECT_EQ(text(run(manager.plug(manager.claim(file(2), Access::kReadOnly)))), "scsi 1:0");
  EXPECT_THAT(plug_.calls(), ElementsAre("add drive-1")) << "the controller is there already";
}

TEST_F(DiskManagerTest, AFailedPlugLeavesTheDiskAsItWas) {
  DiskManager manager = make(2);
  vmm::VmSpec spec;
  manager.plan_start(spec);
  manager.vm_started(&plug_);
  const std::string id = manager.claim(file(1), Access::kReadWrite);
  plug_.fail_next("add", Error(Code::kInternal, "no"));
  const Error error = failure([&] { run(manager.plug(id)); });
  EXPECT_THAT(error.message(), HasSubstr(file(1)));
  EXPECT_EQ(text(run(manager.plug(id))), "blk 1d/00");
  // The guest keeps it: still plugged and known, so that nobody attaches it a second time.
  plug_.fail_next("remove", Error(Code::kDeadlineExceeded, "busy"));
  EXPECT_EQ(failure([&] { run(manager.release(id)); }).code(), Code::kDeadlineExceeded);
  EXPECT_EQ(manager.claim(file(1), Access::kReadWrite), id);
  EXPECT_EQ(text(run(manager.plug(id))), "blk 1d/00");
}

TEST_F(DiskManagerTest, TellsTheVmOfADiskThatHasGrown) {
  DiskManager manager = make(3);
  const std::string id = manager.claim(file(1), Access::kReadWrite);
  EXPECT_THAT(failure([&] { run(manager.resize(id, 1)); }).message(), HasSubstr("is in no VM"));
  vmm::VmSpec spec;
  manager.plan_start(spec);
  manager.vm_started(&plug_);
  const uint64_t size = disk_size(file(1));
  const Error small = failure([&] { run(manager.resize(id, 2 * size)); });
  EXPECT_EQ(small.code(), Code::kFailedPrecondition);
  EXPECT_THAT(small.message(), HasSubstr(file(1) + " has " + std::to_string(size) + " bytes, less than the " +
                                         std::to_string(2 * size) + " asked for: grow it first"));
  std::filesystem::resize_file(file(1), 3 * size);
  run(manager.resize(id, 2 * size));
  EXPECT_THAT(plug_.calls(), ElementsAre("resize drive-0 " + std::to_string(3 * size)))
      << "all that there is";
  plug_.fail_next("resize", Error(Code::kInternal, "no"));
  EXPECT_EQ(failure([&] { run(manager.resize(id, size)); }).code(), Code::kInternal);
  const std::string reader = manager.claim(file(2), Access::kReadOnly);
  run(manager.plug(reader));
  EXPECT_THAT(failure([&] { run(manager.resize(reader, 1)); }).message(), HasSubstr("is read-only"));
  EXPECT_EQ(failure([&] { run(manager.resize("drive-77", 1)); }).code(), Code::kNotFound);
  std::filesystem::remove(file(1));
  EXPECT_EQ(failure([&] { run(manager.resize(id, 1)); }).code(), Code::kNotFound);
}

TEST_F(DiskManagerTest, NeverPluggedIsSimplyClosed) {
  DiskManager manager = make(2);
  const std::string id = manager.claim(file(1), Access::kReadWrite);
  run(manager.release(id));
  EXPECT_EQ(manager.size(), 0U);
  EXPECT_NO_THROW(open_disk(file(1), Access::kReadWrite));
  run(manager.release("drive-77"));
}

TEST_F(DiskManagerTest, NotAllowed) {
  DiskManager manager(context_.get_executor(), {.driver = "", .refusal = "block devices are switched off"});
  EXPECT_THAT(failure([&] { manager.claim(file(1), Access::kReadWrite); }).message(),
              HasSubstr("switched off"));
}

}  // namespace
}  // namespace kata::device
