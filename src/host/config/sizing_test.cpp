#include "host/config/sizing.h"

#include <cmath>

#include <gmock/gmock.h>

#include "host/config/cpu_list.h"
#include "host/config/derived.h"
#include "host/config/testing.h"

namespace kata::config {
namespace {

using testing::AllOf;
using testing::HasSubstr;

constexpr HostFacts kHost{.cpus = 8, .memory_mib = 16384};

Config shipped() {
  Config config;
  config.hypervisor_name = "qemu";
  config.agent_name = "kata";
  config.runtime.static_sandbox_resource_mgmt = true;
  config.hypervisor.default_vcpus = 1;
  config.hypervisor.default_maxvcpus = 8;
  config.hypervisor.default_memory = 2048;
  config.hypervisor.default_maxmemory = 1000;
  config.hypervisor.overhead_vcpus = 0.2;
  config.hypervisor.overhead_memory = 32;
  return config;
}

Annotations cri(const char* quota, const char* period, const char* memory) {
  return {{"io.kubernetes.cri.sandbox-cpu-quota", quota},
          {"io.kubernetes.cri.sandbox-cpu-period", period},
          {"io.kubernetes.cri.sandbox-memory", memory}};
}

struct SizeRow {
  const char* name;
  Annotations annotations;
  uint32_t vcpus, memory;
};

TEST(Sizing, FromAnnotations) {
  const SizeRow rows[] = {
      {"nothing known", {}, 1, 2048},
      {"half a CPU, 256 MiB", cri("50000", "100000", "268435456"), 1, 288},
      {"two CPUs, 1 GiB", cri("200000", "100000", "1073741824"), 3, 1056},
      {"no CPU limit", cri("-1", "100000", "268435456"), 1, 288},
      {"odd MiB", cri("100000", "100000", "135266304"), 2, 162},
      {"a byte less than 130 MiB", cri("0", "0", "136314879"), 1, 162},
      {"CPU only keeps the memory", cri("200000", "100000", "0"), 3, 2048},
      {"memory only keeps the CPUs", cri("", "", "268435456"), 1, 288},
      {"unparsable", cri("1e5", "x", "256Mi"), 1, 2048},
      {"800m + 0.2 is one", cri("80000", "100000", "268435456"), 1, 288},
      {"1800m + 0.2 is two", cri("180000", "100000", "268435456"), 2, 288},
      {"2800m + 0.2 is three", cri("280000", "100000", "268435456"), 3, 288},
      {"801m + 0.2 is two", cri("80100", "100000", "268435456"), 2, 288},
      {"more than the host", cri("100000", "100000", "9223372036854771712"), 2, 16384},
  };
  for (const SizeRow& row : rows) {
    const VmSize size = size_vm(shipped(), limits_from_annotations(row.annotations), kHost);
    EXPECT_EQ(size.vcpus, row.vcpus) << row.name;
    EXPECT_EQ(size.max_vcpus, row.vcpus) << row.name;
    EXPECT_EQ(size.memory_mib, row.memory) << row.name;
    EXPECT_EQ(size.max_memory_mib, std::max(1000u, row.memory)) << row.name;
  }
}

TEST(Sizing, EveryMilliCpuSumsUpRight) {
  for (const double overhead : {0.2, 0.4, 0.5}) {
    Config config = shipped();
    config.hypervisor.overhead_vcpus = overhead;
    const int overhead_milli = static_cast<int>(std::lround(overhead * 1000));
    for (int milli = 1; milli <= 64000; ++milli) {
      const VmSize size = size_vm(config, {.vcpus = milli * 100.0 / 100000.0, .memory_mib = 256}, kHost);
      const int whole = std::max(1, (milli + overhead_milli + 999) / 1000);
      ASSERT_EQ(size.vcpus, static_cast<uint32_t>(whole)) << milli << "m + " << overhead;
    }
  }
}

TEST(Sizing, WithoutStaticManagementLimitsComeOnTop) {
  Config config = shipped();
  config.runtime.static_sandbox_resource_mgmt = false;
  config.hypervisor.default_vcpus = 1.5;
  config.hypervisor.default_maxmemory = 4096;
  const VmSize size = size_vm(config, {.vcpus = 4, .memory_mib = 512}, kHost);
  EXPECT_EQ(size.vcpus, 6u);
  EXPECT_EQ(size.max_vcpus, 8u);
  EXPECT_EQ(size.memory_mib, 2560u);
  EXPECT_THAT(size.clamps, testing::IsEmpty());
  const VmSize none = size_vm(config, {}, kHost);
  EXPECT_EQ(none.vcpus, 2u);
  EXPECT_EQ(none.memory_mib, 2048u);
  const VmSize huge = size_vm(config, {.vcpus = 1e18, .memory_mib = uint64_t{1} << 40}, kHost);
  EXPECT_EQ(huge.vcpus, 8u);
  EXPECT_EQ(huge.memory_mib, 4096u);
  EXPECT_EQ(huge.clamps.size(), 2u);
}

TEST(Sizing, TooSmallIsRaisedTooLargeIsRefused) {
  Config config = shipped();
  const VmSize small = size_vm(config, {.vcpus = 0, .memory_mib = 30}, kHost);
  EXPECT_EQ(small.memory_mib, 64u);
  EXPECT_THAT(small.clamps, testing::ElementsAre(HasSubstr("gives 62 MiB")));
  EXPECT_EQ(size_vm(config, {.vcpus = 0, .memory_mib = 32}, kHost).memory_mib, 64u);
  EXPECT_THAT(error_of([&] { return size_vm(config, {.vcpus = 300, .memory_mib = 0}, kHost); }),
              HasSubstr("asks for 301 vCPUs, and qemu can have at most 256"));
  EXPECT_THAT(error_of([&] { return size_vm(config, {.vcpus = 1e18, .memory_mib = 0}, kHost); }),
              HasSubstr("at most 256"));
  config.hypervisor.default_memory = 0;
  EXPECT_THAT(error_of([&] { return size_vm(config, {}, kHost); }),
              HasSubstr("raise hypervisor.qemu.default_memory"));
}

TEST(Sizing, AppliedLimitsReplaceTheFilesSizes) {
  Config config = shipped();
  apply_limits(config, {.vcpus = 2, .memory_mib = 512}, kHost);
  EXPECT_EQ(config.hypervisor.default_vcpus, 3);
  EXPECT_EQ(config.hypervisor.default_maxvcpus, 3u);
  EXPECT_EQ(config.hypervisor.default_memory, 544u);
  EXPECT_EQ(config.hypervisor.default_maxmemory, 1000u);
}

TEST(Limits, SpecBeforeAnnotations) {
  oci::Spec spec;
  spec.annotations = cri("50000", "100000", "268435456");
  spec.linux_config.emplace().resources.emplace();
  spec.linux_config->resources->memory.emplace().limit = 1 << 30;
  const PodLimits single = limits_from_spec(spec, ContainerKind::kSingle);
  EXPECT_EQ(single.memory_mib, 1024u);
  EXPECT_EQ(single.vcpus, 0.5);
  const PodLimits sandbox = limits_from_spec(spec, ContainerKind::kPodSandbox);
  EXPECT_EQ(sandbox.memory_mib, 256u);
}

TEST(Limits, QuotaThenCpuset) {
  oci::Resources resources;
  resources.cpu.emplace().cpus = "0-3,7";
  EXPECT_EQ(limits_from_resources(resources).vcpus, 5);
  resources.cpu->quota = 150000;
  EXPECT_EQ(limits_from_resources(resources).vcpus, 5) << "a quota without a period";
  resources.cpu->period = 100000;
  EXPECT_EQ(limits_from_resources(resources).vcpus, 1.5);
  resources.cpu->quota = -1;
  EXPECT_EQ(limits_from_resources(resources).vcpus, 5);
  resources.memory.emplace().limit = -1;
  EXPECT_EQ(limits_from_resources(resources).memory_mib, 0u);
}

TEST(CpuList, Counts) {
  const std::pair<const char*, uint32_t> rows[] = {{"", 0},
                                                   {"0", 1},
                                                   {"0-3", 4},
                                                   {"0-3,7", 5},
                                                   {"3-0", 0},
                                                   {"1,", 0},
                                                   {",1", 0},
                                                   {"a", 0},
                                                   {"0-", 0},
                                                   {"1 ", 0},
                                                   {"0-65535", 65536},
                                                   {"0-65536", 0},
                                                   {"0-65535,0-65535", 0},
                                                   {"-1", 0}};
  for (const auto& [list, count] : rows) EXPECT_EQ(count_cpus(list), count) << list;
}

TEST(Derived, LogLevels) {
  const std::pair<const char*, const char*> rows[] = {
      {"trace", "trace"}, {"debug", "debug"},       {"info", "info"}, {"warn", "warn"},
      {"error", "error"}, {"critical", "critical"}, {"loud", "info"}, {"", "info"}};
  for (const auto& [written, plain] : rows) {
    EXPECT_EQ(effective_log_level(false, written), plain) << written;
    const bool lifted = std::string_view(written) == "info" || std::string_view(written).empty();
    EXPECT_EQ(effective_log_level(true, written), lifted ? "debug" : plain) << written;
  }
  Config config = shipped();
  config.agent.enable_debug = true;
  config.runtime.log_level = "warn";
  const LogLevels levels = log_levels(config);
  EXPECT_EQ(levels.agent, "debug");
  EXPECT_EQ(levels.runtime, "warn");
  EXPECT_EQ(levels.hypervisor, "info");
}

TEST(Derived, ReconnectFloor) {
  const std::pair<uint32_t, int> rows[] = {{0, 10000},     {3000, 10000},  {9999, 10000},
                                           {10000, 10000}, {10001, 10001}, {1200000, 1200000}};
  for (const auto& [written, used] : rows) {
    AgentConfig agent;
    agent.reconnect_timeout_ms = written;
    EXPECT_EQ(agent_times(agent).reconnect.count(), used) << written;
  }
}

TEST(Derived, PausesAndRequests) {
  AgentConfig agent;
  for (const auto& [written, used] : {std::pair{1u, 10}, {10u, 10}, {45u, 45}, {500u, 500}, {45000u, 500}}) {
    agent.dial_timeout_ms = written;
    EXPECT_EQ(agent_times(agent).first_pause.count(), used) << written;
  }
  agent.create_container_timeout = 4294967295;
  EXPECT_EQ(agent_times(agent).request.count(), 4294967295000);
  EXPECT_EQ(agent_times(agent).health_check.count(), 90000);
}

}  // namespace
}  // namespace kata::config
