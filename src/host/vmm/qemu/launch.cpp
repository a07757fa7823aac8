#include "host/vmm/qemu/launch.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <sys/socket.h>
#include <sys/stat.h>
#include <utility>

#include <fcntl.h>
#include <sched.h>
#include <unistd.h>

#include "host/vmm/qemu/command_line.h"
#include "host/vmm/qemu/host_tsc.h"
#include "lib/error/error.h"
#include "lib/fd/io.h"
#include "lib/log/log.h"

namespace kata::vmm::qemu {
namespace {

constexpr uint64_t kMib = uint64_t{1} << 20;

// Size of a file that the configuration names.
uint64_t require_file(const std::string& what, const std::string& path, const std::string& key) {
  struct stat info{};
  if (::stat(path.c_str(), &info) != 0) {
    if (errno == ENOENT || errno == ENOTDIR)
      throw Error(Code::kNotFound, what + " " + path + " not found (hypervisor.qemu." + key + ")");
    throw_errno("looking for the " + what + " " + path + " (hypervisor.qemu." + key + ")");
  }
  if (!S_ISREG(info.st_mode) && !S_ISBLK(info.st_mode))
    throw Error(Code::kInvalidArgument, what + " " + path + " is not a file (hypervisor.qemu." + key + ")");
  return static_cast<uint64_t>(info.st_size);
}

// The first kibibyte, less of a shorter file.
std::string read_head(const std::string& path) {
  const UniqueFd file = open_file(path, O_RDONLY);
  std::string head(1024, '\0');
  const ssize_t n = ::pread(file.get(), head.data(), head.size(), 0);
  if (n < 0) throw_errno("reading the guest kernel " + path);
  head.resize(static_cast<size_t>(n));
  return head;
}

// What the guest's kernel gets in memory beside itself.
uint64_t initrd_bytes(const VmSpec& spec) {
  if (!spec.boot.initrd.empty()) return require_file("guest initrd", spec.boot.initrd, "initrd");
  const std::string stage = first_stage(spec);
  return stage.empty() ? 0 : require_file("first stage of the guest image", stage, "kernel");
}

void check_image(const VmSpec& spec) {
  if (spec.boot.image.empty()) return;
  const uint64_t bytes = require_file("guest image", spec.boot.image, "image");
  const std::string key = " (hypervisor.qemu.vm_rootfs_driver)";
  const std::string& driver = spec.boot.image_driver;
  const bool microvm = spec.machine_type.starts_with("microvm");
  if (driver != (microvm ? "virtio-blk-mmio" : "virtio-blk-pci") && (microvm || driver != kPmemImage))
    throw Error(Code::kInvalidArgument,
                "machine type " + spec.machine_type + " cannot attach the guest image by " + driver + key +
                    ": " + (microvm ? "virtio-blk-mmio" : "virtio-blk-pci and virtio-pmem") + " it can");
  constexpr uint64_t kMapped = uint64_t{2} << 20;
  if (driver == kPmemImage && (bytes == 0 || bytes % kMapped != 0))
    throw Error(Code::kInvalidArgument,
                "guest image " + spec.boot.image + " has " + std::to_string(bytes) +
                    " bytes, and virtio-pmem maps multiples of 2 MiB: use virtio-blk-pci" + key);
}

// QEMU says of a wrong one only that it is unsupported, not which.
void check_machine(const VmSpec& spec) {
  constexpr std::array<std::string_view, 6> kKnown = {"q35",  "pc",      "microvm",
                                                      "virt", "pseries", "s390-ccw-virtio"};
  const std::string& type = spec.machine_type;
  const auto same = [&](std::string_view known) {
    return type == known || type.starts_with(std::string(known) + "-") || type.starts_with("pc-q35-") ||
           type.starts_with("pc-i440fx-");
  };
  if (type.empty() || std::ranges::any_of(kKnown, same)) return;
  throw Error(
      Code::kInvalidArgument,
      "machine type " + type + " is not known: q35, pc and microvm are (hypervisor.qemu.machine_type)");
}

void check_vsock(const VmSpec& spec) {
  if (!spec.vsock) return;
  const VsockSpec& vsock = *spec.vsock;
  if (vsock.kind == VsockSpec::Kind::kVhost && vsock.vhost_fd < 0)
    throw Error(Code::kInvalidArgument, "vhost-vsock of VM " + spec.id + " has no open device");
  if (vsock.kind == VsockSpec::Kind::kVhostUser && vsock.socket.empty())
    throw Error(Code::kInvalidArgument, "vhost-user vsock of VM " + spec.id + " has no socket");
  if (vsock.kind == VsockSpec::Kind::kVhostUser && !spec.memory.shared)
    throw Error(Code::kInvalidArgument, "vhost-user vsock of VM " + spec.id + " needs shared guest memory");
}

std::pair<UniqueFd, UniqueFd> make_socket_pair() {
  std::array<int, 2> ends;
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0)
    throw_errno("making a socket pair");
  return {UniqueFd(ends[0]), UniqueFd(ends[1])};
}

std::pair<UniqueFd, UniqueFd> make_pipe() {
  std::array<int, 2> ends;
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) throw_errno("making a pipe");
  return {UniqueFd(ends[0]), UniqueFd(ends[1])};
}

