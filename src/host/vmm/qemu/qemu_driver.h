// The driver for QEMU: x86-64, machine types q35 (default), pc and microvm.
#pragma once

#include <memory>

#include "host/vmm/vm_driver.h"

namespace kata::vmm {

std::unique_ptr<VmDriver> make_qemu_driver(const asio::any_io_executor& executor);

}  // namespace kata::vmm
