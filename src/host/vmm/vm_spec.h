// What to run: a virtual machine as a plain value. How a VMM does it is its driver's business.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace kata::vmm {

struct CpuSpec {
  uint32_t boot = 1;
  uint32_t max = 1;
  // Comma list for the CPU model ("pmu=off").
  std::string features;
};

struct MemorySpec {
  uint64_t mib = 0;
  // Whether a VM that could not boot with `mib` gets what it needs instead of being refused.
  enum class TooSmall { kRefuse, kRaise };
  TooSmall too_small = TooSmall::kRefuse;
  // Highest size that hot-plug may reach; equal to `mib` = no hot-plug.
  uint64_t max_mib = 0;
  uint32_t slots = 0;
  // vhost-user processes (virtiofsd, our vsock device) map the guest's memory.
  bool shared = false;
  bool prealloc = false;
  // Later memory comes as blocks of one virtio-mem device, which can be taken back, instead of as DIMMs.
  bool virtio_mem = false;
  // Kept free above max_mib in the guest's address space (MiB).
  uint64_t offset_mib = 0;
  // The guest reports free pages, which the node then takes back (balloon with free-page reporting).
  bool reclaim = false;
  bool huge_pages = false;
};

struct BootSpec {
  std::string kernel;
  // Exactly one of initrd and image is set.
  std::string initrd;
  std::string image;
  // How the image is attached: "virtio-blk-pci", "virtio-pmem", ... as the configuration spells it.
  std::string image_driver = "virtio-blk-pci";
  std::string firmware;
  // Kernel command line without what the driver itself must add in front of it (console, how the guest ends
  // after a panic, what its machine makes needless to probe). Of two values of one parameter the kernel takes
  // the later.
  std::string command_line;
};

// A vhost-user-fs share.
struct ShareSpec {
  std::string tag;
  std::string socket;
  uint32_t queue_size = 1024;
};

struct VsockSpec {
  enum class Kind { kVhost, kVhostUser };
  Kind kind = Kind::kVhost;
  uint32_t cid = 3;
  // kVhostUser: socket of the vhost-user device.
  std::string socket;
  // kVhost: an open /dev/vhost-vsock with the CID set, handed to the VMM; not owned.
  int vhost_fd = -1;
};

// Where a PCI device sits: in a slot of the root bus, or alone behind a port.
struct PciPlace {
  // Id of the port; empty = the root bus.
  std::string port = {};
  uint8_t slot = 0;
};

// A place behind which one device can be plugged while the VM runs.
struct PortSpec {
  std::string id = {};
  uint8_t slot = 0;
  uint8_t function = 0;
};

// A SCSI controller, for disks that need no PCI place of their own.
struct ScsiControllerSpec {
  std::string id = {};
  PciPlace place = {};
};

struct ScsiPlace {
  std::string controller = {};
  uint16_t target = 0;
  uint16_t lun = 0;
};

// A piece of a disk that is put together from files. A file shorter than its piece reads as zeros at its end.
struct DiskExtent {
  // Index into DiskSpec::files.
  size_t file = 0;
  // Sectors of 512 bytes, in the disk and from the beginning of the file.
  uint64_t sectors = 0;
  uint64_t offset = 0;
};

struct DiskSpec {
  // "drive-3"; the number is no other disk's of this VM.
  std::string id = {};
  uint32_t number = 0;
  // The VMM opens this itself; for what the configuration names (boot image).
  std::string path = {};
  // Or open descriptors of the disk's files, with the access that `readonly` says; not owned, needed until
  // the disk is plugged. One file is the disk; with extents they are its parts.
  std::vector<int> files = {};
  std::vector<DiskExtent> extents = {};
  enum class Backing { kFile, kBlockDevice };
  Backing backing = Backing::kFile;
  bool readonly = false;
  // No place = the VMM chooses.
  std::optional<PciPlace> pci = {};
  std::optional<ScsiPlace> scsi = {};
  std::string serial = {};
  // Number of the thread that serves it; see BlockSettings::indep_iothreads.
  std::optional<uint32_t> iothread = {};
  // A partitioned disk keeps 512: with other sizes the guest would look for the table elsewhere.
  bool own_sector_sizes = false;
};

// How block devices are driven; the conditions of the iothread settings are the driver's to combine.
struct BlockSettings {
  // "virtio-blk-pci", "virtio-scsi", ... as the configuration spells them.
  std::string driver = "virtio-blk-pci";
  bool enable_iothreads = false;
  uint32_t indep_iothreads = 0;
  // "threads", "native" (only with cache_direct), "io_uring"; empty = the VMM's own choice. What works here
  // is chosen by host/device/aio.h.
  std::string aio = {};
  bool cache_direct = false;
  bool cache_no_flush = false;
  // 0 = the VMM's own choice.
  uint32_t logical_sector = 0, physical_sector = 0;
  uint32_t queues = 0, queue_size = 0;
  // Of each disk, per second; 0 = no limit. A burst is what may go beyond it once.
  uint64_t max_bytes = 0, max_bytes_burst = 0;
  uint64_t max_operations = 0, max_operations_burst = 0;

  // Whether the disks of containers get threads of their own (B12); the boot image never does.
  [[nodiscard]] bool has_own_threads() const {
    return enable_iothreads && indep_iothreads > 0 && driver == "virtio-blk-pci";
  }
};

struct NicSpec {
  std::string id;
  std::string mac;
  // Open tap queues, not owned.
  std::vector<int> tap_fds;
  std::vector<int> vhost_fds;
  // Entries of the queues in which the guest receives; 0 = the VMM's own choice.
  uint32_t receive_queue_size = 0;
};

enum class Accelerator { kAuto, kKvm, kTcg };

struct VmSpec {
  // Sandbox id.
  std::string id;
  // VMM executable.
  std::string program;
  // Folder for the VMM's sockets and logs; exists.
  std::string run_dir;
  std::string machine_type;
  std::string machine_accelerators;
  Accelerator accelerator = Accelerator::kAuto;
  CpuSpec cpu;
  MemorySpec memory;
  BootSpec boot;
  std::vector<ShareSpec> shares;
  std::optional<VsockSpec> vsock;
  std::vector<PortSpec> ports;
  std::vector<ScsiControllerSpec> scsi_controllers;
  std::vector<DiskSpec> disks;
  BlockSettings block;
  std::vector<NicSpec> nics;
  // Where NICs can be plugged while the VM runs, one each.
  std::vector<PortSpec> nic_ports;
  // Whether the guest's serial console is wired up and kept (costs boot time under emulation).
  bool console = true;
  bool seccomp_sandbox = true;
  // The VMM's own words for it (QEMU: the value of -sandbox); empty = the strictest that the driver supports.
  std::string seccomp_value;
  bool debug = false;
  // cgroup.procs files that the VMM joins before it runs.
  std::vector<std::string> cgroup_procs;
  // Network namespace to start the VMM in; empty = the shim's.
  std::string netns;
};

}  // namespace kata::vmm
