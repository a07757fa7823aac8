// One row for each configuration key whose effect is the VM: the row's line must put into QEMU's command line
// what the same file without it does not have there.
#include "host/sandbox/vm_plan.h"

#include <string>
#include <vector>

#include <gmock/gmock.h>

#include "host/config/derived.h"
#include "host/config/guest_command_line.h"
#include "host/config/key_rows.h"
#include "host/config/testing.h"
#include "host/sandbox/sandbox_resources.h"
#include "host/vmm/qemu/command_line.h"

namespace kata::sandbox {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

struct Row {
  std::string key, line, expected;
};

const std::vector<Row>& rows() {
  static const std::vector<Row> kRows{
      {"hypervisor.path", "path = \"@/virtiofsd\"", "@/virtiofsd "},
      {"hypervisor.kernel", "kernel = \"@/firmware\"", "-kernel @/firmware "},
      {"hypervisor.initrd", "initrd = \"@/guest.img\"", "-initrd @/guest.img "},
      {"hypervisor.firmware", "firmware = \"@/firmware\"", "-bios @/firmware "},
      {"hypervisor.cpu_features", "cpu_features = \"pmu=off\"", ",pmu=off "},
      {"hypervisor.default_vcpus", "default_vcpus = 2.5", " maxcpus=3 "},
      {"hypervisor.default_maxvcpus", "default_maxvcpus = 5", "-smp 5 "},
      {"hypervisor.machine_type", "machine_type = \"microvm\"", "-machine microvm"},
      {"hypervisor.machine_accelerators", "machine_accelerators = \"graphics=off\"", ",graphics=off"},
      {"hypervisor.default_memory", "default_memory = 300", "-m 300M"},
      {"hypervisor.default_maxmemory", "default_maxmemory = 1000", "maxmem=1000M"},
      {"hypervisor.memory_slots", "memory_slots = 7", "slots=7"},
      {"hypervisor.memory_offset", "memory_offset = 24", "maxmem=16408M"},
      {"hypervisor.enable_virtio_mem", "enable_virtio_mem = true", "-device virtio-mem-pci"},
      {"hypervisor.reclaim_guest_freed_memory", "reclaim_guest_freed_memory = true",
       "free-page-reporting=on"},
      {"hypervisor.enable_mem_prealloc", "enable_mem_prealloc = true", "prealloc=on"},
      {"hypervisor.enable_hugepages", "enable_hugepages = true", "hugetlb=on"},
      {"hypervisor.block_device_driver", "block_device_driver = \"virtio-scsi\"\nenable_iothreads = true",
       "id=scsi-io-thread"},
      {"hypervisor.enable_iothreads", "enable_iothreads = true\nindep_iothreads = 2", "id=indep_iothread_1"},
      {"hypervisor.indep_iothreads", "indep_iothreads = 3\nenable_iothreads = true", "id=indep_iothread_2"},
      {"hypervisor.block_device_aio", "block_device_aio = \"threads\"", R"("aio":"threads")"},
      {"hypervisor.block_device_cache_direct", "block_device_cache_direct = true", R"("direct":true)"},
      {"hypervisor.block_device_cache_noflush", "block_device_cache_noflush = true", R"("no-flush":true)"},
      {"hypervisor.block_device_logical_sector_size",
       "block_device_logical_sector_size = 512\nblock_device_physical_sector_size = 4096",
       R"("logical_block_size":512)"},
      {"hypervisor.block_device_physical_sector_size", "block_device_physical_sector_size = 4096",
       R"("physical_block_size":4096)"},
      {"hypervisor.num_queues", "num_queues = 3", R"("num-queues":3)"},
      {"hypervisor.queue_size", "queue_size = 64", R"("queue-size":64)"},
      {"hypervisor.disk_rate_limiter_bw_max_rate", "disk_rate_limiter_bw_max_rate = 1000",
       R"("bps-total":1000)"},
      {"hypervisor.disk_rate_limiter_bw_one_time_burst",
       "disk_rate_limiter_bw_one_time_burst = 500\ndisk_rate_limiter_bw_max_rate = 1000",
       R"("bps-total-max":1500)"},
      {"hypervisor.disk_rate_limiter_ops_max_rate", "disk_rate_limiter_ops_max_rate = 20",
       R"("iops-total":20)"},
      {"hypervisor.disk_rate_limiter_ops_one_time_burst",
       "disk_rate_limiter_ops_one_time_burst = 5\ndisk_rate_limiter_ops_max_rate = 20",
       R"("iops-total-max":25)"},
      {"hypervisor.seccomp_sandbox", "seccomp_sandbox = \"on,spawn=deny\"", "-sandbox on,spawn=deny "},
  };
  return kRows;
}

std::string command_line(const config::ConfigFolder& folder, const std::string& text) {
  const config::Config config = folder.load_text(text);
  vmm::VmSpec spec = plan_vm("sb1", config, "/run/x");
  spec.boot.command_line = config::guest_command_line(config);
  spec.disks = {vmm::DiskSpec{.id = "drive-1", .number = 1, .files = {0}}};
  const vmm::Accelerator accelerator =
      spec.accelerator == vmm::Accelerator::kKvm ? vmm::Accelerator::kKvm : vmm::Accelerator::kTcg;
  std::string line;
  for (const std::string& word : vmm::qemu::build_command_line(spec, accelerator, {}).argv)
    line += word + " ";
  return line;
}

// The folder's file with the row's line instead of what it says for that key.
std::string with_line(const config::ConfigFolder& folder, const Row& row) {
  std::string text = folder.text();
  const std::string start = "\n" + row.line.substr(0, row.line.find(" = ")) + " = ";
  const std::size_t at = text.find(start);
  if (at == std::string::npos) return folder.text(row.line);
  return text.replace(at + 1, text.find('\n', at + 1) - at - 1, folder.expand(row.line));
}

TEST(VmPlan, EachKeyReachesTheCommandLine) {
  const config::ConfigFolder folder;
  for (const Row& row : rows()) {
    const std::string expected = folder.expand(row.expected);
    EXPECT_THAT(command_line(folder, with_line(folder, row)), HasSubstr(expected)) << row.key;
    EXPECT_THAT(command_line(folder, folder.text()), Not(HasSubstr(expected)))
        << row.key << " without its line";
  }
}

// Keys that act on the shared tree, on the agent's messages and on the sandbox itself: the line changes what
// `show` shows.
struct ShownRow {
  std::string key, line, expected;
  std::string (*show)(const config::Config& config);
};

std::string show_share(const config::Config& config) {
  const share_fs::ShareFsConfig plan = plan_share("sb1", config, RunDir("sb1"));
  const char* kind = plan_share_kind(config) == ShareKind::kCopies ? "copies " : "virtio-fs ";
  std::string text =
      kind + plan.daemon + " cache=" + plan.cache + " queue=" + std::to_string(plan.queue_size);
  for (const std::string& arg : plan.extra_args) text += " arg=" + arg;
  for (const auto& mount : plan.sandbox_mounts)
    text +=
        " mount=" + mount.source + (mount.access == share_fs::ShareTree::Access::kReadOnly ? " ro" : " rw");
  return text;
}

std::string show_agent(const config::Config& config) {
  const agent::SandboxSetup setup = plan_guest("sb1", config, oci::Spec{});
  std::string text = "hooks=" + setup.guest_hook_path;
  for (const agent::KernelModule& module : setup.kernel_modules) text += " module=" + module.name;
  oci::Spec spec;
  spec.linux_config.emplace().seccomp.emplace();
  text += guest_spec(spec, plan_spec_rules(config)).linux_config->seccomp ? " seccomp" : " no-seccomp";
  for (const agent::SharedMount& mount : plan_shared_mounts(config, "second"))
    text += " shared=" + mount.source_container + mount.source_path + mount.target_path;
  return text;
}

std::string show_network(const config::Config& config) {
  oci::Spec spec;
  spec.linux_config.emplace().namespaces = {{.type = "pid", .path = "/p"}, {.type = "network", .path = "/n"}};
  const network::NetworkConfig plan = plan_network("sb1", config, spec, RunDir("sb1"));
  return "netns=" + plan.netns + " model=" + std::to_string(static_cast<int>(plan.model)) +
         " queues=" + std::to_string(plan.queues) + " rx=" + std::to_string(plan.limits.received) +
         " tx=" + std::to_string(plan.limits.sent) +
         " vhost-net=" + (plan.vhost_net == network::NetworkConfig::VhostNet::kNever ? "never" : "if there") +
         " direct=" + plan.direct.file + ":" + std::to_string(plan.direct.queues) + " end";
}

std::string show_sandbox(const config::Config& config) {
  const vsock::TransportConfig transport = plan_transport(config, RunDir("sb1"));
  return "port=" + std::to_string(config.agent.server_port) +
         " health=" + std::to_string(config::agent_times(config.agent).health_check.count()) +
         " transport=" + std::to_string(static_cast<int>(transport.mode)) +
         " device=" + transport.device_program + " " + show_network(config);
}

std::string show_cgroups(const config::Config& config) {
  return "overhead=" + node_cgroup::plan_cgroups("/a", "sb1", cgroup_placement(config)).overhead + " ";
}

std::string show_volumes(const config::Config& config) {
  return "emptydirs=" + std::to_string(static_cast<int>(plan_volumes("sb1", config).empty_dirs)) + " ";
}

std::string show_pinning(const config::Config& config) {
  return "pinned=" + std::to_string(plan_pinning(config, 2, "0,3").size()) +
         " not=" + std::to_string(plan_pinning(config, 2, "0").size()) + " ";
}

std::string show_stdio(const config::Config& config) {
  return "drain=" +
         std::to_string(
             std::chrono::duration_cast<std::chrono::milliseconds>(plan_stdio(config, "k8s.io").drain_limit)
                 .count()) +
         " ";
}

std::string show_loss(const config::Config& config) {
  return plan_agent_loss(config) == AgentLoss::kKept ? "kept" : "ends";
}

std::string text_with(const config::ConfigFolder& folder, const ShownRow& row) {
  if (row.key.starts_with("agent.")) return folder.text("", row.line);
  if (row.key.starts_with("runtime.")) return folder.text("", "", row.line);
  return folder.text(row.line);
}

const ShownRow kShareRows[] = {
    {"hypervisor.shared_fs", "shared_fs = \"virtio-fs\"\nvirtio_fs_daemon = \"@/firmware\"", "virtio-fs ",
     show_share},
    {"hypervisor.virtio_fs_daemon", "virtio_fs_daemon = \"@/firmware\"", "@/firmware ", show_share},
    {"hypervisor.virtio_fs_extra_args", "virtio_fs_extra_args = [\"--x\"]", " arg=--x", show_share},
    {"hypervisor.virtio_fs_cache", "virtio_fs_cache = \"always\"", " cache=always", show_share},
    {"hypervisor.virtio_fs_queue_size", "virtio_fs_queue_size = 512", " queue=512", show_share},
    {"runtime.sandbox_bind_mounts",
     "sandbox_bind_mounts = [\"@/firmware\", \"@/vmlinux:ro\", \"@/initrd.img:rw\"]",
     " mount=@/firmware ro mount=@/vmlinux ro mount=@/initrd.img rw", show_share},
};

const ShownRow kAgentRows[] = {
    {"hypervisor.guest_hook_path", "guest_hook_path = \"@\"", "hooks=@", show_agent},
    {"agent.kernel_modules", "kernel_modules = [\"e1000 debug=1\"]", " module=e1000", show_agent},
    {"runtime.shared_mounts",
     "[[runtime.shared_mounts]]\nname = \"a\"\nsrc_ctr = \"first\"\nsrc_path = \"/x\"\ndst_ctr = "
     "\"second\"\ndst_path = \"/y\"\n[[runtime.shared_mounts]]\nname = \"b\"\nsrc_ctr = \"first\"\nsrc_path "
     "= "
     "\"/x\"\ndst_ctr = \"third\"\ndst_path = \"/z\"",
     " shared=first/x/y", show_agent},
    {"runtime.disable_guest_seccomp", "disable_guest_seccomp = true", " no-seccomp", show_agent},
};

const ShownRow kSandboxRows[] = {
    {"runtime.stdio_drain_timeout_ms", "stdio_drain_timeout_ms = 321", "drain=321 ", show_stdio},
    {"runtime.keep_abnormal", "keep_abnormal = true", "kept", show_loss},
    {"runtime.sandbox_cgroup_only", "sandbox_cgroup_only = true", "overhead= ", show_cgroups},
    {"runtime.emptydir_mode", "emptydir_mode = \"block-plain\"", "emptydirs=1 ", show_volumes},
    {"runtime.enable_vcpus_pinning", "enable_vcpus_pinning = true", "pinned=2 not=0 ", show_pinning},
    {"agent.server_port", "server_port = 4711", "port=4711 ", show_sandbox},
    {"agent.health_check_request_timeout_ms", "health_check_request_timeout_ms = 1234", "health=1234 ",
     show_sandbox},
    {"hypervisor.agent_transport", "agent_transport = \"vhost-user\"", "transport=2 ", show_sandbox},
    {"hypervisor.vsock_device_path", "vsock_device_path = \"@/vsockdev\"", "device=@/vsockdev", show_sandbox},
    {"hypervisor.network_queues", "network_queues = 4", "queues=4 ", show_sandbox},
    {"hypervisor.rx_rate_limiter_max_rate", "rx_rate_limiter_max_rate = 9000", "rx=9000 ", show_sandbox},
    {"hypervisor.tx_rate_limiter_max_rate", "tx_rate_limiter_max_rate = 7000", "tx=7000 ", show_sandbox},
    {"hypervisor.disable_vhost_net", "disable_vhost_net = true", "vhost-net=never", show_sandbox},
    {"runtime.internetworking_model", "internetworking_model = \"macvtap\"", "model=1 ", show_sandbox},
    {"runtime.dan_conf", "dan_conf = \"@/dans\"", "direct=@/dans/sb1.json:1 ", show_sandbox},
    {"runtime.disable_new_netns", "internetworking_model = \"none\"\ndisable_new_netns = true",
     "netns= ", show_sandbox},
};

TEST(VmPlan, EachKeyShowsInItsPlan) {
  const config::ConfigFolder folder;
  std::vector<ShownRow> rows(std::begin(kShareRows), std::end(kShareRows));
  rows.insert(rows.end(), std::begin(kAgentRows), std::end(kAgentRows));
  rows.insert(rows.end(), std::begin(kSandboxRows), std::end(kSandboxRows));
  for (const ShownRow& row : rows) {
    const std::string expected = folder.expand(row.expected);
    EXPECT_THAT(row.show(folder.load_text(text_with(folder, row))), HasSubstr(expected)) << row.key;
    EXPECT_THAT(row.show(folder.load_text(folder.text())), Not(HasSubstr(expected)))
        << row.key << " without its line";
  }
  EXPECT_THAT(keys_without_row(config::Use::kShare, kShareRows), IsEmpty());
  EXPECT_THAT(keys_without_row(config::Use::kAgent, kAgentRows), IsEmpty());
  EXPECT_THAT(keys_without_row(config::Use::kSandbox, kSandboxRows), IsEmpty());
}

TEST(VmPlan, SandboxMountsThatCannotBe) {
  config::Config config;
  for (const auto& [mounts, words] : std::vector<std::pair<std::vector<std::string>, std::string>>{
           {{"/a/same", "/b/same:rw"}, "/a/same and /b/same would have the same place"},
           {{"/"}, "no absolute path with a name"},
           {{"/:rw"}, "no absolute path with a name"},
           {{"here"}, "no absolute path with a name"}}) {
    config.runtime.sandbox_bind_mounts = mounts;
    try {
      plan_share("sb1", config, RunDir("sb1"));
      ADD_FAILURE() << mounts.front();
    } catch (const Error& error) {
      EXPECT_THAT(error.message(), HasSubstr(words));
    }
  }
}

TEST(VmPlan, WaysOfTheNodesFiles) {
  const config::ConfigFolder folder;
  struct Row {
    const char *name, *lines;
    ShareKind kind;
    bool refused = false;
    size_t storages = 0;
  };
  const std::string daemon = "\nvirtio_fs_daemon = \"@/firmware\"";
  for (const Row& row : {Row{"not said", "default_vcpus = 1", ShareKind::kCopies},
                         Row{"none", "shared_fs = \"none\"", ShareKind::kCopies},
                         Row{"empty", "shared_fs = \"\"", ShareKind::kVirtioFs, false, 1},
                         Row{"virtio-fs", "shared_fs = \"virtio-fs\"", ShareKind::kVirtioFs, false, 1},
                         Row{"inline", "shared_fs = \"inline-virtio-fs\"", ShareKind::kCopies, true},
                         Row{"nydus", "shared_fs = \"virtio-fs-nydus\"", ShareKind::kCopies, true}}) {
    const config::Config config = folder.load_text(folder.text(row.lines + daemon));
    try {
      EXPECT_EQ(plan_share_kind(config), row.kind) << row.name;
      EXPECT_EQ(plan_guest("sb1", config, oci::Spec{}).storages.size(), row.storages) << row.name;
      EXPECT_FALSE(row.refused) << row.name;
    } catch (const Error& error) {
      EXPECT_TRUE(row.refused) << row.name;
      EXPECT_THAT(error.message(), HasSubstr(config.hypervisor.shared_fs.value_or(""))) << row.name;
      EXPECT_THAT(error.message(), HasSubstr("\"none\"")) << row.name;
    }
  }
}

TEST(VmPlan, DisksOfAPod) {
  const config::ConfigFolder folder;
  using config::ContainerKind;
  const auto plan = [&](const std::string& lines, ContainerKind kind, rootfs::Kind first) {
    return plan_disks(folder.load_text(folder.text(lines)), kind, first);
  };
  EXPECT_EQ(plan("", ContainerKind::kSingle, rootfs::Kind::kBlock).ports, 0U);
  EXPECT_EQ(plan("", ContainerKind::kPodSandbox, rootfs::Kind::kFolder).ports, 2U);
  EXPECT_EQ(plan("", ContainerKind::kPodSandbox, rootfs::Kind::kLayers).ports, 8U);
  EXPECT_EQ(plan("", ContainerKind::kPodSandbox, rootfs::Kind::kFolder).refusal, "");
  struct Row {
    const char *line, *words;
  };
  for (const Row& row : {Row{"disable_block_device_use = true", "switched off"},
                         Row{"block_device_driver = \"virtio-pmem\"", "virtio-pmem cannot carry"},
                         Row{"machine_type = \"microvm\"", "machine type microvm"}}) {
    const device::DiskPolicy policy = plan(row.line, ContainerKind::kSingle, rootfs::Kind::kFolder);
    EXPECT_THAT(policy.refusal, HasSubstr(row.words)) << row.line;
  }
}

TEST(VmPlan, QueuesOfANic) {
  const config::ConfigFolder folder;
  const auto queues = [&](const std::string& lines) {
    return plan_network("sb1", folder.load_text(folder.text(lines)), oci::Spec{}, RunDir("sb1")).queues;
  };
  EXPECT_EQ(queues("default_vcpus = 1"), 1U);
  EXPECT_EQ(queues("default_vcpus = 2.5"), 3U);
  EXPECT_EQ(queues("default_vcpus = 2\nnetwork_queues = 5"), 5U);
}

TEST(VmPlan, AcceleratorAndImage) {
  const config::ConfigFolder folder;
  EXPECT_EQ(plan_vm("sb1", folder.load_text(folder.text()), "/run/x").accelerator, vmm::Accelerator::kAuto);
  EXPECT_EQ(plan_vm("sb1", folder.load_text(folder.text("accelerator = \"kvm\"")), "/run/x").accelerator,
            vmm::Accelerator::kKvm);
  EXPECT_EQ(plan_vm("sb1", folder.load_text(folder.text("accelerator = \"tcg\"")), "/run/x").accelerator,
            vmm::Accelerator::kTcg);
  std::string text = folder.text();
  text.replace(text.find("initrd ="), 8, "image =");
  text.replace(text.find("[hypervisor.qemu]\n"), 18,
               "[hypervisor.qemu]\nvm_rootfs_driver = \"virtio-pmem\"\n");
  const vmm::BootSpec boot = plan_vm("sb1", folder.load_text(text), "/run/x").boot;
  EXPECT_EQ(boot.image, folder.file("initrd.img"));
  EXPECT_EQ(boot.image_driver, "virtio-pmem");
}

TEST(VmPlan, StaticSizingLeavesNothingToPlugIn) {
  const config::ConfigFolder folder;
  const auto spec =
      plan_vm("sb1", folder.load_text(folder.text("", "", "static_sandbox_resource_mgmt = true")), "/run/x");
  EXPECT_EQ(spec.cpu.max, spec.cpu.boot);
  EXPECT_EQ(spec.memory.max_mib, spec.memory.mib);
}

TEST(VmPlan, NoKeyInUseIsWithoutRow) {
  std::vector<Row> all = rows();
  for (const char* key : {"hypervisor.accelerator", "hypervisor.image"}) all.push_back({key, {}, {}});
  EXPECT_THAT(keys_without_row(config::Use::kVm, all), IsEmpty());
}

}  // namespace
}  // namespace kata::sandbox
