// Conversions and texts; what needs the kernel is tested with containers (guest/container).
#include "guest/cgroup/cgroup.h"

#include <limits>

#include <gtest/gtest.h>

#include "guest/cgroup/device_filter.h"
#include "guest/cgroup/limits.h"
#include "guest/cgroup/parse.h"
#include "lib/error/error.h"

namespace kata::cgroup {
namespace {

TEST(PathTest, FormsOfCgroupsPath) {
  const struct {
    const char *given, *path;
  } rows[] = {{"", "/id"},
              {"/", "/id"},
              {"/a/b", "/a/b"},
              {"a//b/./c/", "/a/b/c"},
              {"system.slice:docker:abc", "/system.slice/docker-abc.scope"},
              {":cri-containerd:abc", "/cri-containerd-abc.scope"},
              {"a-b-c.slice:p:n", "/a.slice/a-b.slice/a-b-c.slice/p-n.scope"},
              {"user.slice::n", "/user.slice/n"},
              {"::", "/id"},
              {"a.slice::", "/a.slice/id"},
              {"::/", "/id"},
              {"::.", "/id"},
              {"/x:y:z", "/x:y:z"}};
  for (const auto& row : rows) EXPECT_EQ(path_of(row.given, "id"), row.path) << row.given;
  for (const char* bad : {"..", "/a/../b", "a:b:../../x"}) EXPECT_THROW(path_of(bad, "id"), Error) << bad;
}

TEST(LimitsTest, SharesAndWeights) {
  const struct {
    uint64_t shares, weight;
  } rows[] = {{0, 1}, {2, 1}, {1024, 39}, {262144, 10000}, {999999999, 10000}};
  for (const auto& row : rows) EXPECT_EQ(weight_of_shares(row.shares), row.weight) << row.shares;
  EXPECT_EQ(io_weight_of(10), 1U);
  EXPECT_EQ(io_weight_of(500), 4950U);
  EXPECT_EQ(io_weight_of(1000), 10000U);
}

TEST(LimitsTest, CpuMax) {
  const auto text = [](std::optional<int64_t> quota, std::optional<uint64_t> period) {
    oci::CpuLimits cpu;
    cpu.quota = quota;
    cpu.period = period;
    return cpu_max(cpu).value_or("-");
  };
  EXPECT_EQ(text({}, {}), "-");
  EXPECT_EQ(text(0, 0), "-");
  EXPECT_EQ(text(50000, {}), "50000 100000");
  EXPECT_EQ(text(50000, 20000), "50000 20000");
  EXPECT_EQ(text(-1, {}), "max 100000");
  EXPECT_EQ(text({}, 20000), "max 20000");
}

TEST(LimitsTest, Swap) {
  const auto text = [](std::optional<int64_t> limit, std::optional<int64_t> swap) {
    oci::MemoryLimits memory;
    memory.limit = limit;
    memory.swap = swap;
    return swap_max(memory).value_or("-");
  };
  EXPECT_EQ(text(100, {}), "-");
  EXPECT_EQ(text(100, 100), "0");
  EXPECT_EQ(text(100, 150), "50");
  EXPECT_EQ(text(100, -1), "max");
  EXPECT_EQ(text({}, -1), "max");
  EXPECT_THROW(text(100, 99), Error);
  EXPECT_THROW(text({}, 99), Error);
  EXPECT_THROW(text(-1, 99), Error);
}

TEST(LimitsTest, TextOfALimit) {
  EXPECT_EQ(limit_text({}, "max"), std::nullopt);
  EXPECT_EQ(limit_text(0, "max"), std::nullopt);
  EXPECT_EQ(limit_text(-1, "max"), "max");
  EXPECT_EQ(limit_text(-5, "-1"), "-1");
  EXPECT_EQ(limit_text(42, "max"), "42");
}

TEST(LimitsTest, HugePageNames) {
  for (const char* good : {"2MB", "1GB", "64KB"}) EXPECT_EQ(huge_page_name(good), good);
  for (const char* bad : {"", "MB", "2", "2mb", "2MB/", "../2MB", "-2MB"})
    EXPECT_THROW(huge_page_name(bad), Error) << bad;
}

TEST(ParseTest, Numbers) {
  EXPECT_EQ(parse_number("12\n"), 12U);
  EXPECT_EQ(parse_number("max\n"), std::numeric_limits<uint64_t>::max());
  for (const char* bad : {"", "x", "-1", "1x", "99999999999999999999"})
    EXPECT_EQ(parse_number(bad), std::nullopt) << bad;
  EXPECT_EQ(parse_numbers("1 2\n3 x 4"), (std::vector<uint64_t>{1, 2, 3}));
  EXPECT_EQ(parse_pids("1\n0\n22\nx\n-3\n"), (std::vector<pid_t>{1, 22}));
}

TEST(ParseTest, Keyed) {
  const auto values = parse_keyed("a 1\nb x\n\nc\nd max\na 9\n");
  EXPECT_EQ(values.size(), 2U);
  EXPECT_EQ(values.at("a"), 1U);
  EXPECT_EQ(values.at("d"), std::numeric_limits<uint64_t>::max());
}

TEST(ParseTest, BlockIo) {
  BlockIoStats stats;
  parse_io_stat("8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=5\nx\n8:y rbytes=1\n9:1 wbytes=7 junk\n", stats);
  ASSERT_EQ(stats.bytes.size(), 3U);
  EXPECT_EQ(stats.bytes[2].major, 9U);
  EXPECT_EQ(stats.bytes[2].operation, "Write");
  EXPECT_EQ(stats.operations.size(), 2U);
  const auto entries = parse_blkio("8:0 Read 4096\n8:0 77\nTotal 4096\n8:0 Write x\n");
  ASSERT_EQ(entries.size(), 2U);
  EXPECT_EQ(entries[0].operation, "Read");
  EXPECT_EQ(entries[1].operation, "");
  EXPECT_EQ(entries[1].value, 77U);
}

oci::DeviceCgroupRule rule(bool allow, const char* type, std::optional<int64_t> major,
                           std::optional<int64_t> minor, const char* access) {
  return {.allow = allow, .type = type, .major = major, .minor = minor, .access = access};
}

bool allows(const DevicePolicy& policy, char type, uint32_t major, uint32_t minor, uint32_t access) {
  for (const auto& entry : policy.exceptions) {
    if (entry.type != 'a' && entry.type != type) continue;
    if ((entry.major && *entry.major != major) || (entry.minor && *entry.minor != minor)) continue;
    if (policy.allow ? (access & entry.access) != 0 : (access & ~entry.access) == 0) return !policy.allow;
  }
  return policy.allow;
}

TEST(DeviceTest, RulesInOrder) {
  constexpr uint32_t kRead = 2;
  constexpr uint32_t kWrite = 4;
  const auto deny_all = rule(false, "a", {}, {}, "rwm");
  // No rules, no denial.
  DevicePolicy policy = device_policy({});
  EXPECT_TRUE(policy.allow);
  EXPECT_TRUE(policy.exceptions.empty());
  policy = device_policy({deny_all});
  EXPECT_FALSE(allows(policy, 'b', 8, 0, kRead));
  EXPECT_TRUE(allows(policy, 'b', 8, 0, 1)) << "mknod";
  EXPECT_TRUE(allows(policy, 'c', 1, 3, kRead | kWrite));
  EXPECT_TRUE(allows(policy, 'c', 136, 77, kRead | kWrite));
  // Two rules for one device add up.
  policy = device_policy({deny_all, rule(true, "b", 8, 0, "r"), rule(true, "b", 8, 0, "w")});
  EXPECT_TRUE(allows(policy, 'b', 8, 0, kRead | kWrite));
  EXPECT_FALSE(allows(policy, 'b', 8, 1, kRead));
  EXPECT_FALSE(allows(policy, 'c', 8, 0, kRead));
  // A later denial takes back.
  policy = device_policy({deny_all, rule(true, "b", 8, {}, "rw"), rule(false, "b", 8, {}, "w")});
  EXPECT_TRUE(allows(policy, 'b', 8, 5, kRead));
  EXPECT_FALSE(allows(policy, 'b', 8, 5, kWrite));
  // All at once begins anew.
  policy = device_policy({deny_all, rule(true, "", {}, {}, "rwm")});
  EXPECT_TRUE(policy.allow);
  EXPECT_TRUE(policy.exceptions.empty());
  policy = device_policy({rule(false, "c", 9, 9, "rw")});
  EXPECT_FALSE(allows(policy, 'c', 9, 9, kRead));
  EXPECT_TRUE(allows(policy, 'c', 9, 8, kRead));
}

TEST(DeviceTest, RefusesWords) {
  EXPECT_THROW(device_policy({rule(true, "q", 1, 1, "r")}), Error);
  EXPECT_THROW(device_policy({rule(true, "c", 1, 1, "rx")}), Error);
}

TEST(DeviceTest, ProgramEndsInTheDefault) {
  const auto code = compile_device_policy(device_policy({rule(false, "a", {}, {}, "rwm")}));
  ASSERT_GT(code.size(), 8U);
  // mov r0, 0; exit
  EXPECT_EQ(code[code.size() - 2] & 0xff, 0xb7U);
  EXPECT_EQ(code[code.size() - 2] >> 32, 0U);
  EXPECT_EQ(code.back() & 0xff, 0x95U);
}

}  // namespace
}  // namespace kata::cgroup
