#include "host/config/guest_command_line.h"

#include <algorithm>
#include <cstddef>
#include <optional>
#include <type_traits>
#include <vector>

#include "host/config/kernel_params.h"
#include "host/config/verity.h"
#include "lib/error/error.h"

namespace kata::config {

namespace {

using Params = std::vector<std::string>;

// COMMAND_LINE_SIZE of x86 and arm64 is 2048 with the terminating NUL; 512 bytes are left to the driver's
// words.
constexpr std::size_t kMostBytes = 2047 - 512;

constexpr std::string_view kMemAgentEnable = "agent.mem_agent_enable";

template <typename T>
void add_mem_agent_key(Params& params, std::string_view name, const T& value) {
  if constexpr (!std::is_same_v<T, bool>) {  // `enable` itself
    if (!value) return;
    std::string text;
    if constexpr (std::is_same_v<T, OptionalBool>) {
      text = *value ? "true" : "false";
    } else {
      text = std::to_string(*value);
    }
    params.push_back("agent.mem_agent_" + std::string(name) + "=" + text);
  }
}

void add_mem_agent(Params& params, const MemAgentConfig& mem_agent) {
  if (!mem_agent.enable) return;
  params.push_back("psi=1");
  params.push_back(std::string(kMemAgentEnable) + "=1");
#define KATA_KEY(type, name, ...) add_mem_agent_key(params, #name, mem_agent.name);
#include "host/config/keys/mem_agent.def"
#undef KATA_KEY
}

void sort_by_name(Params& params) {
  // No name appears twice.
  const auto order = [](const std::string& param) {
    const std::string_view name = kernel_param_name(param);
    return name == kMemAgentEnable ? name.substr(0, name.size() - std::string_view("enable").size()) : name;
  };
  std::ranges::sort(params, {}, order);
}

struct RootDevice {
  std::string data, hash;
  bool dax = false;
};

RootDevice root_device(const Config& config) {
  const std::string& driver = config.hypervisor.vm_rootfs_driver;
  if (driver == "virtio-pmem") return {.data = "/dev/pmem0p1", .hash = "/dev/pmem0p2", .dax = true};
  if (driver != "virtio-scsi") return {.data = "/dev/vda1", .hash = "/dev/vda2"};
  throw Error(Code::kInvalidArgument,
              config.describe("hypervisor.vm_rootfs_driver") + " is \"" + driver +
                  "\", which no root device name is known for; use virtio-blk-pci or virtio-pmem");
}

std::string root_flags(const std::string& rootfs_type, bool dax) {
  if (rootfs_type == "ext4") return std::string(dax ? "dax," : "") + "data=ordered,errors=remount-ro ro";
  return dax ? "dax ro" : "ro";
}

// dm-init's table (Documentation/admin-guide/device-mapper/dm-init.rst).
std::string verity_table(const VerityParams& verity, const RootDevice& root) {
  const auto text = [](uint64_t number) { return std::to_string(number); };
  const uint64_t sectors = verity.data_block_size / 512 * verity.data_blocks;
  return "dm-mod.create=\"dm-verity,,,ro,0 " + text(sectors) + " verity 1 " + root.data + " " + root.hash +
         " " + text(verity.data_block_size) + " " + text(verity.hash_block_size) + " " +
         text(verity.data_blocks) + " 0 sha256 " + verity.root_hash + " " + verity.salt + "\"";
}

void add_root(Params& params, const Config& config) {
  const HypervisorConfig& hypervisor = config.hypervisor;
  if (hypervisor.image.empty()) return;
  const RootDevice root = root_device(config);
  const bool with_verity = !hypervisor.kernel_verity_params.empty();
  if (with_verity) {
    const auto verity = parse_verity(hypervisor.kernel_verity_params);
    if (!verity) {
      throw Error(Code::kInvalidArgument,
                  config.describe("hypervisor.kernel_verity_params") + ": " + verity.error());
    }
    params.push_back(verity_table(*verity, root));
  }
  params.push_back("root=" + (with_verity ? std::string("/dev/dm-0") : root.data));
  params.push_back("rootflags=" + root_flags(hypervisor.rootfs_type, root.dax && !with_verity));
  if (!hypervisor.rootfs_type.empty()) params.push_back("rootfstype=" + hypervisor.rootfs_type);
}

void add_extensions(Params& params, const std::vector<ExtensionImage>& images) {
  for (const ExtensionImage& image : images) {
    const std::string name = "kata.extension." + image.name + ".verity_params";
    params.push_back(image.verity_params.empty() ? name : name + "=" + image.verity_params);
  }
}

void add_fixed(Params& params, const Config& config) {
  params.insert(params.end(), {"systemd.unit=kata-containers.target", "systemd.mask=systemd-networkd.service",
                               "systemd.mask=systemd-networkd.socket"});
  if (config.hypervisor_name == "qemu") {
    params.push_back(config.hypervisor.disable_guest_selinux ? "selinux=0" : "selinux=1");
  }
}

}  // namespace

std::string agent_kernel_params(const Config& config) {
  const AgentConfig& agent = config.agent;
  Params params;
  const auto number = [&](const char* name, uint64_t value) {
    if (value > 0) params.push_back(std::string(name) + "=" + std::to_string(value));
  };
  if (agent.enable_debug) params.push_back("agent.log=debug");
  if (agent.enable_tracing) params.push_back("agent.trace=true");
  if (agent.debug_console_enabled) {
    params.push_back("agent.debug_console");
    number("agent.debug_console_vport", kDebugConsolePort);
  }
  if (agent.visible_cdi_devices) params.push_back("agent.visible_cdi_devices=true");
  // The agent counts in seconds and takes 0 as "not given": round up.
  number("agent.cdh_api_timeout", (uint64_t{agent.cdh_api_timeout_ms} + 999) / 1000);
  number("agent.container_pipe_size", agent.container_pipe_size);
  number("agent.launch_process_timeout", agent.launch_process_timeout);
  if (config.hypervisor.enable_debug) number("agent.log_vport", agent.log_port);
  if (config.runtime.use_passfd_io) number("agent.passfd_listener_port", config.runtime.passfd_listener_port);
  add_mem_agent(params, agent.mem_agent);
  sort_by_name(params);
  return join_kernel_params(params);
}

std::string guest_command_line(const Config& config) {
  Params params;
  add_root(params, config);
  add_extensions(params, config.hypervisor.guest_extension_images);
  add_fixed(params, config);
  for (const std::string& part : {agent_kernel_params(config), config.hypervisor.kernel_params}) {
    if (!part.empty()) params.push_back(part);
  }
  std::string line = join_kernel_params(params);
  if (line.size() > kMostBytes) {
    throw Error(Code::kInvalidArgument, "the guest kernel's command line has " + std::to_string(line.size()) +
                                            " bytes, and there is room for " + std::to_string(kMostBytes) +
                                            "; shorten " + config.describe("hypervisor.kernel_params"));
  }
  return line;
}

}  // namespace kata::config
