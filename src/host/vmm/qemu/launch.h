// Starts the QEMU process of a spec; knows nothing of what happens afterwards.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "host/vmm/vm_spec.h"
#include "lib/async/child_process.h"
#include "lib/fd/unique_fd.h"

namespace kata::vmm::qemu {

// Refuses a spec that cannot start, before anything is made: the messages name the configuration key.
// kNotFound for missing files, kInvalidArgument for what contradicts itself, kFailedPrecondition for too
// little memory.
void check_spec(const VmSpec& spec);
// Before the check: gives a VM whose memory follows from a pod's limit what its kernel and initrd need.
void raise_memory(VmSpec& spec);

// Least guest memory for a kernel of this memory size and an initrd of this file size, in MiB.
uint64_t memory_floor_mib(uint64_t kernel_bytes, uint64_t initrd_bytes);

// What a kernel takes in memory once it runs, from the beginning of its file: a compressed one (bzImage)
// tells it in its header (Documentation/arch/x86/boot.rst, init_size), anything else counts as large as its
// file.
uint64_t kernel_memory_bytes(std::string_view head, uint64_t file_bytes);

// The firmware for a spec that names none: qboot, where the machine is emulated q35 and QEMU's files have it.
// It leaves to the kernel what SeaBIOS would do under emulation before it (a twelfth of the boot). Empty =
// QEMU's own choice.
std::string default_firmware(const VmSpec& spec, Accelerator accelerator,
                             const std::string& system_folder = "/usr/share/qemu");

// `image_driver` of an image that is memory of the guest; any other is a disk.
inline constexpr const char* kPmemImage = "virtio-pmem";

// The initrd that a boot image needs when the guest's kernel has as modules what mounts it: it lies beside
// the kernel, since the two belong together, under the kernel's name with this at its end. A kernel that has
// these parts built in has no such file and starts without one. Empty = none, or no image.
inline constexpr const char* kFirstStageSuffix = ".first-stage";
std::string first_stage(const VmSpec& spec);

struct Launched {
  std::shared_ptr<ChildProcess> child;
  // Our ends: QMP, the guest's console (invalid without one), what QEMU writes to its stderr.
  UniqueFd qmp;
  UniqueFd console;
  UniqueFd error_output;
};

// `accelerator`: kKvm or kTcg. In its own session, in the spec's cgroups and network namespace, not tied to
// the life of this process: who finds a VM whose shim was killed decides about it by pid.
Launched launch(const asio::any_io_executor& executor, VmSpec spec, Accelerator accelerator);

}  // namespace kata::vmm::qemu
