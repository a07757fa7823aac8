#include "host/vmm/qemu/qemu_driver.h"

#include <cstdlib>
#include <sys/stat.h>

#include <gmock/gmock.h>
#include <unistd.h>

#include "host/vmm/cpu_memory.h"
#include "host/vmm/driver_conformance.h"

namespace kata::vmm {
namespace {

// The guest that image/build made in this checkout, unless the environment names another.
std::string guest_file(const char* variable, const std::string& name) {
  const char* set = std::getenv(variable);
  return set != nullptr ? set : "build/guest/" + name;
}

DriverCase make_qemu_case() {
  DriverCase result;
  VmSpec& spec = result.spec;
  spec.id = "test-" + std::to_string(::getpid());
  spec.program = "/usr/bin/qemu-system-x86_64";
  spec.memory.mib = 256;
  spec.boot.kernel = guest_file("KATA_TEST_KERNEL", "vmlinux");
  spec.boot.initrd = guest_file("KATA_TEST_INITRD", "kata-initrd.img");
  for (const std::string& path : {spec.program, spec.boot.kernel, spec.boot.initrd}) {
    if (::access(path.c_str(), R_OK) != 0) result.skip = path + " is not there";
  }
  result.make = [](const asio::any_io_executor& executor) { return make_qemu_driver(executor); };
  result.kill = [](VmDriver& driver) { ::kill(driver.pid(), SIGKILL); };
  return result;
}

INSTANTIATE_TEST_SUITE_P(Qemu, DriverConformance, testing::Values(&make_qemu_case));

// What only a real QEMU shows; uses the suite's loop.
class QemuDriverTest : public DriverConformance {
 protected:
  std::string start_failure(const VmSpec& spec) {
    try {
      run(driver_->start(spec));
    } catch (const Error& error) {
      return error.message();
    }
    return {};
  }
};

TEST_P(QemuDriverTest, ItsOwnWordsWhenItDoesNotStart) {
  VmSpec spec = case_.spec;
  spec.machine_accelerators = "no-such-property=on";
  const std::string message = start_failure(spec);
  EXPECT_THAT(message, testing::StartsWith("starting VM " + spec.id + ": QEMU ended with exit code 1: "));
  EXPECT_THAT(message, testing::HasSubstr("no-such-property"));
}

TEST_P(QemuDriverTest, APeerThatIsNotThereIsNamed) {
  VmSpec spec = case_.spec;
  spec.memory.shared = true;
  spec.shares = {ShareSpec{.tag = "kataShared", .socket = "/nonexistent/virtiofsd.sock"}};
  EXPECT_THAT(start_failure(spec), testing::HasSubstr("/nonexistent/virtiofsd.sock"));
}

TEST_P(QemuDriverTest, APanicIsReportedWithTheLastLines) {
  VmSpec spec = case_.spec;
  // Without an init there is nothing to run: the kernel panics.
  spec.boot.command_line += " rdinit=/nonexistent";
  run(driver_->start(spec));
  EXPECT_THAT(run(driver_->guest_failure()), testing::HasSubstr("panicked"));
  const VmExit exit = run(driver_->wait());
  EXPECT_THAT(exit.reason, testing::HasSubstr("Kernel panic - not syncing"));
  EXPECT_FALSE(driver_->last_console_lines(5).empty());
  EXPECT_EQ(exit.status.code, 0);
}

TEST_P(QemuDriverTest, JoinsTheCgroupAndASessionOfItsOwn) {
  VmSpec spec = case_.spec;
  spec.cgroup_procs = {"/nonexistent/cgroup.procs"};
  EXPECT_THAT(start_failure(spec), testing::HasSubstr("joining the cgroup"));
  EXPECT_EQ(driver_->pid(), -1);
  spec.cgroup_procs.clear();
  run(driver_->start(spec));
  EXPECT_EQ(::getsid(driver_->pid()), driver_->pid());
}

TEST_P(QemuDriverTest, GrowsWithinItsLimits) {
  VmSpec spec = case_.spec;
  EXPECT_EQ(driver_->cpu_memory(), nullptr);
  spec.cpu.max = 2;
  spec.memory.shared = spec.memory.reclaim = true;
  spec.memory.max_mib = 1024;
  spec.memory.slots = 1;
  run(driver_->start(spec));
  CpuMemory* const vm = driver_->cpu_memory();
  ASSERT_NE(vm, nullptr);
  const auto code = [&](Awaitable<> call) {
    try {
      run(std::move(call));
      return Code::kOk;
    } catch (const Error& error) {
      return error.code();
    }
  };
  EXPECT_EQ(vm->most(), (CpuMemory::Size{.vcpus = 2, .memory_mib = 1024}));
  EXPECT_EQ(run(vm->vcpu_threads()).size(), 2U);
  EXPECT_EQ(code(vm->set_vcpus(0)), Code::kInvalidArgument);
  EXPECT_EQ(code(vm->set_vcpus(3)), Code::kResourceExhausted);
  EXPECT_EQ(code(vm->set_vcpus(2)), Code::kOk);
  EXPECT_EQ(code(vm->set_memory(2048)), Code::kResourceExhausted);
  EXPECT_EQ(code(vm->set_memory(257)), Code::kOk);
  EXPECT_EQ(vm->size(), (CpuMemory::Size{.vcpus = 2, .memory_mib = 384}));
  EXPECT_EQ(code(vm->set_memory(512)), Code::kResourceExhausted) << "no slot left";
  EXPECT_EQ(vm->size().memory_mib, 384U);
  EXPECT_EQ(code(vm->set_memory(256)), Code::kOk) << "by the balloon";
  EXPECT_EQ(vm->size().memory_mib, 256U);
  EXPECT_EQ(code(vm->set_memory(300)), Code::kOk);
  EXPECT_EQ(vm->size().memory_mib, 384U);
}

INSTANTIATE_TEST_SUITE_P(Qemu, QemuDriverTest, testing::Values(&make_qemu_case));

}  // namespace
}  // namespace kata::vmm
