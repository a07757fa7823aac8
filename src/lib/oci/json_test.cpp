#include "lib/oci/json.h"

#include <filesystem>
#include <string>

#include <gtest/gtest.h>

#include "lib/fd/io.h"

namespace kata::oci {
namespace {

std::string nested(std::size_t depth) {
  return std::string(depth, '[') + std::string(depth, ']');
}

TEST(OciJson, ReadsEveryPartOfASpec) {
  const auto spec = parse_spec(read_file("fuzz/oci_json/full.json"));
  ASSERT_TRUE(spec) << spec.error().message();
  EXPECT_EQ(spec->version, "1.2.0");
  EXPECT_EQ(spec->hostname, "web-0");
  ASSERT_TRUE(spec->process);
  EXPECT_TRUE(spec->process->terminal);
  EXPECT_EQ(spec->process->console_size->width, 80u);
  EXPECT_EQ(spec->process->user.umask, 18u);
  EXPECT_EQ(spec->process->user.additional_gids, (std::vector<uint32_t>{5, 4294967295u}));
  EXPECT_EQ(spec->process->args, (std::vector<std::string>{"sleep", "1"}));
  EXPECT_EQ(spec->process->capabilities->ambient, std::vector<std::string>{"CAP_KILL"});
  EXPECT_EQ(spec->process->rlimits.at(0).hard, 18446744073709551615u);
  EXPECT_EQ(spec->process->oom_score_adj, -998);
  EXPECT_EQ(spec->process->scheduler->policy, "SCHED_OTHER");
  EXPECT_EQ(spec->process->io_priority->io_class, "IOPRIO_CLASS_IDLE");
  EXPECT_EQ(spec->process->exec_cpu_affinity_final, "1-3");
  EXPECT_EQ(spec->mounts.at(0).options, (std::vector<std::string>{"nosuid", "mode=755"}));
  EXPECT_EQ(spec->mounts.at(0).uid_mappings.at(0).host_id, 1000u);
  EXPECT_EQ(spec->hooks.start_container.at(0).timeout, 5);
  EXPECT_EQ(spec->annotations.at("io.kubernetes.cri.container-type"), "container");
}

TEST(OciJson, ReadsTheLinuxPart) {
  const auto spec = parse_spec(read_file("fuzz/oci_json/full.json"));
  ASSERT_TRUE(spec && spec->linux_config && spec->linux_config->resources);
  const Linux& part = *spec->linux_config;
  EXPECT_EQ(part.namespaces.at(1).path, "/var/run/netns/x");
  EXPECT_EQ(part.devices.at(0).file_mode, 438u);
  EXPECT_EQ(part.seccomp->syscalls.at(0).args.at(0).value, 2114060288u);
  EXPECT_EQ(part.seccomp->syscalls.at(0).errno_ret, 38u);
  EXPECT_EQ(part.sysctl.at("net.core.somaxconn"), "256");
  EXPECT_EQ(part.masked_paths.size(), 1u);
  EXPECT_EQ(part.personality, "PER_LINUX32");
  EXPECT_EQ(part.time_offsets.at("monotonic").secs, -3);
  const Resources& limits = *part.resources;
  EXPECT_EQ(limits.devices.at(0).major, std::nullopt);
  EXPECT_EQ(limits.devices.at(1).major, 1);
  EXPECT_EQ(limits.memory->limit, 268435456);
  EXPECT_EQ(limits.memory->swap, -1);
  EXPECT_EQ(limits.cpu->quota, 50000);
  EXPECT_EQ(limits.cpu->cpus, "0-1");
  EXPECT_EQ(limits.pids_limit, 100);
  EXPECT_EQ(limits.block_io->throttle_read_bps.at(0).rate, 1048576u);
  EXPECT_EQ(limits.block_io->weight_device.at(0).weight, 500);
  EXPECT_EQ(limits.hugepage_limits.at(0).page_size, "2MB");
  EXPECT_EQ(limits.network->priorities.at(0).priority, 7u);
  EXPECT_EQ(limits.rdma.at("mlx5_1").hca_handles, 3u);
  EXPECT_EQ(limits.unified.at("memory.high"), "1048576");
}

struct BadRow {
  const char* name;
  std::string json;
  const char* message;
};

class OciJsonBad : public testing::TestWithParam<BadRow> {};

TEST_P(OciJsonBad, IsRefusedWithItsPlace) {
  const auto spec = parse_spec(GetParam().json);
  ASSERT_FALSE(spec);
  EXPECT_EQ(spec.error().code(), Code::kInvalidArgument);
  EXPECT_NE(spec.error().message().find(GetParam().message), std::string::npos) << spec.error().message();
}

INSTANTIATE_TEST_SUITE_P(
    Rows, OciJsonBad,
    testing::Values(
        BadRow{"empty", "", "not valid JSON near line 1"},
        BadRow{"cut_off", "{\n\"process\": {", "not valid JSON near line 2"},
        BadRow{"trailing", "{} {}", "not valid JSON near line 1"},
        BadRow{"not_an_object", "[]", "the document: expected an object, found an array"},
        BadRow{"limit_is_text", R"({"linux":{"resources":{"memory":{"limit":"1"}}}})",
               "linux.resources.memory.limit: expected an integer, found a string"},
        BadRow{"fraction", R"({"linux":{"resources":{"cpu":{"quota":1.5}}}})",
               "linux.resources.cpu.quota: expected an integer, found a number with a fraction"},
        BadRow{"negative_unsigned", R"({"process":{"user":{"uid":-1}}})",
               "process.user.uid: expected a number from 0 to 4294967295, found -1"},
        BadRow{"above_range", R"({"process":{"user":{"additionalGids":[1,4294967296]}}})",
               "process.user.additionalGids[1]: expected a number from 0 to 4294967295, found 4294967296"},
        BadRow{"above_int64", R"({"linux":{"resources":{"memory":{"limit":9223372036854775808}}}})",
               "linux.resources.memory.limit: expected a number from -9223372036854775808"},
        BadRow{"element_kind", R"({"process":{"args":["a",{}]}})",
               "process.args[1]: expected a string, found an object"},
        BadRow{"flag_is_number", R"({"process":{"terminal":1}})",
               "process.terminal: expected true or false, found a number"},
        BadRow{"nul", "{\"hostname\":\"a\\u0000b\"}", "hostname: the string holds a NUL character"},
        BadRow{"map_value", R"({"annotations":{"x y":1}})",
               "annotations.x y: expected a string, found a number"},
        BadRow{"too_deep", "{\"x\":" + nested(64) + "}", "not valid JSON near line 1"},
        BadRow{"too_large", std::string((16u << 20) + 1, ' '), "more than the 16 MiB"}),
    [](const auto& row) { return row.param.name; });

TEST(OciJson, UnknownKeysAndNullsAreLeftOut) {
  const auto spec = parse_spec(R"({"zos":{"a":[1]},"process":null,"mounts":null,"x":)" + nested(60) + "}");
  ASSERT_TRUE(spec) << spec.error().message();
  EXPECT_FALSE(spec->process);
  EXPECT_TRUE(spec->mounts.empty());
}

TEST(OciJson, ProcessAndResourcesStandAlone) {
  const auto process = parse_process(R"({"args":["sh"],"cwd":"/","env":["A=b"]})");
  ASSERT_TRUE(process);
  EXPECT_EQ(process->env, std::vector<std::string>{"A=b"});
  const auto resources = parse_resources(R"({"pids":{"limit":0},"cpu":{"shares":2}})");
  ASSERT_TRUE(resources);
  EXPECT_EQ(resources->pids_limit, 0);
  EXPECT_EQ(resources->cpu->shares, 2u);
  EXPECT_FALSE(resources->memory);
}

TEST(OciJson, LoadNamesTheFile) {
  const auto bundle = std::filesystem::path(testing::TempDir()) / "oci_json_bundle";
  std::filesystem::create_directories(bundle);
  const std::string file = (bundle / "config.json").string();
  std::filesystem::remove(file);
  try {
    load_spec(bundle.string());
    FAIL() << "no config.json, yet loaded";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Code::kNotFound);
    EXPECT_NE(error.message().find(file), std::string::npos) << error.message();
  }
  write_file(file, "{\"ociVersion\": 1}");
  try {
    load_spec(bundle.string());
    FAIL() << "a broken config.json, yet loaded";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Code::kInvalidArgument);
    EXPECT_EQ(error.message(), file + ": ociVersion: expected a string, found a number");
  }
  write_file(file, "{\"ociVersion\": \"1.0.2\"}");
  EXPECT_EQ(load_spec(bundle.string()).version, "1.0.2");
  std::filesystem::remove_all(bundle);
}

}  // namespace
}  // namespace kata::oci
