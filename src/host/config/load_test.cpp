#include <string>

#include <gmock/gmock.h>

#include "host/config/key_table.h"
#include "host/config/testing.h"

namespace kata::config {
namespace {

using testing::AllOf;
using testing::Contains;
using testing::HasSubstr;
using testing::IsEmpty;

class LoadTest : public testing::Test {
 protected:
  ConfigFolder folder_;
};

TEST_F(LoadTest, MinimalFileHasTheDefaults) {
  const Config config = folder_.load_text(folder_.text());
  EXPECT_THAT(config.warnings, IsEmpty());
  EXPECT_EQ(config.path, folder_.file("configuration.toml"));
  EXPECT_EQ(config.hypervisor_name, "qemu");
  const HypervisorConfig& hypervisor = config.hypervisor;
  EXPECT_EQ(hypervisor.kernel, folder_.file("vmlinux"));
  EXPECT_EQ(hypervisor.machine_type, "q35");
  EXPECT_EQ(hypervisor.rootfs_type, "ext4");
  EXPECT_EQ(hypervisor.default_vcpus, 1);
  EXPECT_EQ(hypervisor.default_maxvcpus, 8u);
  EXPECT_EQ(hypervisor.default_memory, 128u);
  EXPECT_EQ(hypervisor.default_maxmemory, 16384u);
  EXPECT_EQ(hypervisor.memory_slots, 128u);
  EXPECT_EQ(hypervisor.default_bridges, 1u);
  EXPECT_EQ(hypervisor.tdx_quote_generation_service_socket_port, 4050u);
  EXPECT_EQ(hypervisor.entropy_source, "/dev/urandom");
  EXPECT_EQ(hypervisor.factory.template_path, "/run/vc/vm/template");
  EXPECT_EQ(hypervisor.shared_fs, std::nullopt);
  EXPECT_TRUE(hypervisor.disable_guest_selinux);
  EXPECT_EQ(config.agent.reconnect_timeout_ms, 3000u);
  EXPECT_FALSE(config.runtime.static_sandbox_resource_mgmt);
}

TEST_F(LoadTest, TheBodyOfTheRuntimeOptionsCounts) {
  folder_.write("configuration.toml", folder_.text("default_memory = 300"));
  LoadRequest request = folder_.request();
  request.default_paths = {folder_.file("configuration.toml")};
  request.config_path.clear();
  request.config_body = folder_.text("default_memory = 500");
  EXPECT_EQ(load(request).hypervisor.default_memory, 500u);
  // Options of containerd's alone are no configuration.
  request.config_body = "SystemdCgroup = true\n";
  EXPECT_EQ(load(request).hypervisor.default_memory, 300u);
  request.config_body = "[hypervisor";
  EXPECT_THROW(load(request), Error);
  // Whoever names a file means it.
  request.config_path = folder_.file("configuration.toml");
  EXPECT_EQ(load(request).hypervisor.default_memory, 300u);
}

TEST_F(LoadTest, DescribesWhereAValueComesFrom) {
  const Config config = folder_.load_text(folder_.text("enable_annotations = [\"default_vcpus\"]"),
                                          {{"io.katacontainers.config.hypervisor.default_vcpus", "2"}});
  EXPECT_EQ(config.describe("hypervisor.kernel"),
            "hypervisor.qemu.kernel in " + folder_.file("configuration.toml") + ":3");
  EXPECT_EQ(config.describe("hypervisor.default_memory"), "hypervisor.qemu.default_memory (default)");
  EXPECT_EQ(
      config.describe("hypervisor.default_vcpus"),
      "hypervisor.qemu.default_vcpus set by annotation io.katacontainers.config.hypervisor.default_vcpus");
  EXPECT_EQ(config.describe("agent.log_level"), "agent.kata.log_level (default)");
  EXPECT_EQ(config.describe("runtime.name"), "runtime.name in " + folder_.file("configuration.toml") + ":9");
}

struct Row {
  const char* name;
  std::string hypervisor, agent, runtime, more;
  // What the message must say; "" = it loads.
  const char* message;
};

void PrintTo(const Row& row, std::ostream* out) {
  *out << row.name;
}

class BadConfig : public testing::TestWithParam<Row> {};

TEST_P(BadConfig, IsRefusedWithPlaceAndCure) {
  const ConfigFolder folder;
  const Row& row = GetParam();
  const std::string text = folder.text(row.hypervisor, row.agent, row.runtime, row.more);
  if (std::string_view(row.message).empty()) {
    EXPECT_NO_THROW((void)folder.load_text(text));
    return;
  }
  const std::string message = error_of([&] { return folder.load_text(text); });
  EXPECT_THAT(message, HasSubstr(folder.expand(row.message)));
  EXPECT_THAT(message,
              HasSubstr("the configuration " + folder.file("configuration.toml") + " cannot be used: "));
}

INSTANTIATE_TEST_SUITE_P(
    Types, BadConfig,
    testing::Values(
        Row{"text_for_number", "default_memory = \"1G\"", "", "", "",
            "@/configuration.toml:5: hypervisor.qemu.default_memory: expected a whole number, found a "
            "string"},
        Row{"negative", "default_memory = -1", "", "", "",
            ":5: hypervisor.qemu.default_memory: expected a number from 0 to 4294967295, found -1"},
        Row{"largest_u32", "default_memory = 4294967295", "", "", "", ""},
        Row{"above_u32", "default_memory = 4294967296", "", "", "", "expected a number from 0 to 4294967295"},
        Row{"whole_for_float", "default_vcpus = 2", "", "", "", ""},
        Row{"float", "default_vcpus = 0.5", "", "", "", ""},
        Row{"nan", "default_vcpus = nan", "", "", "",
            "hypervisor.qemu.default_vcpus: expected a finite number"},
        Row{"negative_overhead", "overhead_vcpus = -0.1", "", "", "", "overhead_vcpus: must not be negative"},
        Row{"number_for_flag", "enable_debug = 1", "", "", "",
            ":5: hypervisor.qemu.enable_debug: expected true or false, found an integer"},
        Row{"text_for_list", "valid_hypervisor_paths = \"/x\"", "", "", "",
            "valid_hypervisor_paths: expected an array of strings, found a string"},
        Row{"number_in_list", "valid_hypervisor_paths = [\"/x\", 1]", "", "", "",
            "element 2: expected a string"},
        Row{"date", "kernel_params = 1979-05-27", "", "", "", "expected a string, found a date or time"},
        Row{"nul_in_text", "cpu_features = \"a\\u0000b\"", "", "", "",
            "cpu_features: the string holds a NUL"},
        Row{"aio", "block_device_aio = \"uring\"", "", "", "",
            ":5: hypervisor.qemu.block_device_aio: \"uring\" is not allowed; expected io_uring, native, "
            "threads"},
        Row{"shared_fs", "shared_fs = \"9p\"", "", "", "",
            "expected none, virtio-fs, inline-virtio-fs, virtio-fs-nydus or empty"},
        Row{"accelerator", "accelerator = \"hvf\"", "", "", "",
            "accelerator: \"hvf\" is not allowed; expected auto, kvm, tcg"},
        Row{"sector_511", "block_device_logical_sector_size = 511", "", "", "",
            "power of two from 512 to 65536"},
        Row{"sector_65536", "block_device_physical_sector_size = 65536", "", "", "", ""},
        Row{"sector_131072", "block_device_physical_sector_size = 131072", "", "", "", "power of two"},
        Row{"sector_1000", "block_device_physical_sector_size = 1000", "", "", "", "power of two"},
        Row{"verity", "kernel_verity_params = \"root_hash=1\"", "", "", "", "are all needed"},
        Row{"swappiness", "", "", "", "[agent.kata.mem_agent]\nmemcg_swappiness_max = 201",
            "expected a number from 0 to 200"},
        Row{"dial_zero", "", "dial_timeout_ms = 0", "", "", "agent.kata.dial_timeout_ms: must not be 0"},
        Row{"network_model", "", "", "internetworking_model = \"bridge\"", "",
            "expected tcfilter, macvtap, l3forwarding, none"},
        Row{"agent_table_is_number", "", "", "", "[agent]\nx = 1",
            "agent.x: expected a table, found an integer"},
        Row{"factory_is_number", "factory = 1", "", "", "", "hypervisor.qemu.factory: expected a table"}),
    [](const auto& row) { return row.param.name; });

INSTANTIATE_TEST_SUITE_P(
    UnknownKeys, BadConfig,
    testing::Values(Row{"agent", "", "dial_timeout = 1", "", "",
                        ":7: agent.kata.dial_timeout: unknown key; did you mean dial_timeout_ms?"},
                    Row{"mem_agent", "", "", "", "[agent.kata.mem_agent]\ncompact_ordr = 1",
                        "unknown key; did you mean compact_order?"},
                    Row{"mem_agent_alias", "", "", "", "[agent.kata.mem_agent]\nmem_agent_enable = true", ""},
                    Row{"factory", "", "", "", "[hypervisor.qemu.factory]\nzzz = 1",
                        "hypervisor.qemu.factory.zzz: unknown key"},
                    Row{"rootless_user", "", "", "", "[hypervisor.qemu.rootless_user]\nname = 1",
                        "rootless_user.name: unknown key"},
                    Row{"shared_mount", "", "", "", "[[runtime.shared_mounts]]\nname = \"a\"\nsource = \"b\"",
                        "shared_mounts[0].source: unknown key"},
                    Row{"vmm", "", "", "", "[hypervisor.vbox]\nx = 1",
                        "hypervisor.vbox: no such hypervisor; expected one of qemu, clh, firecracker"}),
    [](const auto& row) { return row.param.name; });

INSTANTIATE_TEST_SUITE_P(
    Checks, BadConfig,
    testing::Values(
        Row{"missing_image", "image = \"@/none.img\"", "", "", "",
            "hypervisor.qemu.image in @/configuration.toml:5: @/none.img does not exist; install the guest "
            "image or correct the path"},
        Row{"image_and_initrd", "image = \"@/guest.img\"", "", "", "",
            "hypervisor.qemu.image in @/configuration.toml:5: both image and initrd are set "
            "(hypervisor.qemu.initrd in "
            "@/configuration.toml:4)"},
        Row{"no_virtiofsd", "shared_fs = \"virtio-fs\"\nvirtio_fs_daemon = \"@/none\"", "", "", "",
            "virtio_fs_daemon in @/configuration.toml:6: @/none does not exist; install virtiofsd"},
        Row{"virtiofsd_unused", "virtio_fs_daemon = \"@/none\"", "", "", "", ""},
        Row{"nydus_without_daemon", "shared_fs = \"virtio-fs-nydus\"", "", "", "",
            "virtio_fs_daemon (default): must be set"},
        Row{"vsock_device", "vsock_device_path = \"@/none\"", "", "", "", "install kata-vsock-device"},
        Row{"firmware", "firmware = \"@/none\"", "", "", "", "install the firmware or correct the path"},
        Row{"memory_63", "default_memory = 63", "", "", "",
            "63 MiB is too little to boot; qemu needs at least 64"},
        Row{"memory_64", "default_memory = 64", "", "", "", ""},
        Row{"jailer", "jailer_path = \"@/qemu\"", "", "", "", "qemu does not support it; remove the key"},
        Row{"jailer_list", "valid_jailer_paths = [\"/x\"]", "", "", "",
            "valid_jailer_paths in @/configuration.toml:5"},
        Row{"guest_swap", "enable_guest_swap = true", "", "", "", "qemu does not support it"},
        Row{"mmio_disk", "block_device_driver = \"virtio-blk-mmio\"", "", "", "",
            "use virtio-blk-pci or virtio-scsi"},
        Row{"mmio_disk_unused", "block_device_driver = \"virtio-blk-mmio\"\ndisable_block_device_use = true",
            "", "", "", ""},
        Row{"confidential_mmio", "confidential_guest = true\nvm_rootfs_driver = \"virtio-blk-mmio\"", "", "",
            "", "confidential guest"},
        Row{"root_and_switch_ports", "pcie_root_port = 1\npcie_switch_port = 1", "", "", "",
            "cannot be used together"},
        Row{"logical_above_physical",
            "block_device_logical_sector_size = 4096\nblock_device_physical_sector_size = 512", "", "", "",
            "must not be above block_device_physical_sector_size"},
        Row{"vhost_user_store", "enable_vhost_user_store = true\nvhost_user_store_path = \"@/none\"", "", "",
            "", "vhost_user_store_path in"},
        Row{"vhost_user_store_off", "vhost_user_store_path = \"@/none\"", "", "", "", ""},
        Row{"extension_name", "", "", "", "[[hypervisor.qemu.guest_extension_images]]\nname = \"a b\"",
            "letters, digits"},
        Row{"extension_nameless", "", "", "",
            "[[hypervisor.qemu.guest_extension_images]]\npath = \"@/guest.img\"", "needs the key name"},
        Row{"extension_path", "", "", "",
            "[[hypervisor.qemu.guest_extension_images]]\nname = \"a\"\npath = \"@/none\"",
            "install the extension image"},
        Row{"dial_above_reconnect", "", "dial_timeout_ms = 3001", "", "",
            "3001 is above agent.kata.reconnect_timeout_ms (default), which is 3000"},
        Row{"dial_is_reconnect", "", "dial_timeout_ms = 3000", "", "", ""},
        Row{"shared_mount_incomplete", "", "", "", "[[runtime.shared_mounts]]\nname = \"a\"",
            "needs the key src_ctr"},
        Row{"shared_mount_relative", "", "", "",
            "[[runtime.shared_mounts]]\nname = \"a\"\nsrc_ctr = \"b\"\nsrc_path = \"x\"\ndst_ctr = "
            "\"c\"\ndst_path = \"/y\"",
            "no absolute path"},
        Row{"bind_mount", "", "", "sandbox_bind_mounts = [\"@/none:ro\"]", "",
            "runtime.sandbox_bind_mounts in @/configuration.toml"}),
    [](const auto& row) { return row.param.name; });

TEST_F(LoadTest, AllProblemsAreReportedTogether) {
  const std::string message = error_of([&] {
    return folder_.load_text(
        folder_.text("default_memory = 1\nfirmware = \"/none\"\nenable_debug = 3", "typo = 1"));
  });
  EXPECT_THAT(message, AllOf(HasSubstr("4 problems"), HasSubstr("\n  "), HasSubstr("default_memory"),
                             HasSubstr("/none does not exist"), HasSubstr("enable_debug"),
                             HasSubstr("agent.kata.typo")));
}

TEST_F(LoadTest, MissingFilesAreNamed) {
  std::filesystem::remove(folder_.file("vmlinux"));
  std::filesystem::remove(folder_.file("qemu"));
  std::filesystem::remove(folder_.file("initrd.img"));
  const std::string message = error_of([&] { return folder_.load_text(folder_.text()); });
  EXPECT_THAT(
      message,
      HasSubstr(folder_.expand(
          "hypervisor.qemu.path in @/configuration.toml:2: @/qemu does not exist; install the hypervisor")));
  EXPECT_THAT(message, HasSubstr(folder_.expand("hypervisor.qemu.kernel in @/configuration.toml:3: @/vmlinux "
                                                "does not exist; install the guest kernel")));
  EXPECT_THAT(message, HasSubstr(folder_.expand("hypervisor.qemu.initrd in @/configuration.toml:4: "
                                                "@/initrd.img does not exist; install the guest's initrd")));
}

TEST_F(LoadTest, KernelAndRootAreNeeded) {
  const std::string message = error_of([&] {
    return folder_.load_text(folder_.expand(
        "[hypervisor.qemu]\npath = \"@/qemu\"\n[agent.kata]\n[runtime]\nname = \"virt_container\"\n"
        "hypervisor_name = \"qemu\"\nagent_name = \"kata\"\n"));
  });
  EXPECT_THAT(message, HasSubstr("hypervisor.qemu.kernel (default): must be set"));
  EXPECT_THAT(message, HasSubstr("either initrd or image must be set"));
}

TEST_F(LoadTest, UnknownKeysOfLooseTablesAreWarnings) {
  const Config config = folder_.load_text(folder_.text("file_mem_backend = \"x\"\ndefault_vcpu = 1", "",
                                                       "enable_debgu = true", "[hipervisor]\n[proxy.x]\n"));
  EXPECT_THAT(config.warnings,
              Contains(folder_.expand(
                  "@/configuration.toml:6: hypervisor.qemu.default_vcpu: unknown key, ignored; did you "
                  "mean default_vcpus?")));
  EXPECT_THAT(config.warnings, Contains(HasSubstr("hypervisor.qemu.file_mem_backend: unknown key, ignored")));
  EXPECT_THAT(config.warnings,
              Contains(HasSubstr("runtime.enable_debgu: unknown key, ignored; did you mean enable_debug?")));
  EXPECT_THAT(config.warnings, Contains(HasSubstr("hipervisor: unknown, ignored; did you mean hypervisor?")));
  EXPECT_EQ(config.warnings.size(), 5u);
}

TEST_F(LoadTest, InactiveTablesOnlyWarn) {
  const Config config = folder_.load_text(folder_.text("", "", "", "[hypervisor.clh]\nkernel = \"/none\"\n"));
  EXPECT_THAT(config.warnings, Contains(AllOf(HasSubstr("/none does not exist"),
                                              HasSubstr("(hypervisor.clh is not in use)"))));
  const std::string message =
      error_of([&] { return folder_.load_text(folder_.text("", "", "", "[hypervisor.clh]\nkernel = 1\n")); });
  EXPECT_THAT(message, HasSubstr("hypervisor.clh.kernel: expected a string"));
}

struct NameRow {
  const char* name;
  const char* runtime;
  const char* message;
};

TEST_F(LoadTest, NamesMustLeadToTables) {
  const NameRow rows[] = {
      {"no name", "hypervisor_name = \"qemu\"\nagent_name = \"kata\"", "runtime.name (default): must be set"},
      {"other handler", "name = \"wasm\"\nhypervisor_name = \"qemu\"\nagent_name = \"kata\"",
       "\"wasm\" is not built in; expected virt_container"},
      {"no hypervisor", "name = \"virt_container\"\nagent_name = \"kata\"",
       "runtime.hypervisor_name (default): must be set"},
      {"no such hypervisor", "name = \"virt_container\"\nhypervisor_name = \"clh\"\nagent_name = \"kata\"",
       "there is no table [hypervisor.clh]"},
      {"no such agent", "name = \"virt_container\"\nhypervisor_name = \"qemu\"\nagent_name = \"x\"",
       "there is no table [agent.x]"},
  };
  for (const NameRow& row : rows) {
    const std::string text =
        folder_.expand(
            "[hypervisor.qemu]\npath = \"@/qemu\"\nkernel = \"@/vmlinux\"\ninitrd = \"@/initrd.img\"\n"
            "[agent.kata]\n[runtime]\n") +
        row.runtime;
    EXPECT_THAT(error_of([&] { return folder_.load_text(text); }), HasSubstr(row.message)) << row.name;
  }
}

TEST_F(LoadTest, ClampsInsteadOfRefusing) {
  const Config config = folder_.load_text(
      folder_.text("default_vcpus = -1\ndefault_maxvcpus = 99\ndefault_memory = 999999\ndefault_maxmemory = "
                   "999999\ndefault_bridges = 9\n"
                   "network_queues = 1000\nqueue_size = 0\nnum_queues = 0\nvirtio_fs_is_dax = "
                   "true\nvirtio_fs_cache = \"none\"\nshared_fs = \"\"\nmemory_slots = 0"));
  const HypervisorConfig& hypervisor = config.hypervisor;
  EXPECT_EQ(hypervisor.default_vcpus, 8);
  EXPECT_EQ(hypervisor.default_maxvcpus, 8u);
  EXPECT_EQ(hypervisor.default_memory, 16384u);
  EXPECT_EQ(hypervisor.default_maxmemory, 16384u);
  EXPECT_EQ(hypervisor.default_bridges, 5u);
  EXPECT_EQ(hypervisor.network_queues, 256u);
  EXPECT_EQ(hypervisor.queue_size, 128u);
  EXPECT_EQ(hypervisor.num_queues, 1u);
  EXPECT_EQ(hypervisor.virtio_fs_cache_size, 1024u);
  EXPECT_EQ(hypervisor.virtio_fs_cache, "never");
  EXPECT_EQ(hypervisor.shared_fs, "virtio-fs");
  EXPECT_EQ(hypervisor.memory_slots, 128u);
  EXPECT_THAT(config.warnings,
              Contains(HasSubstr("999999 MiB is more than the host has; using its 16384 MiB")));
}

TEST_F(LoadTest, VcpuLimits) {
  EXPECT_EQ(
      folder_.load_text(folder_.text("default_vcpus = 3\ndefault_maxvcpus = 2")).hypervisor.default_vcpus, 2);
  EXPECT_EQ(folder_.load_text(folder_.text("default_vcpus = 0.5")).hypervisor.default_vcpus, 0.5);
  EXPECT_EQ(folder_.load_text(folder_.text("shared_fs = \"none\"")).hypervisor.shared_fs, std::nullopt);
  EXPECT_EQ(folder_.load_text(folder_.text("virtio_fs_cache_size = 64")).hypervisor.virtio_fs_is_dax, true);
}

TEST_F(LoadTest, UnknownLogLevelMeansInfo) {
  const Config config = folder_.load_text(folder_.text("log_level = \"loud\""));
  EXPECT_THAT(config.warnings, Contains(HasSubstr("hypervisor.qemu.log_level: \"loud\" counts as info")));
}

TEST(KeyTable, EveryAnnotationHasOneKey) {
  std::map<std::string_view, int> count;
  for (const TableInfo* table : {&kHypervisorTable, &kAgentTable, &kRuntimeTable}) {
    for (const KeyInfo& key : table->keys) {
      if (key.annotation.kind != Annotation::Kind::kNone) ++count[key.annotation.name];
      if (key.annotation.kind == Annotation::Kind::kAllowedBy) EXPECT_EQ(table, &kHypervisorTable);
    }
  }
  for (const auto& [name, times] : count) EXPECT_EQ(times, 1) << name;
  EXPECT_EQ(count.size(), 73u);
}

}  // namespace
}  // namespace kata::config
