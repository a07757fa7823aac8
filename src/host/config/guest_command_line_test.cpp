#include "host/config/guest_command_line.h"

#include <gmock/gmock.h>

#include "host/config/kernel_params.h"
#include "host/config/testing.h"
#include "host/config/verity.h"

namespace kata::config {
namespace {

using testing::HasSubstr;

Config plain() {
  Config config;
  config.hypervisor_name = "qemu";
  config.agent_name = "kata";
  config.hypervisor.kernel_params = "cgroup_no_v1=all last=\"a b\"";
  return config;
}

TEST(GuestCommandLine, WholeLineForAnInitrd) {
  EXPECT_EQ(guest_command_line(plain()),
            "systemd.unit=kata-containers.target systemd.mask=systemd-networkd.service "
            "systemd.mask=systemd-networkd.socket selinux=0 agent.cdh_api_timeout=50 cgroup_no_v1=all "
            "last=\"a b\"");
}

TEST(GuestCommandLine, MemAgentIsSwitchedOnBeforeItsSettings) {
  Config config = plain();
  config.agent.cdh_api_timeout_ms = 0;
  config.agent.enable_debug = true;
  config.agent.mem_agent.enable = true;
  config.agent.mem_agent.compact_order = 9;
  config.agent.mem_agent.memcg_swap = true;
  config.agent.mem_agent.compact_force_times = INT64_MAX;
  EXPECT_EQ(agent_kernel_params(config),
            "agent.log=debug agent.mem_agent_enable=1 "
            "agent.mem_agent_compact_force_times=9223372036854775807 agent.mem_agent_compact_order=9 "
            "agent.mem_agent_memcg_swap=true psi=1");
  config.agent.mem_agent.enable = false;
  EXPECT_EQ(agent_kernel_params(config), "agent.log=debug");
}

TEST(GuestCommandLine, RootOfAnImage) {
  struct Row {
    const char *driver, *type, *root;
  };
  const Row rows[] = {
      {"virtio-blk-pci", "ext4",
       "root=/dev/vda1 rootflags=data=ordered,errors=remount-ro ro rootfstype=ext4 systemd.unit="},
      {"virtio-blk-mmio", "xfs", "root=/dev/vda1 rootflags=ro rootfstype=xfs systemd.unit="},
      {"virtio-pmem", "ext4",
       "root=/dev/pmem0p1 rootflags=dax,data=ordered,errors=remount-ro ro rootfstype=ext4 systemd.unit="},
      {"virtio-pmem", "erofs", "root=/dev/pmem0p1 rootflags=dax ro rootfstype=erofs systemd.unit="},
  };
  for (const Row& row : rows) {
    Config config = plain();
    config.hypervisor.image = "/x.img";
    config.hypervisor.vm_rootfs_driver = row.driver;
    config.hypervisor.rootfs_type = row.type;
    EXPECT_TRUE(guest_command_line(config).starts_with(row.root)) << guest_command_line(config);
  }
  Config config = plain();
  config.hypervisor.image = "/x.img";
  config.hypervisor.vm_rootfs_driver = "virtio-scsi";
  EXPECT_THAT(error_of([&] { return guest_command_line(config); }),
              HasSubstr("hypervisor.qemu.vm_rootfs_driver (default) is \"virtio-scsi\""));
}

TEST(GuestCommandLine, VerityTakesNoDax) {
  Config config = plain();
  config.hypervisor.image = "/x.img";
  config.hypervisor.vm_rootfs_driver = "virtio-pmem";
  config.hypervisor.rootfs_type = "ext4";
  config.hypervisor.kernel_verity_params =
      "root_hash=ab,salt=cd,data_blocks=2,data_block_size=4096,hash_block_size=1024";
  EXPECT_TRUE(guest_command_line(config).starts_with(
      "dm-mod.create=\"dm-verity,,,ro,0 16 verity 1 /dev/pmem0p1 /dev/pmem0p2 4096 1024 2 0 sha256 ab cd\" "
      "root=/dev/dm-0 "
      "rootflags=data=ordered,errors=remount-ro ro rootfstype=ext4 systemd.unit="));
}

TEST(GuestCommandLine, TooLongIsRefused) {
  Config config = plain();
  config.hypervisor.kernel_params = "x";
  const std::size_t rest = guest_command_line(config).size() - 1;
  config.hypervisor.kernel_params = std::string(1535 - rest, 'x');
  EXPECT_EQ(guest_command_line(config).size(), 1535u);
  config.hypervisor.kernel_params += 'x';
  EXPECT_THAT(error_of([&] { return guest_command_line(config); }),
              HasSubstr("has 1536 bytes, and there is room for 1535"));
}

TEST(KernelParams, SplitRespectsQuotes) {
  EXPECT_EQ(split_kernel_params("  a b=1\t\"c d\"=2 e=\"f g\" \n h"),
            (StringList{"a", "b=1", "\"c d\"=2", "e=\"f g\"", "h"}));
  EXPECT_EQ(split_kernel_params("a=\"open b"), StringList{"a=\"open b"});
  EXPECT_EQ(split_kernel_params(""), StringList{});
}

TEST(KernelParams, Names) {
  for (const auto& [param, name] : {std::pair{"a", "a"},
                                    {"a=b", "a"},
                                    {"a=b=c", "a"},
                                    {"\"a b\"", "a b"},
                                    {"\"a=b c\"", "a"},
                                    {"=x", ""}}) {
    EXPECT_EQ(kernel_param_name(param), name) << param;
  }
}

TEST(KernelParams, Merge) {
  EXPECT_EQ(merge_kernel_params("a=1 b a=2 c=\"x y\"", "a=3 d"), "b c=\"x y\" a=3 d");
  EXPECT_EQ(merge_kernel_params("", "a"), "a");
  EXPECT_EQ(merge_kernel_params("a", ""), "a");
}

TEST(Verity, GoodAndBad) {
  const std::string good = "root_hash=aB09,salt=00,data_blocks=1,data_block_size=512,hash_block_size=4096";
  ASSERT_TRUE(parse_verity(good));
  EXPECT_EQ(parse_verity(good)->hash_block_size, 4096u);
  for (const char* bad :
       {"", "x", "root_hash=zz,salt=00,data_blocks=1,data_block_size=512,hash_block_size=512",
        "root_hash=aa,salt=00,data_blocks=0,data_block_size=512,hash_block_size=512",
        "root_hash=aa,salt=00,data_blocks=1,data_block_size=513,hash_block_size=512",
        "root_hash=aa,salt=00,data_blocks=1,data_block_size=512", "root_hash=aa;salt=00",
        "root_hash=aa,salt=00,data_blocks=9223372036854775807,data_block_size=4096,hash_block_size=512",
        "a=b"}) {
    EXPECT_FALSE(parse_verity(bad)) << bad;
  }
}

}  // namespace
}  // namespace kata::config
