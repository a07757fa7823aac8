// From a DiskSpec to what QEMU is told: the same JSON goes onto the command line before the start and through
// QMP afterwards (QEMU's qapi/block-core.json, qapi/qom.json). Pure, but for the descriptor of a composed
// disk, which lives in a memfd.
#pragma once

#include <string>
#include <vector>

#include "host/vmm/vm_spec.h"
#include "lib/fd/unique_fd.h"

namespace kata::vmm::qemu {

// A descriptor that QEMU opens as /dev/fdset/<number>.
struct FdSet {
  uint32_t number = 0;
  // Not owned.
  int fd = -1;
  // Tells whose it is in query-fdsets.
  std::string opaque;
};

struct DiskPlan {
  std::vector<FdSet> sets;
  // Owns what was made for this plan; needed until QEMU has the sets.
  UniqueFd descriptor;
  // JSON texts, in the order of use; nodes are taken away in reverse. No object = empty.
  std::string object, object_id;
  std::vector<std::string> nodes, node_names;
  std::string device;
};

enum class PlugTime { kBeforeStart, kRunning };

// How the spec's disk is plugged. kInvalidArgument for a disk that contradicts itself.
DiskPlan plan_disk(const DiskSpec& disk, const BlockSettings& block, PlugTime time);

// "-device" and device_add of what disks need besides themselves.
std::string port_json(const PortSpec& port, size_t chassis);
std::string controller_json(const ScsiControllerSpec& controller, const BlockSettings& block);

// Whether the SCSI controller is served by a thread of its own, and its id.
bool has_controller_thread(const BlockSettings& block);
inline constexpr const char* kControllerThread = "scsi-io-thread";

// VMDK descriptor of a disk put together from fdsets: `set_of_file` is the set of each file (VMware Virtual
// Disk Format 1.1, createType twoGbMaxExtentFlat).
std::string vmdk_descriptor(const std::vector<DiskExtent>& extents, const std::vector<uint32_t>& set_of_file);

}  // namespace kata::vmm::qemu
