#include "host/vmm/qemu/command_line.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "host/vmm/qemu/disk_plan.h"
#include "host/vmm/qemu/later_size.h"
#include "host/vmm/qemu/launch.h"

namespace kata::vmm::qemu {
namespace {

// ACPI's limit.
constexpr uint32_t kMostSlots = 256;
constexpr uint64_t kMib = uint64_t{1} << 20;

// Keeps argument and value together and collects the descriptors on the way.
class Builder {
 public:
  explicit Builder(std::string program) { line_.argv.push_back(std::move(program)); }

  void flag(std::string name) { line_.argv.push_back(std::move(name)); }
  void add(std::string name, std::string value) {
    line_.argv.push_back(std::move(name));
    line_.argv.push_back(std::move(value));
  }
  // The number of an inherited descriptor as text.
  std::string descriptor(int fd) {
    line_.inherit.push_back(fd);
    return std::to_string(fd);
  }
  std::string descriptors(const std::vector<int>& fds) {
    std::string list;
    for (const int fd : fds) list += (list.empty() ? "" : ":") + descriptor(fd);
    return list;
  }
  void own(UniqueFd fd) { line_.owned.push_back(std::move(fd)); }
  CommandLine take() { return std::move(line_); }

 private:
  CommandLine line_;
};

constexpr const char* kStrictSandbox =
    "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny";

// Emulation only: work that makes no sense there or is slow there, measured with Debian's 6.12 cloud kernel
// (a third of the boot). No speculation crosses from one emulated guest to another; on a real CPU the
// mitigations stay. Security modules that nobody in the guest configures cost a twentieth.
constexpr std::string_view kEmulatedWords =
    " nokaslr mitigations=off no_timer_check tsc=reliable cryptomgr.notests random.trust_cpu=on "
    "rcupdate.rcu_expedited=1 init_on_alloc=0 "
    "initcall_blacklist=jent_mod_init,load_system_certificate_list,trace_eval_init";

// TCG runs string instructions byte by byte: without the two flags the guest's kernel copies words.
// Five-level page tables only cost.
constexpr const char* kEmulatedCpu = "max,erms=off,fsrm=off,la57=off";

bool is_microvm(const VmSpec& spec) {
  return spec.machine_type.starts_with("microvm");
}
bool is_q35(const VmSpec& spec) {
  return spec.machine_type.starts_with("q35") || spec.machine_type.empty();
}

bool has_pmem_image(const VmSpec& spec) {
  return !spec.boot.image.empty() && spec.boot.image_driver == kPmemImage;
}

const char* memory_id(const VmSpec& spec) {
  return spec.memory.shared ? "entire-guest-memory-share" : "entire-guest-memory";
}

// virtio-mmio has its own device names; everything with PCI has the modern interface only, which has fewer
// registers to probe.
std::string virtio_device(const VmSpec& spec, const std::string& kind) {
  return is_microvm(spec) ? kind + "-device" : kind + "-pci";
}
std::string modern(const VmSpec& spec) {
  return is_microvm(spec) ? "" : ",disable-legacy=on";
}

void add_machine(Builder& builder, const VmSpec& spec, Accelerator accelerator) {
  std::string machine = spec.machine_type.empty() ? "q35" : spec.machine_type;
  // Controllers that no device of ours uses: the guest need not probe them.
  if (is_q35(spec)) machine += ",sata=off,smbus=off,usb=off,vmport=off,i8042=off";
  machine += ",dump-guest-core=off,memory-backend=" + std::string(memory_id(spec));
  if (has_pmem_image(spec)) machine += ",nvdimm=on";
  if (!spec.machine_accelerators.empty()) machine += "," + spec.machine_accelerators;
  builder.add("-machine", machine);
  builder.add("-accel", accelerator == Accelerator::kKvm ? "kvm" : "tcg,thread=multi");
}

void add_cpu(Builder& builder, const VmSpec& spec, Accelerator accelerator) {
  std::string model = accelerator == Accelerator::kKvm ? "host" : kEmulatedCpu;
  if (!spec.cpu.features.empty()) model += "," + spec.cpu.features;
  builder.add("-cpu", model);
  const uint32_t most = most_vcpus(spec);
  if (later_cpus(accelerator) == LaterCpus::kOffline) {
    builder.add("-smp", std::to_string(most));
    return;
  }
  std::string count = std::to_string(spec.cpu.boot);
  if (most > spec.cpu.boot) count += ",maxcpus=" + std::to_string(most);
  builder.add("-smp", count);
}

// Memory of the guest at its start, and the slots and addresses for what is there besides: later memory, and
// an image that is memory.
std::string memory_sizes(const VmSpec& spec, uint64_t image_bytes) {
  const MemorySpec& memory = spec.memory;
  const LaterMemory later = later_memory(spec);
  uint64_t slots = later == LaterMemory::kDimm ? std::min(memory.slots, kMostSlots) : 0;
  uint64_t most = later == LaterMemory::kNone ? memory.mib : memory.max_mib + memory.offset_mib;
  if (has_pmem_image(spec)) {
    slots = std::min<uint64_t>(slots + 1, kMostSlots);
    most += (image_bytes + kMib - 1) / kMib;
  }
  std::string text = std::to_string(memory.mib) + "M";
  if (slots != 0) text += ",slots=" + std::to_string(slots);
  if (most != memory.mib) text += ",maxmem=" + std::to_string(most) + "M";
  return text;
}

void add_memory(Builder& builder, const VmSpec& spec, uint64_t image_bytes) {
  const MemorySpec& memory = spec.memory;
  const std::string size = std::to_string(memory.mib) + "M";
  builder.add("-m", memory_sizes(spec, image_bytes));
  // Shared memory is a memfd rather than a file on /dev/shm: the same kind of pages, but not limited by the
  // size of that mount, which container hosts keep small (a guest that outgrows it dies of SIGBUS).
  std::string backend = memory.shared || memory.huge_pages ? "memory-backend-memfd" : "memory-backend-ram";
  backend += ",id=" + std::string(memory_id(spec)) + ",size=" + size;
  if (memory.shared) backend += ",share=on";
  if (memory.huge_pages) backend += ",hugetlb=on";
  if (memory.prealloc) backend += ",prealloc=on";
  builder.add("-object", backend);
}

// Devices through which memory comes and goes.
void add_memory_devices(Builder& builder, const VmSpec& spec) {
  const MemorySpec& memory = spec.memory;
  if (later_memory(spec) == LaterMemory::kVirtioMem) {
    // Nothing of it is reserved on the node before the guest has it.
    std::string backend =
        "memory-backend-memfd,id=virtiomem,size=" +
        std::to_string((memory.max_mib - memory.mib) / kVirtioMemStepMib * kVirtioMemStepMib) +
        "M,reserve=off";
    if (memory.shared) backend += ",share=on";
    builder.add("-object", backend);
    builder.add("-device", "virtio-mem-pci,id=virtiomem0,memdev=virtiomem,requested-size=0" + modern(spec));
  }
  if (memory.reclaim)
    builder.add("-device", virtio_device(spec, "virtio-balloon") +
                               ",id=balloon0,free-page-reporting=on,deflate-on-oom=on" + modern(spec));
}

void add_boot(Builder& builder, const VmSpec& spec, Accelerator accelerator, const std::string& first_stage) {
  if (!spec.boot.firmware.empty()) builder.add("-bios", spec.boot.firmware);
  builder.add("-kernel", spec.boot.kernel);
  const std::string& initrd = spec.boot.image.empty() ? spec.boot.initrd : first_stage;
  if (!initrd.empty()) builder.add("-initrd", initrd);
  builder.add("-append", kernel_command_line(spec, accelerator));
}

void add_monitor(Builder& builder, int fd) {
  builder.add("-chardev", "socket,id=qmp,fd=" + builder.descriptor(fd));
  builder.add("-mon", "chardev=qmp,mode=control");
}

void add_console(Builder& builder, const VmSpec& spec, int fd) {
  if (!spec.console) return;
  builder.add("-chardev", "socket,id=console,fd=" + builder.descriptor(fd));
  builder.add("-serial", "chardev:console");
}

void add_vsock(Builder& builder, const VmSpec& spec) {
  if (!spec.vsock) return;
  const VsockSpec& vsock = *spec.vsock;
  if (vsock.kind == VsockSpec::Kind::kVhost) {
    builder.add("-device", virtio_device(spec, "vhost-vsock") +
                               ",id=vsock0,guest-cid=" + std::to_string(vsock.cid) +
                               ",vhostfd=" + builder.descriptor(vsock.vhost_fd) + modern(spec));
    return;
  }
  builder.add("-chardev", "socket,id=vsock,path=" + escape_value(vsock.socket));
  builder.add("-device", virtio_device(spec, "vhost-user-vsock") + ",id=vsock0,chardev=vsock");
}

void add_share(Builder& builder, const VmSpec& spec, const ShareSpec& share, const std::string& id) {
  builder.add("-chardev", "socket,id=" + id + ",path=" + escape_value(share.socket));
  std::string device = virtio_device(spec, "vhost-user-fs") + ",id=fs-" + id + ",chardev=" + id +
                       ",tag=" + escape_value(share.tag);
  // 0 leaves the size to QEMU (128).
  if (share.queue_size != 0) device += ",queue-size=" + std::to_string(share.queue_size);
  builder.add("-device", device);
}

void add_shares(Builder& builder, const VmSpec& spec) {
  size_t index = 0;
  for (const ShareSpec& share : spec.shares)
    add_share(builder, spec, share, "share" + std::to_string(index++));
}

// The boot image: opened by its path, and known to the guest by its place in the order of devices.
void add_image(Builder& builder, const VmSpec& spec, uint64_t bytes) {
  if (spec.boot.image.empty()) return;
  if (has_pmem_image(spec)) {
    builder.add("-object", "memory-backend-file,id=image-memory,mem-path=" + escape_value(spec.boot.image) +
                               ",size=" + std::to_string(bytes) + ",share=on,readonly=on");
    builder.add("-device", "nvdimm,id=image,memdev=image-memory,unarmed=on");
    return;
  }
  builder.add("-blockdev", "driver=raw,node-name=drive-image,read-only=on,file.driver=file,file.filename=" +
                               escape_value(spec.boot.image) + ",file.read-only=on");
  builder.add("-device", virtio_device(spec, "virtio-blk") + ",id=image,drive=drive-image" + modern(spec));
}

void add_disk(Builder& builder, const VmSpec& spec, const DiskSpec& disk) {
  DiskPlan plan = plan_disk(disk, spec.block, PlugTime::kBeforeStart);
  for (const FdSet& set : plan.sets) {
    builder.add("-add-fd", "fd=" + builder.descriptor(set.fd) + ",set=" + std::to_string(set.number) +
                               ",opaque=" + escape_value(set.opaque));
  }
  if (plan.descriptor) builder.own(std::move(plan.descriptor));
  if (!plan.object.empty()) builder.add("-object", plan.object);
  for (const std::string& node : plan.nodes) builder.add("-blockdev", node);
  builder.add("-device", plan.device);
}

void add_threads(Builder& builder, const BlockSettings& block) {
  if (block.has_own_threads()) {
    for (uint32_t i = 0; i < block.indep_iothreads; ++i)
      builder.add("-object", "iothread,id=indep_iothread_" + std::to_string(i));
  }
  if (has_controller_thread(block)) builder.add("-object", "iothread,id=" + std::string(kControllerThread));
}

void add_disks(Builder& builder, const VmSpec& spec) {
  add_threads(builder, spec.block);
  size_t chassis = 0;
  for (const PortSpec& port : spec.ports) builder.add("-device", port_json(port, ++chassis));
  for (const ScsiControllerSpec& controller : spec.scsi_controllers)
    builder.add("-device", controller_json(controller, spec.block));
  for (const DiskSpec& disk : spec.disks) add_disk(builder, spec, disk);
}

void add_nics(Builder& builder, const VmSpec& spec) {
  // Behind the ports of disks, whose numbers they continue.
  size_t chassis = spec.ports.size();
  for (const PortSpec& port : spec.nic_ports) builder.add("-device", port_json(port, ++chassis));
  for (const NicSpec& nic : spec.nics) {
    std::string netdev = "tap,id=net-" + nic.id + ",fds=" + builder.descriptors(nic.tap_fds);
    if (!nic.vhost_fds.empty()) netdev += ",vhost=on,vhostfds=" + builder.descriptors(nic.vhost_fds);
    builder.add("-netdev", netdev);
    std::string device = virtio_device(spec, "virtio-net") + ",id=" + nic.id + ",netdev=net-" + nic.id;
    if (!nic.mac.empty()) device += ",mac=" + nic.mac;
    if (nic.receive_queue_size != 0) device += ",rx_queue_size=" + std::to_string(nic.receive_queue_size);
    // One vector per queue and direction, one for configuration and one for control.
    if (nic.tap_fds.size() > 1) {
      device += ",mq=on";
      if (!is_microvm(spec)) device += ",vectors=" + std::to_string(2 * nic.tap_fds.size() + 2);
    }
    // No boot ROM: nobody boots from the network here.
    if (!is_microvm(spec)) device += ",romfile=";
    builder.add("-device", device + modern(spec));
  }
}

}  // namespace

std::string escape_value(const std::string& value) {
  std::string escaped;
  for (const char c : value) escaped.append(c == ',' ? 2 : 1, c);
  return escaped;
}

std::string kernel_command_line(const VmSpec& spec, Accelerator accelerator) {
  // A panic ends the guest at once: with -no-reboot the reset ends QEMU, which is what the host sees.
  std::string line = "reboot=t panic=-1";
  if (accelerator == Accelerator::kTcg) {
    line += kEmulatedWords;
    // SELinux in the guest is a module of its own.
    if (spec.boot.command_line.find("selinux=1") == std::string::npos) line += " lsm=capability";
  }
  // One port to probe instead of four.
  if (spec.console) line += " console=ttyS0 8250.nr_uarts=1";
  // Those above are there and wait for the agent to set them online. The kernel keeps the instructions that
  // several CPUs need: to write them back into its code when the second comes costs more than the rest of
  // that.
  if (later_cpus(accelerator) == LaterCpus::kOffline && most_vcpus(spec) > spec.cpu.boot)
    line += " maxcpus=" + std::to_string(spec.cpu.boot) + " noreplace-smp";
  if (!spec.debug) line += " quiet";
  if (!spec.boot.command_line.empty()) line += " " + spec.boot.command_line;
  return line;
}

CommandLine build_command_line(const VmSpec& spec, Accelerator accelerator, const LaunchFds& fds,
                               const LaunchFiles& files) {
  Builder builder(spec.program);
  builder.add("-name", "sandbox-" + escape_value(spec.id) + ",debug-threads=on");
  builder.flag("-nodefaults");
  builder.flag("-no-user-config");
  builder.flag("-no-reboot");
  builder.add("-display", "none");
  add_machine(builder, spec, accelerator);
  add_cpu(builder, spec, accelerator);
  add_memory(builder, spec, files.image_bytes);
  add_memory_devices(builder, spec);
  add_boot(builder, spec, accelerator, files.first_stage);
  add_monitor(builder, fds.qmp);
  add_console(builder, spec, fds.console);
  add_vsock(builder, spec);
  add_shares(builder, spec);
  add_image(builder, spec, files.image_bytes);
  add_disks(builder, spec);
  add_nics(builder, spec);
  if (spec.seccomp_sandbox)
    builder.add("-sandbox", spec.seccomp_value.empty() ? kStrictSandbox : spec.seccomp_value);
  return builder.take();
}

}  // namespace kata::vmm::qemu
