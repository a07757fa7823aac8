#include "guest/rpc/agent_context.h"

#include <algorithm>
#include <cstdio>

#include "guest/device/block_device.h"
#include "guest/device/pci_path.h"
#include "guest/device/vfio.h"

namespace kata::rpc {

Awaitable<> AgentContext::need_modules() {
  modules_wanted.set();
  co_await modules_loaded.wait();
}

Awaitable<> AgentContext::need_modules_for(const std::vector<storage::Storage>& storages) {
  // The kernel has these built in.
  const auto plain = [](const storage::Storage& storage) {
    return storage.driver == "virtio-fs" || storage.driver == "ephemeral" || storage.driver == "local" ||
           storage.driver == "watchable-bind";
  };
  if (!std::ranges::all_of(storages, plain)) co_await need_modules();
}

Awaitable<std::string> AgentContext::find_device(std::string type, std::string address) {
  if (auto other = device::passthrough_lookup(type, address)) {
    co_return co_await device::wait_for(uevents, std::move(*other), type + " " + address,
                                        config.hotplug_timeout);
  }
  device::Lookup lookup = device::block_lookup(type, address);
  co_return co_await device::wait_for_device(uevents, std::move(lookup), type + " device " + address,
                                             config.hotplug_timeout);
}

Awaitable<std::string> AgentContext::find_link(std::string device_path) {
  device::Lookup lookup = device::link_lookup(device_path);
  co_return co_await device::wait_for(uevents, std::move(lookup), "network device " + device_path,
                                      config.hotplug_timeout);
}

Awaitable<std::string> AgentContext::find_slots(std::vector<uint32_t> slots) {
  const auto path = device::pci_path_of_slots(slots);
  if (!path) throw path.error();
  std::string text;
  for (const device::PciSlot& slot : path->slots) {
    char element[8];
    std::snprintf(element, sizeof element, "%s%02x", text.empty() ? "" : "/", slot.slot);
    text += element;
  }
  co_return co_await find_device("blk", text);
}

}  // namespace kata::rpc
