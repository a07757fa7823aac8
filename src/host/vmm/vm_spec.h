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
  // Highest size that hot-plug may reach; equal to `mib` = no hot-plug.
  uint64_t max_mib = 0;
  uint32_t slots = 0;
  // vhost-user processes (virtiofsd, our vsock device) map the guest's memory.
  bool shared = false;
  bool prealloc = false;
  bool huge_pages = false;
};

struct BootSpec {
  std::string kernel;
  // Exactly one of initrd and image is set.
  std::string initrd;
  std::string image;
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

struct DiskSpec {
  std::string id;
  std::string path;
  bool readonly = false;
};

// How block devices are driven; the conditions of the iothread settings are the driver's to combine.
struct BlockSettings {
  // "virtio-blk-pci", "virtio-scsi", ... as the configuration spells them.
  std::string driver = "virtio-blk-pci";
  bool enable_iothreads = false;
  uint32_t indep_iothreads = 0;
};

struct NicSpec {
  std::string id;
  std::string mac;
  // Open tap queues, not owned.
  std::vector<int> tap_fds;
  std::vector<int> vhost_fds;
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
  std::vector<DiskSpec> disks;
  BlockSettings block;
  std::vector<NicSpec> nics;
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
