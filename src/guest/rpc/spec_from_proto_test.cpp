#include "guest/rpc/spec_from_proto.h"

#include <gtest/gtest.h>

#include "guest/rpc/hot_plug.h"
#include "guest/rpc/ids.h"
#include "guest/rpc/spec_extras.h"
#include "guest/rpc/utf8.h"

namespace kata::rpc {
namespace {

TEST(SpecFromProto, ZeroIsAbsentWhereTheContractSaysSo) {
  grpc::LinuxResources from;
  from.mutable_memory()->set_limit(0);
  from.mutable_memory()->set_swap(-5);
  from.mutable_memory()->set_reservation(4096);
  from.mutable_cpu()->set_quota(-1);
  from.mutable_cpu()->set_period(100000);
  auto& rule = *from.add_devices();
  rule.set_major(0);
  rule.set_minor(-1);
  rule.set_access("rw");
  const auto to = resources_from_proto(from);
  ASSERT_TRUE(to);
  EXPECT_FALSE(to->memory->limit);
  EXPECT_EQ(to->memory->swap, -1);
  EXPECT_EQ(to->memory->reservation, 4096);
  EXPECT_EQ(to->cpu->quota, -1);
  EXPECT_EQ(to->cpu->period, 100000U);
  EXPECT_FALSE(to->cpu->shares);
  EXPECT_FALSE(to->pids_limit);
  EXPECT_FALSE(to->devices[0].major);
  EXPECT_FALSE(to->devices[0].minor);
  from.mutable_pids();
  EXPECT_EQ(resources_from_proto(from)->pids_limit, 0);
}

TEST(SpecFromProto, CarriesEveryPart) {
  grpc::Spec from;
  from.set_version("1.2.0");
  from.set_hostname("h");
  auto& process = *from.mutable_process();
  process.set_terminal(true);
  process.mutable_consolesize()->set_height(3);
  process.mutable_user()->set_uid(7);
  process.mutable_user()->add_additionalgids(9);
  process.add_args("a");
  process.add_env("K=V");
  process.set_cwd("/w");
  process.mutable_capabilities()->add_ambient("CAP_KILL");
  process.add_rlimits()->set_type("RLIMIT_NOFILE");
  process.set_nonewprivileges(true);
  process.set_oomscoreadj(-10);
  from.mutable_root()->set_path("/r");
  from.mutable_root()->set_readonly(true);
  auto& mount = *from.add_mounts();
  mount.set_destination("/d");
  mount.add_options("ro");
  auto& hook = *from.mutable_hooks()->add_poststop();
  hook.set_path("/h");
  hook.set_timeout(4);
  (*from.mutable_annotations())["k"] = "v";
  auto& config = *from.mutable_linux();
  (*config.mutable_sysctl())["net.x"] = "1";
  config.add_uidmappings()->set_size(5);
  config.add_namespaces()->set_type("user");
  config.add_maskedpaths("/m");
  config.add_readonlypaths("/ro");
  auto& seccomp = *config.mutable_seccomp();
  seccomp.set_defaultaction("SCMP_ACT_ERRNO");
  seccomp.add_architectures("SCMP_ARCH_X86_64");
  auto& syscall = *seccomp.add_syscalls();
  syscall.add_names("read");
  syscall.set_action("SCMP_ACT_ALLOW");
  syscall.set_errnoret(0);
  syscall.add_args()->set_op("SCMP_CMP_EQ");
  const auto to = spec_from_proto(from);
  ASSERT_TRUE(to) << to.error().message();
  EXPECT_TRUE(to->process->terminal);
  EXPECT_EQ(to->process->console_size->height, 3U);
  EXPECT_EQ(to->process->user.additional_gids, std::vector<uint32_t>{9});
  EXPECT_EQ(to->process->oom_score_adj, -10);
  EXPECT_EQ(to->process->capabilities->ambient, std::vector<std::string>{"CAP_KILL"});
  EXPECT_TRUE(to->root->readonly);
  EXPECT_EQ(to->mounts[0].options, std::vector<std::string>{"ro"});
  EXPECT_EQ(to->hooks.poststop[0].timeout, 4);
  EXPECT_EQ(to->annotations.at("k"), "v");
  EXPECT_EQ(to->linux_config->sysctl.at("net.x"), "1");
  EXPECT_EQ(to->linux_config->uid_mappings[0].size, 5U);
  EXPECT_EQ(to->linux_config->seccomp->syscalls[0].names[0], "read");
  EXPECT_FALSE(to->linux_config->seccomp->syscalls[0].errno_ret);
}

TEST(SpecFromProto, AbsentOomScoreAndSeccomp) {
  grpc::Spec from;
  from.mutable_process();
  from.mutable_linux()->mutable_seccomp();
  const auto to = spec_from_proto(from);
  ASSERT_TRUE(to);
  EXPECT_FALSE(to->process->oom_score_adj);
  EXPECT_FALSE(to->process->console_size);
  EXPECT_FALSE(to->linux_config->seccomp);
}

TEST(SpecFromProto, UnknownWordsAreRefusedByField) {
  struct Row {
    void (*change)(grpc::Spec& spec);
    const char* field;
  };
  using S = grpc::Spec;
  const Row rows[] = {
      {[](S& s) { s.mutable_linux()->add_namespaces()->set_type("network "); }, "Linux.Namespaces.Type"},
      {[](S& s) { s.mutable_process()->mutable_capabilities()->add_effective("KILL"); },
       "Process.Capabilities.Effective"},
      {[](S& s) { s.mutable_process()->mutable_capabilities()->add_permitted("CAP_"); },
       "Process.Capabilities.Permitted"},
      {[](S& s) { s.mutable_process()->add_rlimits()->set_type("NOFILE"); }, "Process.Rlimits.Type"},
      {[](S& s) { s.mutable_linux()->mutable_seccomp()->set_defaultaction("ALLOW"); },
       "Linux.Seccomp.DefaultAction"},
      {[](S& s) {
         s.mutable_linux()->mutable_seccomp()->set_defaultaction("SCMP_ACT_ALLOW");
         s.mutable_linux()->mutable_seccomp()->add_architectures("amd64");
       },
       "Linux.Seccomp.Architectures"},
      {[](S& s) {
         s.mutable_linux()->mutable_seccomp()->set_defaultaction("SCMP_ACT_ALLOW");
         s.mutable_linux()->mutable_seccomp()->add_syscalls()->set_action("SCMP_ACT_ALLOW");
         s.mutable_linux()->mutable_seccomp()->mutable_syscalls(0)->add_args()->set_index(6);
       },
       "Args.Index"},
      {[](S& s) { s.mutable_linux()->mutable_resources()->add_devices()->set_type("p"); },
       "Resources.Devices.Type"},
      {[](S& s) { s.mutable_linux()->mutable_resources()->add_devices()->set_access("x"); },
       "Resources.Devices.Access"},
      {[](S& s) {
         s.mutable_linux()->add_devices()->set_type("c");
         s.mutable_linux()->mutable_devices(0)->set_path("dev/x");
       },
       "Linux.Devices.Path"},
      {[](S& s) { s.add_mounts(); }, "Mounts.destination"},
  };
  for (const Row& row : rows) {
    grpc::Spec spec;
    row.change(spec);
    const auto to = spec_from_proto(spec);
    ASSERT_FALSE(to) << row.field;
    EXPECT_EQ(to.error().code(), Code::kInvalidArgument);
    EXPECT_NE(to.error().message().find(row.field), std::string::npos) << to.error().message();
  }
}

TEST(SpecExtras, FillOnlyWhatTheMessageCannotCarry) {
  SpecExtras extras;
  extras.put("c1", "", R"({"ociVersion":"1.2.0","domainname":"dom","hostname":"other",
    "process":{"cwd":"/x","args":["y"],"user":{"uid":5,"gid":5,"umask":18},"ioPriority":{"class":"IOPRIO_CLASS_IDLE","priority":3}},
    "mounts":[{"destination":"/m","source":"/host","uidMappings":[{"hostID":1,"containerID":0,"size":2}]}],
    "linux":{"resources":{"unified":{"memory.high":"1"},"memory":{"limit":7}}}})");
  oci::Spec spec;
  spec.process.emplace();
  spec.process->cwd = "/keep";
  spec.mounts.push_back({.destination = "/m",
                         .source = "/guest",
                         .type = "",
                         .options = {},
                         .uid_mappings = {},
                         .gid_mappings = {}});
  extras.apply("other", spec);
  EXPECT_TRUE(spec.domainname.empty());
  extras.apply("c1", spec);
  EXPECT_EQ(spec.domainname, "dom");
  EXPECT_TRUE(spec.hostname.empty());
  EXPECT_EQ(spec.process->cwd, "/keep");
  EXPECT_EQ(spec.process->user.uid, 0U);
  EXPECT_EQ(spec.process->user.umask, 18U);
  EXPECT_EQ(spec.process->io_priority->priority, 3);
  EXPECT_EQ(spec.mounts[0].source, "/guest");
  EXPECT_EQ(spec.mounts[0].uid_mappings.size(), 1U);
  EXPECT_EQ(spec.linux_config->resources->unified.at("memory.high"), "1");
  EXPECT_FALSE(spec.linux_config->resources->memory);
  // Used up.
  oci::Spec second;
  extras.apply("c1", second);
  EXPECT_TRUE(second.domainname.empty());
}

TEST(SpecExtras, AreBounded) {
  SpecExtras extras;
  for (int i = 0; i < 256; ++i) extras.put("c" + std::to_string(i), "", R"({"ociVersion":"1.2.0"})");
  EXPECT_THROW(extras.put("more", "", R"({"ociVersion":"1.2.0"})"), Error);
  extras.forget("c7");
  extras.put("more", "", R"({"ociVersion":"1.2.0"})");
}

TEST(Ids, Rules) {
  for (const char* id : {"ab", "a1", "A.b-c_d", "0123456789abcdef"}) EXPECT_TRUE(is_container_id(id)) << id;
  for (const char* id : {"", "a", ".a", "-a", "a/b", "a b", "\xc3\xa4\xc3\xa4", "a\n"})
    EXPECT_FALSE(is_container_id(id)) << id;
  EXPECT_FALSE(is_container_id(std::string(1025, 'a')));
  EXPECT_TRUE(is_exec_id("a"));
}

TEST(CpuList, Counts) {
  EXPECT_EQ(count_cpu_list("0-3,7"), 5U);
  EXPECT_EQ(count_cpu_list("0\n"), 1U);
  EXPECT_EQ(count_cpu_list(""), 0U);
  EXPECT_EQ(count_cpu_list("x"), 0U);
  EXPECT_EQ(count_cpu_list("3-1"), 0U);
  EXPECT_EQ(count_cpu_list("0-99999999"), 0U);
}

TEST(Utf8, BrokenBytesAreReplaced) {
  EXPECT_EQ(lossy_utf8("a\xff"
                       "b"),
            "a\xEF\xBF\xBD"
            "b");
  EXPECT_EQ(lossy_utf8("\xc3\xa4"), "\xc3\xa4");
  EXPECT_EQ(lossy_utf8("\xc3"), "\xEF\xBF\xBD");
  EXPECT_EQ(lossy_utf8("\xed\xa0\x80"), "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD");
}

}  // namespace
}  // namespace kata::rpc
