#include <array>
#include <string>
#include <string_view>

#include "host/vmm/qemu/qemu_driver.h"
#include "host/vmm/vm_driver.h"
#include "lib/error/error.h"

namespace kata::vmm {
namespace {

struct Entry {
  std::string_view name;
  std::unique_ptr<VmDriver> (*make)(const asio::any_io_executor& executor);
};

// One line a driver.
constexpr std::array kDrivers = {
    Entry{"qemu", &make_qemu_driver},
};

}  // namespace

std::unique_ptr<VmDriver> make_driver(const std::string& name, const asio::any_io_executor& executor) {
  std::string known;
  for (const Entry& entry : kDrivers) {
    if (entry.name == name) return entry.make(executor);
    known += (known.empty() ? "" : ", ") + std::string(entry.name);
  }
  throw Error(Code::kInvalidArgument, "hypervisor \"" + name + "\" is not known; there is " + known);
}

}  // namespace kata::vmm