// This thread is in another network namespace while the object lives; no await may happen meanwhile.
class NetnsScope {
 public:
  explicit NetnsScope(const std::string& path) {
    if (path.empty()) return;
    home_ = open_file("/proc/thread-self/ns/net", O_RDONLY);
    const UniqueFd target = open_file(path, O_RDONLY);
    if (::setns(target.get(), CLONE_NEWNET) != 0) throw_errno("entering network namespace " + path);
  }
  NetnsScope(const NetnsScope&) = delete;
  NetnsScope& operator=(const NetnsScope&) = delete;
  ~NetnsScope() {
    if (home_ && ::setns(home_.get(), CLONE_NEWNET) != 0)
      log::error("cannot return to the own network namespace: later sockets would be made in the pod's");
  }

 private:
  UniqueFd home_;
};

}  // namespace

// Debian's 6.12 cloud kernel (55 MiB of ELF) gets to its init with 64 MiB and an initrd of 1.5 MiB, with 112
// MiB and one of 22 MiB: the kernel once, the initrd twice (archive and unpacked files), some 8 MiB for
// itself. The agent and its modules need as much again.
uint64_t memory_floor_mib(uint64_t kernel_bytes, uint64_t initrd_bytes) {
  return (kernel_bytes + 2 * initrd_bytes + kMib - 1) / kMib + 16;
}

uint64_t kernel_memory_bytes(std::string_view head, uint64_t file_bytes) {
  constexpr size_t magic = 0x202, version = 0x206, init_size = 0x260;
  const auto number = [&head](size_t at, size_t bytes) {
    uint64_t value = 0;
    for (size_t i = bytes; i-- > 0;) value = value << 8 | static_cast<unsigned char>(head[at + i]);
    return value;
  };
  if (head.size() < init_size + 4 || head.substr(magic, 4) != "HdrS" || number(version, 2) < 0x20a)
    return file_bytes;
  return std::max(file_bytes, number(init_size, 4));
}

void raise_memory(VmSpec& spec) {
  if (spec.memory.too_small != MemorySpec::TooSmall::kRaise) return;
  const uint64_t kernel_file = require_file("guest kernel", spec.boot.kernel, "kernel");
  const uint64_t initrd = initrd_bytes(spec);
  const uint64_t kernel = kernel_memory_bytes(read_head(spec.boot.kernel), kernel_file);
  const uint64_t floor = (memory_floor_mib(kernel, initrd) + 1) / 2 * 2;
  if (spec.memory.mib >= floor) return;
  log::warning("the VM gets more memory than the pod's limit asks for: it could not boot",
               {{"wanted_mib", std::to_string(spec.memory.mib)}, {"mib", std::to_string(floor)}});
  // Room to grow is not lost by it.
  spec.memory.max_mib = std::max(floor, spec.memory.max_mib);
  spec.memory.mib = floor;
}

