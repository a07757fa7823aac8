#include "host/vmm/qemu/qemu_driver.h"

#include <cstdlib>
#include <sys/stat.h>

#include <gmock/gmock.h>
#include <unistd.h>

#include "host/vmm/driver_conformance.h"

namespace kata::vmm {
namespace {

// A guest kernel: $KATA_TEST_KERNEL and $KATA_TEST_INITRD, else what image/build made.
std::string guest_file(const char* variable, const std::string& name) {
  if (const char* set = std::getenv(variable)) return set;
  const char* cache = std::getenv("XDG_CACHE_HOME");
  const char* home = std::getenv("HOME");
  const std::string base = cache != nullptr ? cache : std::string(home != nullptr ? home : "") + "/.cache";
  return base + "/kata-cpp/guest/" + name;
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

}  // namespace
}  // namespace kata::vmm
