#include "guest/boot/agent_config.h"

#include <gtest/gtest.h>

#include "guest/boot/listener.h"
#include "guest/boot/modules.h"

namespace kata::boot {
namespace {

TEST(CommandLine, SplitsAsTheKernelDoes) {
  struct Row {
    const char* name;
    const char* line;
    std::vector<std::string> words;
  };
  const Row rows[] = {
      {"plain", "a b=1  c\n", {"a", "b=1", "c"}},
      {"quoted value", "dm-mod.create=\"dm,,ro,0 1 verity\" x", {"dm-mod.create=dm,,ro,0 1 verity", "x"}},
      {"quoted word", "\"a b=c d\" e", {"a b=c d", "e"}},
      {"quote inside", "a\"b c\"d", {"a\"b c\"d"}},
      {"open quote", "a=\"b c", {"a=b c"}},
      {"empty", "", {}},
      {"blanks", " \t\n ", {}},
  };
  for (const Row& row : rows) EXPECT_EQ(split_command_line(row.line), row.words) << row.name;
}

TEST(CommandLine, Defaults) {
  const auto config = parse_command_line("console=ttyS0 quiet reboot=k panic=1");
  ASSERT_TRUE(config);
  EXPECT_EQ(config->server_address, "vsock://-1:1024");
  EXPECT_EQ(config->hotplug_timeout.count(), 3);
  EXPECT_EQ(config->cgroups, CgroupLayout::kUnified);
  EXPECT_TRUE(config->warnings.empty());
}

TEST(CommandLine, EveryUsedKeyChangesItsField) {
  const auto config = parse_command_line(
      "agent.log=debug "
      "agent.server_addr=unix:///run/a agent.hotplug_timeout=9 "
      "agent.container_pipe_size=65536 agent.log_vport=1025 agent.forward_vport=1030 agent.debug_console "
      "agent.debug_console_vport=1026 "
      "systemd.unified_cgroup_hierarchy=0 agent.devmode");
  ASSERT_TRUE(config);
  EXPECT_EQ(config->log_level, log::Level::kDebug);
  EXPECT_EQ(config->server_address, "unix:///run/a");
  EXPECT_EQ(config->hotplug_timeout.count(), 9);
  EXPECT_EQ(config->container_pipe_size, 65536U);
  EXPECT_EQ(config->log_port, 1025U);
  EXPECT_EQ(config->forward_port, 1030U);
  EXPECT_TRUE(config->debug_console);
  EXPECT_EQ(config->debug_console_port, 1026U);
  EXPECT_EQ(config->cgroups, CgroupLayout::kHybrid);
  EXPECT_TRUE(config->warnings.empty());
}

TEST(CommandLine, DevicesAndImages) {
  const auto config = parse_command_line(
      "agent.cdi_timeout=4 agent.visible_cdi_devices=true agent.image_pull_timeout=5 agent.watchable_files=3 "
      "agent.watchable_bytes=70000");
  ASSERT_TRUE(config);
  EXPECT_TRUE(config->warnings.empty());
  EXPECT_EQ(config->cdi_timeout, std::chrono::seconds(4));
  EXPECT_TRUE(config->visible_cdi_devices);
  EXPECT_EQ(config->image_pull_timeout, std::chrono::seconds(5));
  EXPECT_EQ(config->watchable_files, 3U);
  EXPECT_EQ(config->watchable_bytes, 70000U);
}

TEST(CommandLine, KeysWithoutEffectAreNamed) {
  for (const char* word :
       {"agent.trace", "agent.trace=true", "agent.passfd_listener_port=1027", "agent.cdh_api_timeout=50",
        "agent.launch_process_timeout=6", "agent.guest_components_rest_api=all",
        "agent.guest_components_procs=none", "agent.secure_storage_integrity=false",
        "agent.https_proxy=http://p:1", "agent.no_proxy=x", "agent.mem_agent_enable=1",
        "agent.mem_agent_memcg_swap=true", "agent.mem_agent_compact_force_times=18446744073709551615",
        "agent.no_such_key=1", "agent.debug_console=1"}) {
    const auto config = parse_command_line(word);
    ASSERT_TRUE(config) << word;
    const std::string name = std::string(word).substr(0, std::string(word).find('='));
    ASSERT_EQ(config->warnings.size(), 1U) << word;
    EXPECT_NE(config->warnings[0].find(name), std::string::npos) << config->warnings[0];
  }
}

TEST(CommandLine, BadValuesAreRefusedByName) {
  for (const char* word :
       {"agent.log=loud", "agent.log_vport=x", "agent.log_vport=99999999999", "agent.hotplug_timeout=-1",
        "agent.hotplug_timeout=1.5", "agent.server_addr=", "agent.container_pipe_size=-1",
        "agent.container_pipe_size=9999999999", "agent.guest_components_procs=some",
        "agent.https_proxy=nourl", "agent.no_proxy=", "agent.mem_agent_memcg_swap=1",
        "agent.mem_agent_memcg_swappiness_max=256", "agent.mem_agent_compact_order=-1",
        "agent.config_file="}) {
    const auto config = parse_command_line(word);
    ASSERT_FALSE(config) << word;
    EXPECT_EQ(config.error().code(), Code::kInvalidArgument);
    EXPECT_NE(config.error().message().find(std::string(word).substr(0, std::string(word).find('='))),
              std::string::npos)
        << config.error().message();
  }
}

TEST(CommandLine, IgnoredNumbersKeepTheDefault) {
  const auto config =
      parse_command_line("agent.log_vport=-3 agent.hotplug_timeout=0 agent.debug_console_vport=0");
  ASSERT_TRUE(config);
  EXPECT_EQ(config->hotplug_timeout.count(), 3);
}

TEST(CommandLine, ConfigFileEndsTheLine) {
  const auto config = parse_command_line("agent.log=debug agent.config_file=/etc/a.toml agent.log=loud");
  ASSERT_TRUE(config);
  EXPECT_EQ(config->config_file, "/etc/a.toml");
}

TEST(CommandLine, WarningsAreBounded) {
  std::string line;
  for (int i = 0; i < 5000; ++i) line += "agent.unknown" + std::to_string(i) + "=1 ";
  const auto config = parse_command_line(line);
  ASSERT_TRUE(config);
  EXPECT_LE(config->warnings.size(), 64U);
}

TEST(ConfigFile, ReadsWhatTheContractNames) {
  const auto config = parse_config_file(R"(# comment
log_level = "debug" # tail
server_addr = 'unix:///run/x'
dev_mode = true
debug_console = true
debug_console_vport = 1_026
unified_cgroup_hierarchy = false
hotplug_timeout = { secs = 7, nanos = 0 }
unknown = [1, 2]

[cdi_timeout]
secs = 11
nanos = 5
)");
  ASSERT_TRUE(config) << config.error().message();
  EXPECT_EQ(config->log_level, log::Level::kDebug);
  EXPECT_EQ(config->server_address, "unix:///run/x");
  EXPECT_EQ(config->cgroups, CgroupLayout::kHybrid);
  EXPECT_EQ(config->hotplug_timeout.count(), 7);
}

TEST(ConfigFile, BadLinesAreNamed) {
  for (const char* text :
       {"log_level = \"loud\"", "server_addr", "[table", "server_addr = [1]", "log_vport = \"x",
        "hotplug_timeout = { secs = -1 }", "hotplug_timeout = { secs 1 }"}) {
    const auto config = parse_config_file(text);
    ASSERT_FALSE(config) << text;
    EXPECT_NE(config.error().message().find("line 1"), std::string::npos) << config.error().message();
  }
}

TEST(Environment, OverridesAndRefuses) {
  AgentConfig config;
  const char* const good[] = {"KATA_AGENT_SERVER_ADDR=unix:///x", "KATA_AGENT_LOG_LEVEL=trace", "OTHER=1",
                              "bare", nullptr};
  ASSERT_TRUE(apply_environment(good, config));
  EXPECT_EQ(config.server_address, "unix:///x");
  EXPECT_EQ(config.log_level, log::Level::kTrace);
  const char* const bad[] = {"KATA_AGENT_LOG_LEVEL=loud", nullptr};
  const auto applied = apply_environment(bad, config);
  ASSERT_FALSE(applied);
  EXPECT_NE(applied.error().message().find("KATA_AGENT_LOG_LEVEL"), std::string::npos);
}

TEST(ListenAddress, Forms) {
  EXPECT_EQ(parse_listen_address("vsock://-1:1024")->text(), "vsock:1024");
  EXPECT_EQ(parse_listen_address("unix:///run/a.sock")->path, "/run/a.sock");
  EXPECT_EQ(parse_listen_address("unix://@abstract")->path, "@abstract");
  for (const char* text : {"", "vsock://", "vsock://-1", "vsock://x:1", "vsock://-1:",
                           "vsock://-1:99999999999", "vsock://-1:4294967295", "tcp://1:2", "unix://"}) {
    EXPECT_FALSE(parse_listen_address(text)) << text;
  }
  EXPECT_FALSE(parse_listen_address("unix:///" + std::string(108, 'a')));
}

TEST(ModuleList, OnePathALine) {
  EXPECT_EQ(parse_module_list("# x\n/a.ko\n\n/b.ko \r\n/c.ko"),
            (std::vector<std::string>{"/a.ko", "/b.ko", "/c.ko"}));
}

TEST(ModuleList, WhatTheSocketNeedsComesFirst) {
  const ModulePlan plan =
      plan_modules({"/m/vsock.ko", "/m/virtio.ko", "/m/vmw_vsock_virtio.ko", "/vsock/overlay.ko"});
  EXPECT_EQ(plan.first, (std::vector<std::string>{"/m/vsock.ko", "/m/virtio.ko", "/m/vmw_vsock_virtio.ko"}));
  EXPECT_EQ(plan.later, (std::vector<std::string>{"/vsock/overlay.ko"}));
  EXPECT_EQ(plan_modules({"/m/a.ko"}).later.size(), 1U);
  EXPECT_TRUE(plan_modules({}).first.empty());
}

TEST(ModuleList, DevicesChoose) {
  struct Row {
    const char* list;
    std::vector<std::string> devices, expected;
  };
  const std::vector<Row> rows = {
      {"virtio:1 /failover.ko\nvirtio:1 /net.ko\n", {"virtio:19", "virtio:1"}, {"/failover.ko", "/net.ko"}},
      {"virtio:1 /net.ko\n", {"virtio:11"}, {}},
      {"virtio:11 /a.ko\nvirtio:1 /b.ko\n", {"virtio:1"}, {"/b.ko"}},
      {"virtio:1\n# x\n/net.ko\n", {"virtio:1"}, {}},
      {"", {"virtio:1"}, {}},
  };
  for (const Row& row : rows) EXPECT_EQ(modules_for(row.list, row.devices), row.expected) << row.list;
  EXPECT_TRUE(virtio_devices("/nonexistent").empty());
}

}  // namespace
}  // namespace kata::boot
