// What the agent's calls work on, besides their request.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "guest/boot/boot.h"
#include "guest/device/uevent_watcher.h"
#include "guest/rpc/spec_extras.h"
#include "guest/sandbox/sandbox.h"
#include "lib/async/event.h"

namespace kata::rpc {

struct AgentContext {
  sandbox::Sandbox& sandbox;
  device::UeventWatcher& uevents;
  const boot::AgentConfig& config;
  boot::Role role;
  boot::BootTimes times;
  // Set once all kernel modules of the image are loaded.
  Event& modules_loaded;
  // Ends the agent after the answer.
  std::function<void()> stop;
  SpecExtras extras = {};
  // Answered GetMetrics calls.
  uint64_t scrapes = 0;

  // The guest's node of a device, waited for as long as agent.hotplug_timeout says. `type` is a storage
  // driver or device type.
  Awaitable<std::string> find_device(std::string type, std::string address);
  // The name of the network link at a PCI path or CCW device number, waited for likewise.
  Awaitable<std::string> find_link(std::string device_path);
  // The same for a virtio disk at these PCI slots, one per bus level.
  Awaitable<std::string> find_slots(std::vector<uint32_t> slots);
};

}  // namespace kata::rpc
