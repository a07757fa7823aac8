// One row for each key whose effect is in this folder: a file with the row's lines must show what the same
// file without them does not.
#include "host/config/key_rows.h"

#include <sstream>

#include <gmock/gmock.h>

#include "host/config/cri_annotations.h"
#include "host/config/derived.h"
#include "host/config/guest_command_line.h"
#include "host/config/sizing.h"
#include "host/config/testing.h"

namespace kata::config {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

struct KeyRow {
  std::string key;
  // Lines for the key's own table; "[" begins tables of their own.
  std::string lines = {};
  // What the result then shows.
  std::string expected = {};
  // Lines of other keys that both files have: for the hypervisor table, then for others.
  std::string hypervisor = {}, agent = {}, runtime = {};
  Annotations annotations = {};
};

// Everything that this folder makes of a configuration, as text.
std::string observe(const ConfigFolder& folder, const std::string& text, const Annotations& annotations) {
  std::ostringstream out;
  try {
    const Config config = folder.load_text(text, annotations);
    const HypervisorConfig& hypervisor = config.hypervisor;
    out << "line: " << guest_command_line(config) << " \n";
    const VmSize size = size_vm(config, {.vcpus = 2, .memory_mib = 512}, {.cpus = 8, .memory_mib = 16384});
    out << "size: " << size.vcpus << " vCPUs, " << size.memory_mib << " MiB\n";
    const LogLevels levels = log_levels(config);
    out << "levels: runtime=" << levels.runtime << " agent=" << levels.agent
        << " hypervisor=" << levels.hypervisor << "\n";
    const AgentTimes times = agent_times(config.agent);
    out << "times: reconnect=" << times.reconnect.count() << " pause=" << times.first_pause.count()
        << " request=" << times.request.count() << "\n";
    out << "active: " << config.runtime.name << " " << config.hypervisor_name << " " << config.agent_name
        << "\n";
    out << "paths: " << hypervisor.path << " " << hypervisor.jailer_path
        << " store=" << hypervisor.vhost_user_store_path << " daemon=" << hypervisor.virtio_fs_daemon
        << " entropy=" << hypervisor.entropy_source << "\n";
    out << "disks: driver=" << hypervisor.block_device_driver << "\n";
    out << "dax: " << hypervisor.virtio_fs_is_dax << " " << hypervisor.virtio_fs_cache_size << "\n";
    out << "features: " << hypervisor.cpu_features << "\n";
    for (const std::string& warning : config.warnings) out << "warning: " << warning << "\n";
  } catch (const Error& error) {
    out << "error: " << error.message();
  }
  return out.str();
}

const std::string kHypervisorAnnotation = "io.katacontainers.config.hypervisor.";
const std::string kImage = "image = \"@/guest.img\"";
const std::string kVerity = "root_hash=ab,salt=cd,data_blocks=8,data_block_size=4096,hash_block_size=4096";

std::vector<KeyRow> device_rows() {
  return {
      {.key = "hypervisor.valid_hypervisor_paths",
       .lines = "valid_hypervisor_paths = [\"@/f*\"]",
       .expected = "paths: @/firmware",
       .hypervisor = "enable_annotations = [\"path\"]",
       .annotations = {{kHypervisorAnnotation + "path", "@/firmware"}}},
      {.key = "hypervisor.jailer_path",
       .lines = "jailer_path = \"@/qemu\"",
       .expected = "qemu does not support it"},
      {.key = "hypervisor.valid_jailer_paths",
       .lines = "valid_jailer_paths = [\"@/qemu\"]",
       .expected = "valid_jailer_paths in"},
      {.key = "hypervisor.disable_guest_selinux",
       .lines = "disable_guest_selinux = false",
       .expected = " selinux=1 "},
      {.key = "hypervisor.disable_block_device_use",
       .lines = "disable_block_device_use = true",
       .expected = "driver=\n"},
      {.key = "hypervisor.enable_vhost_user_store",
       .lines = "enable_vhost_user_store = true",
       .expected = "store=@/qemu",
       .hypervisor = "vhost_user_store_path = \"@/qemu\""},
      {.key = "hypervisor.vhost_user_store_path",
       .lines = "vhost_user_store_path = \"@/qemu\"",
       .expected = "store=@/qemu",
       .hypervisor = "enable_vhost_user_store = true"},
      {.key = "hypervisor.valid_vhost_user_store_paths",
       .lines = "valid_vhost_user_store_paths = [\"@/qemu\"]",
       .expected = "store=@/qemu",
       .hypervisor = "enable_annotations = [\".\"]\nenable_vhost_user_store = true",
       .annotations = {{kHypervisorAnnotation + "vhost_user_store_path", "@/qemu"}}},
  };
}

std::vector<KeyRow> boot_rows() {
  return {
      {.key = "hypervisor.kernel_params",
       .lines = "kernel_params = \"one two=2\"",
       .expected = " one two=2 \n"},
      {.key = "hypervisor.kernel_verity_params",
       .lines = "kernel_verity_params = \"" + kVerity + "\"",
       .expected = "dm-mod.create=\"dm-verity,,,ro,0 64 verity 1 /dev/vda1 /dev/vda2 4096 4096 8 0 sha256 ab "
                   "cd\" root=/dev/dm-0 ",
       .hypervisor = kImage},
      {.key = "hypervisor.rootfs_type",
       .lines = "rootfs_type = \"erofs\"",
       .expected = "root=/dev/vda1 rootflags=ro rootfstype=erofs",
       .hypervisor = kImage},
      {.key = "hypervisor.vm_rootfs_driver",
       .lines = "vm_rootfs_driver = \"virtio-pmem\"",
       .expected = "root=/dev/pmem0p1 rootflags=dax,data=ordered,errors=remount-ro ro rootfstype=ext4",
       .hypervisor = kImage},
      {.key = "hypervisor.guest_extension_images.name",
       .lines = "[[hypervisor.qemu.guest_extension_images]]\nname = \"gpu\"",
       .expected = " kata.extension.gpu.verity_params "},
      {.key = "hypervisor.guest_extension_images.path",
       .lines = "[[hypervisor.qemu.guest_extension_images]]\nname = \"gpu\"\npath = \"/none\"",
       .expected = "guest_extension_images[0].path in"},
      {.key = "hypervisor.guest_extension_images.verity_params",
       .lines =
           "[[hypervisor.qemu.guest_extension_images]]\nname = \"gpu\"\nverity_params = \"" + kVerity + "\"",
       .expected = " kata.extension.gpu.verity_params=root_hash=ab,"},
  };
}

std::vector<KeyRow> other_hypervisor_rows() {
  return {
      {.key = "hypervisor.overhead_vcpus",
       .lines = "overhead_vcpus = 0.2",
       .expected = "size: 3 vCPUs",
       .runtime = "static_sandbox_resource_mgmt = true"},
      {.key = "hypervisor.overhead_memory",
       .lines = "overhead_memory = 32",
       .expected = " 544 MiB",
       .runtime = "static_sandbox_resource_mgmt = true"},
      {.key = "hypervisor.enable_debug",
       .lines = "enable_debug = true",
       .expected = " agent.log_vport=1025 "},
      {.key = "hypervisor.log_level", .lines = "log_level = \"warn\"", .expected = "hypervisor=warn"},
      {.key = "hypervisor.valid_entropy_sources",
       .lines = "valid_entropy_sources = [\"/dev/random\"]",
       .expected = "entropy=/dev/random",
       .hypervisor = "enable_annotations = [\".\"]",
       .annotations = {{kHypervisorAnnotation + "entropy_source", "/dev/random"}}},
      {.key = "hypervisor.enable_guest_swap",
       .lines = "enable_guest_swap = true",
       .expected = "enable_guest_swap in"},
      {.key = "hypervisor.enable_annotations",
       .lines = "enable_annotations = [\"cpu\"]",
       .expected = "features: x",
       .annotations = {{kHypervisorAnnotation + "cpu_features", "x"}}},
      {.key = "hypervisor.valid_virtio_fs_daemon_paths",
       .lines = "valid_virtio_fs_daemon_paths = [\"@/v*d\"]",
       .expected = "daemon=@/virtiofsd",
       .hypervisor = "enable_annotations = [\".\"]",
       .annotations = {{kHypervisorAnnotation + "virtio_fs_daemon", "@/virtiofsd"}}},
      {.key = "hypervisor.virtio_fs_cache_size",
       .lines = "virtio_fs_cache_size = 64",
       .expected = "dax: 1 64"},
      {.key = "hypervisor.virtio_fs_is_dax", .lines = "virtio_fs_is_dax = true", .expected = "dax: 1 1024"},
  };
}

std::vector<KeyRow> agent_rows() {
  const std::string on = "[agent.kata.mem_agent]\nenable = true\n";
  std::vector<KeyRow> rows{
      {.key = "agent.enable_debug", .lines = "enable_debug = true", .expected = " agent.log=debug "},
      {.key = "agent.log_level", .lines = "log_level = \"error\"", .expected = "agent=error"},
      {.key = "agent.enable_tracing", .lines = "enable_tracing = true", .expected = " agent.trace=true "},
      {.key = "agent.debug_console_enabled",
       .lines = "debug_console_enabled = true",
       .expected = " agent.debug_console agent.debug_console_vport=1026 "},
      {.key = "agent.visible_cdi_devices",
       .lines = "visible_cdi_devices = true",
       .expected = " agent.visible_cdi_devices=true "},
      {.key = "agent.log_port",
       .lines = "log_port = 99",
       .expected = " agent.log_vport=99 ",
       .hypervisor = "enable_debug = true"},
      {.key = "agent.dial_timeout_ms", .lines = "dial_timeout_ms = 45", .expected = "pause=45"},
      {.key = "agent.reconnect_timeout_ms",
       .lines = "reconnect_timeout_ms = 45000",
       .expected = "reconnect=45000"},
      {.key = "agent.cdh_api_timeout_ms",
       .lines = "cdh_api_timeout_ms = 1500",
       .expected = " agent.cdh_api_timeout=2 "},
      {.key = "agent.create_container_timeout",
       .lines = "create_container_timeout = 7",
       .expected = "request=7000"},
      {.key = "agent.container_pipe_size",
       .lines = "container_pipe_size = 4096",
       .expected = " agent.container_pipe_size=4096 "},
      {.key = "agent.launch_process_timeout",
       .lines = "launch_process_timeout = 6",
       .expected = " agent.launch_process_timeout=6 "},
      {.key = "agent.mem_agent.enable", .lines = on, .expected = " agent.mem_agent_enable=1 psi=1 "},
  };
  for (const char* flag : {"memcg_disable", "memcg_swap", "compact_disable"}) {
    rows.push_back({.key = std::string("agent.mem_agent.") + flag,
                    .lines = on + flag + " = false",
                    .expected = std::string(" agent.mem_agent_") + flag + "=false "});
  }
  for (const char* number :
       {"memcg_swappiness_max", "memcg_period_secs", "memcg_period_psi_percent_limit",
        "memcg_eviction_psi_percent_limit", "memcg_eviction_run_aging_count_min", "compact_period_secs",
        "compact_period_psi_percent_limit", "compact_psi_percent_limit", "compact_sec_max", "compact_order",
        "compact_threshold", "compact_force_times"}) {
    rows.push_back({.key = std::string("agent.mem_agent.") + number,
                    .lines = on + number + " = 7",
                    .expected = std::string(" agent.mem_agent_enable=1 agent.mem_agent_") + number + "=7 "});
  }
  return rows;
}

std::vector<KeyRow> runtime_rows() {
  return {
      {.key = "runtime.enable_debug", .lines = "enable_debug = true", .expected = "runtime=debug"},
      {.key = "runtime.log_level", .lines = "log_level = \"warn\"", .expected = "runtime=warn"},
      {.key = "runtime.static_sandbox_resource_mgmt",
       .lines = "static_sandbox_resource_mgmt = true",
       .expected = "size: 2 vCPUs, 512 MiB"},
  };
}

std::string table_of(const KeyRow& row) {
  return row.key.substr(0, row.key.find('.'));
}

void check(const KeyRow& row) {
  const ConfigFolder folder;
  // A file with an image has no initrd.
  const auto text = [&](const std::string& lines) {
    const std::string table = lines.starts_with('[') ? "more" : table_of(row);
    const auto with = [&](const char* name, const std::string& common) {
      return common + "\n" + (table == name ? lines : "");
    };
    std::string whole = folder.text(with("hypervisor", row.hypervisor), with("agent", row.agent),
                                    with("runtime", row.runtime), with("more", ""));
    if (row.hypervisor == kImage)
      whole.erase(whole.find("initrd ="), whole.find("image =") - whole.find("initrd ="));
    return whole;
  };
  Annotations annotations;
  for (const auto& [name, value] : row.annotations) annotations[name] = folder.expand(value);
  const std::string expected = folder.expand(row.expected);
  EXPECT_THAT(observe(folder, text(row.lines), annotations), HasSubstr(expected)) << row.key;
  EXPECT_THAT(observe(folder, text(""), annotations), Not(HasSubstr(expected)))
      << row.key << " without its lines";
}

std::vector<KeyRow> all_rows() {
  std::vector<KeyRow> all;
  for (const auto& rows :
       {device_rows(), boot_rows(), other_hypervisor_rows(), agent_rows(), runtime_rows()}) {
    all.insert(all.end(), rows.begin(), rows.end());
  }
  return all;
}

TEST(KeyRows, EachKeyHasItsEffect) {
  for (const KeyRow& row : all_rows()) check(row);
}

// The three names select tables: shown by whole files.
TEST(KeyRows, NamesSelectTables) {
  const ConfigFolder folder;
  const std::string text = folder.expand(
      "[hypervisor.qemu]\n[hypervisor.clh]\npath = \"@/qemu\"\nkernel = \"@/vmlinux\"\nimage = "
      "\"@/guest.img\"\n[agent.kata]\n[agent.other]\n"
      "[runtime]\nname = \"virt_container\"\nhypervisor_name = \"clh\"\nagent_name = \"other\"\n");
  EXPECT_THAT(observe(folder, text, {}), HasSubstr("active: virt_container clh other"));
}

TEST(KeyRows, NoKeyInUseIsWithoutOne) {
  std::vector<KeyRow> rows = all_rows();
  for (const char* name : {"runtime.name", "runtime.hypervisor_name", "runtime.agent_name"}) {
    rows.push_back({.key = name});
  }
  EXPECT_THAT(keys_without_row(Use::kConfig, rows), IsEmpty());
}

TEST(KeyRows, RowsNameRealKeys) {
  const std::vector<std::string> in_use = keys_with(Use::kConfig);
  for (const KeyRow& row : all_rows()) {
    EXPECT_NE(std::find(in_use.begin(), in_use.end(), row.key), in_use.end()) << row.key;
  }
}

// The tables of rows of the other folders: a Use without a test that asks for its rows would promise nothing.
TEST(KeyRows, EveryUseHasItsTest) {
  const char* const plan_test = "src/host/sandbox/vm_plan_test.cpp";
  const std::pair<Use, const char*> places[] = {
      {Use::kVm, plan_test}, {Use::kShare, plan_test}, {Use::kAgent, plan_test}, {Use::kSandbox, plan_test}};
  for (const auto& [use, file] : places) {
    EXPECT_FALSE(keys_with(use).empty());
    EXPECT_THAT(read_file(file), HasSubstr("keys_without_row(config::Use::k")) << file;
  }
}

}  // namespace
}  // namespace kata::config