void check_spec(const VmSpec& spec) {
  require_file("QEMU", spec.program, "path");
  if (::access(spec.program.c_str(), X_OK) != 0)
    throw Error(Code::kPermissionDenied,
                "QEMU " + spec.program + " is not executable (hypervisor.qemu.path)");
  const uint64_t kernel_file = require_file("guest kernel", spec.boot.kernel, "kernel");
  if (spec.boot.initrd.empty() == spec.boot.image.empty())
    throw Error(Code::kInvalidArgument,
                "VM " + spec.id + " needs exactly one of hypervisor.qemu.initrd and hypervisor.qemu.image");
  const uint64_t initrd = initrd_bytes(spec);
  check_image(spec);
  if (!spec.boot.firmware.empty()) require_file("firmware", spec.boot.firmware, "firmware");
  check_machine(spec);
  if (spec.cpu.boot == 0) throw Error(Code::kInvalidArgument, "VM " + spec.id + " has no vCPU");
  const uint64_t kernel = kernel_memory_bytes(read_head(spec.boot.kernel), kernel_file);
  const uint64_t floor = memory_floor_mib(kernel, initrd);
  if (spec.memory.mib < floor)
    throw Error(Code::kFailedPrecondition, "VM " + spec.id + " has " + std::to_string(spec.memory.mib) +
                                               " MiB of memory, its kernel and initrd " + "need at least " +
                                               std::to_string(floor) +
                                               " MiB to boot: raise hypervisor.qemu.default_memory");
  if (!spec.shares.empty() && !spec.memory.shared)
    throw Error(Code::kInvalidArgument, "shared folders of VM " + spec.id + " need shared guest memory");
  check_vsock(spec);
}

std::string first_stage(const VmSpec& spec) {
  if (spec.boot.image.empty()) return {};
  std::string path = spec.boot.kernel + kFirstStageSuffix;
  return ::access(path.c_str(), R_OK) == 0 ? path : std::string();
}

std::string default_firmware(const VmSpec& spec, Accelerator accelerator, const std::string& system_folder) {
  const bool q35 = spec.machine_type.empty() || spec.machine_type.starts_with("q35");
  if (accelerator != Accelerator::kTcg || !q35) return {};
  const std::string beside = spec.program.substr(0, spec.program.rfind('/')) + "/../share/qemu";
  for (const std::string& folder : {beside, system_folder}) {
    std::string path = folder + "/qboot.rom";
    if (::access(path.c_str(), R_OK) == 0) return path;
  }
  return {};
}

Launched launch(const asio::any_io_executor& executor, VmSpec spec, Accelerator accelerator) {
  if (spec.boot.firmware.empty()) spec.boot.firmware = default_firmware(spec, accelerator);
  if (accelerator == Accelerator::kTcg) add_tsc_frequency(spec.boot.command_line, host_tsc_khz());
  auto [qmp_ours, qmp_theirs] = make_socket_pair();
  auto [error_read, error_write] = make_pipe();
  UniqueFd console_ours, console_theirs;
  if (spec.console) std::tie(console_ours, console_theirs) = make_socket_pair();
  LaunchFiles files{.first_stage = first_stage(spec)};
  if (!spec.boot.image.empty()) files.image_bytes = require_file("guest image", spec.boot.image, "image");
  CommandLine line = build_command_line(spec, accelerator,
                                        {.qmp = qmp_theirs.get(), .console = console_theirs.get()}, files);
  std::string text;
  for (const std::string& argument : line.argv) text += (text.empty() ? "" : " ") + argument;
  log::debug("starting QEMU", {{"command", text}});

  Command command;
  command.argv = std::move(line.argv);
  command.inherit = std::move(line.inherit);
  command.stderr_fd = error_write.get();
  command.stdout_fd = error_write.get();
  command.session = Command::Session::kOwn;
  command.join_cgroups = spec.cgroup_procs;
  const NetnsScope netns(spec.netns);
  return {.child = ChildProcess::start(executor, command),
          .qmp = std::move(qmp_ours),
          .console = std::move(console_ours),
          .error_output = std::move(error_read)};
}

}  // namespace kata::vmm::qemu
