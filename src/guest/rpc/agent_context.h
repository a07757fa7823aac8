// What the agent's calls work on, besides their request.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "guest/boot/boot.h"
#include "guest/boot/listener.h"
#include "guest/device/uevent_watcher.h"
#include "guest/rpc/spec_extras.h"
#include "guest/sandbox/sandbox.h"
#include "lib/async/event.h"
#include "lib/async/task_group.h"

namespace kata::rpc {

struct AgentContext {
  sandbox::Sandbox& sandbox;
  device::UeventWatcher& uevents;
  const boot::AgentConfig& config;
  boot::Role role;
  boot::BootTimes times;
  // Set once the kernel modules of the devices that are there are loaded.
  Event& device_modules_loaded;
  // The rest of the image's modules is loaded when nothing else is to be done, or at once when this is set.
  Event& modules_wanted;
  Event& modules_loaded;
  // Where the agent listens, and what runs beside its calls.
  const boot::ListenAddress& listens_at;
  TaskGroup& tasks;
  // Ends the agent after the answer.
  std::function<void()> stop;
  SpecExtras extras = {};
  // Answered GetMetrics calls.
  uint64_t scrapes = 0;

  // Returns when every kernel module of the image is loaded.
  Awaitable<> need_modules();
  // The same, if attaching one of these may need a module.
  Awaitable<> need_modules_for(const std::vector<storage::Storage>& storages);
  // The guest's node of a device, waited for as long as agent.hotplug_timeout says. `type` is a storage
  // driver or device type.
  Awaitable<std::string> find_device(std::string type, std::string address);
  // The name of the network link at a PCI path or CCW device number, waited for likewise.
  Awaitable<std::string> find_link(std::string device_path);
  // The same for a virtio disk at these PCI slots, one per bus level.
  Awaitable<std::string> find_slots(std::vector<uint32_t> slots);
};

}  // namespace kata::rpc
