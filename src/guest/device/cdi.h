// CDI devices of containers (agent-api, section 3.2 step 2 and section 5): named by annotations or by the
// environment, described by files in the guest.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "guest/device/block_device.h"
#include "lib/async/awaitable.h"
#include "lib/oci/cdi.h"
#include "lib/oci/spec.h"

namespace kata::device {

struct CdiOptions {
  std::string folder = "/var/run/cdi";
  // Whether VISIBLE_CDI_DEVICES counts (agent.visible_cdi_devices).
  bool visible_devices = false;
  // For files that appear late (agent.cdi_timeout), and the pause between two looks.
  std::chrono::milliseconds limit{100'000};
  std::chrono::milliseconds pause{1000};
  DeviceTree tree = {};
};

struct CdiName {
  std::string kind;
  // "all" that no device is called: every device of the kind.
  std::string device;
  bool operator==(const CdiName&) const = default;
};

// What the container asks for, in order, each once: annotations `cdi.k8s.io/...` with lists of
// `vendor/class=name`, VISIBLE_CDI_DEVICES with `kind=all`, `kind=0,1`, several kinds with ':', "none" and
// "void" for nothing. kInvalidArgument names the annotation or variable. Nothing for a pod's own container.
std::vector<CdiName> cdi_names(const oci::Spec& spec, bool visible_devices);

// Applies one set of edits.
void apply_cdi_edits(const oci::CdiEdits& edits, const DeviceTree& tree, oci::Spec& spec);

// Finds the devices in the folder's *.json files and applies their edits. A kind that no file has is waited
// for, then kDeadlineExceeded; a device that its kind does not have is kNotFound at once. Files that cannot
// be read are named in the log.
Awaitable<> inject_cdi(CdiOptions options, oci::Spec& spec);

}  // namespace kata::device
