#include "host/vmm/fake_driver.h"

#include "host/vmm/driver_conformance.h"

namespace kata::vmm {
namespace {

DriverCase make_fake_case() {
  DriverCase result;
  result.spec.id = "vm1";
  result.make = [](const asio::any_io_executor& executor) { return std::make_unique<FakeDriver>(executor); };
  result.kill = [](VmDriver& driver) {
    dynamic_cast<FakeDriver&>(driver).end({.code = 137, .signal = 9}, "killed by signal 9 (Killed)");
  };
  return result;
}

INSTANTIATE_TEST_SUITE_P(Fake, DriverConformance, testing::Values(&make_fake_case));

}  // namespace
}  // namespace kata::vmm
