#include "host/sandbox/guest_spec.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace kata::sandbox {
namespace {

oci::Device char_device(const char* path) {
  oci::Device device;
  device.path = path;
  device.type = "c";
  return device;
}

oci::Spec full_spec() {
  oci::Spec spec;
  spec.process.emplace();
  spec.process->selinux_label = "label";
  spec.root = oci::Root{.path = "rootfs", .readonly = true};
  spec.hooks.prestart.push_back({.path = "/bin/host-hook", .args = {}, .env = {}});
  spec.hooks.start_container.push_back({.path = "/bin/guest-hook", .args = {}, .env = {}});
  oci::Linux config;
  config.namespaces = {
      {"pid", ""}, {"network", "/run/netns/x"}, {"ipc", "/proc/7/ns/ipc"}, {"mount", ""}, {"time", ""}};
  config.seccomp.emplace();
  config.devices = {char_device("/dev/vfio/3"), char_device("/dev/fuse")};
  config.resources.emplace();
  config.resources->devices.emplace_back();
  config.resources->pids_limit = 7;
  config.resources->cpu.emplace();
  config.resources->cpu->shares = 512;
  config.resources->cpu->cpus = "1";
  config.resources->cpu->mems = "0";
  spec.linux_config = config;
  return spec;
}

TEST(GuestSpecTest, OnlyWhatTheGuestMayKnowTravels) {
  const GuestSpecRules rules{
      .bundle = "/b", .container_type = "single_container", .guest_rootfs = "/run/x/rootfs"};
  const oci::Spec spec = guest_spec(full_spec(), rules);
  EXPECT_EQ(spec.root->path, "/run/x/rootfs");
  EXPECT_TRUE(spec.root->readonly);
  EXPECT_EQ(spec.linux_config->resources->cpu->cpus, "");
  EXPECT_EQ(spec.linux_config->resources->cpu->mems, "");
  EXPECT_TRUE(spec.hooks.prestart.empty());
  EXPECT_EQ(spec.hooks.start_container.size(), 1U);
  ASSERT_EQ(spec.linux_config->namespaces.size(), 2U);
  EXPECT_EQ(spec.linux_config->namespaces[0].type, "ipc");
  EXPECT_EQ(spec.linux_config->namespaces[0].path, "");
  EXPECT_TRUE(spec.linux_config->resources->devices.empty());
  EXPECT_EQ(spec.linux_config->resources->pids_limit, 7);
  EXPECT_EQ(spec.linux_config->resources->cpu->shares, 512U);
  ASSERT_EQ(spec.linux_config->devices.size(), 1U);
  EXPECT_EQ(spec.linux_config->devices[0].path, "/dev/fuse");
  EXPECT_EQ(spec.annotations.at("io.katacontainers.pkg.oci.container_type"), "single_container");
  EXPECT_EQ(spec.annotations.at("io.katacontainers.pkg.oci.bundle_path"), "/b");
  EXPECT_EQ(spec.process->selinux_label, "");
  EXPECT_TRUE(spec.linux_config->seccomp);
}

TEST(GuestSpecTest, RulesOfTheConfiguration) {
  GuestSpecRules rules;
  rules.disable_guest_seccomp = true;
  rules.disable_guest_selinux = false;
  rules.keep_vfio_devices = true;
  const oci::Spec spec = guest_spec(full_spec(), rules);
  EXPECT_FALSE(spec.linux_config->seccomp);
  EXPECT_EQ(spec.process->selinux_label, "label");
  EXPECT_EQ(spec.linux_config->devices.size(), 2U);
  EXPECT_EQ(guest_spec(oci::Spec{}, rules).root->path, "");
}

TEST(GuestSpecTest, SharedPidsFollowFromThePath) {
  EXPECT_FALSE(shares_sandbox_pids(full_spec()));
  EXPECT_FALSE(shares_sandbox_pids(oci::Spec{}));
  oci::Spec spec = full_spec();
  spec.linux_config->namespaces[0].path = "/proc/9/ns/pid";
  EXPECT_TRUE(shares_sandbox_pids(spec));
}

}  // namespace
}  // namespace kata::sandbox
