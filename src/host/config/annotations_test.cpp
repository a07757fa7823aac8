#include "host/config/annotations.h"

#include <gmock/gmock.h>

#include "host/config/testing.h"

namespace kata::config {
namespace {

using testing::AllOf;
using testing::Contains;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr const char* kHypervisor = "io.katacontainers.config.hypervisor.";
constexpr const char* kRuntime = "io.katacontainers.config.runtime.";
constexpr const char* kAgent = "io.katacontainers.config.agent.";

class AnnotationsTest : public testing::Test {
 protected:
  // Loads a file whose enable_annotations allows everything, with these annotations.
  [[nodiscard]] Config with(const Annotations& annotations, const std::string& hypervisor = "",
                            const std::string& more = "") const {
    return folder_.load_text(folder_.text("enable_annotations = [\".*\"]\n" + hypervisor, "", "", more),
                             annotations);
  }
  [[nodiscard]] Config hypervisor(const std::string& name, const std::string& value,
                                  const std::string& keys = "") const {
    return with({{kHypervisor + name, value}}, keys);
  }

  ConfigFolder folder_;
};

struct EnabledRow {
  const char* name;
  const char* patterns;
  const char* annotation;
  bool enabled;
};

TEST_F(AnnotationsTest, HypervisorOnesMustBeEnabled) {
  const EnabledRow rows[] = {
      {"listed", R"(["cpu_features"])", "cpu_features", true},
      {"nothing listed", "[]", "cpu_features", false},
      {"other listed", R"(["default_vcpus"])", "cpu_features", false},
      {"search, not a full match", R"(["features"])", "cpu_features", true},
      {"anchored", R"(["^features$"])", "cpu_features", false},
      {"anchored whole", R"(["^cpu_features$"])", "cpu_features", true},
      {"alternatives", R"(["x|cpu_.*"])", "cpu_features", true},
      {"second of two", R"(["^x$", "^cpu"])", "cpu_features", true},
      {"one bad expression disables all", R"(["cpu_features", "(" ])", "cpu_features", false},
  };
  for (const EnabledRow& row : rows) {
    const Config config = folder_.load_text(folder_.text(std::string("enable_annotations = ") + row.patterns),
                                            {{std::string(kHypervisor) + row.annotation, "pmu=on"}});
    EXPECT_EQ(config.hypervisor.cpu_features == "pmu=on", row.enabled) << row.name;
    EXPECT_EQ(config.warnings.empty(), row.enabled) << row.name;
  }
}

TEST_F(AnnotationsTest, WarningsSayWhy) {
  const Config config = folder_.load_text(folder_.text("enable_annotations = [\"[\"]"),
                                          {{std::string(kHypervisor) + "kernel", "/x"}});
  EXPECT_THAT(config.warnings, Contains(AllOf(HasSubstr("enable_annotations: \"[\" is no regular expression"),
                                              HasSubstr("no hypervisor annotation is honoured"))));
  EXPECT_THAT(config.warnings, Contains("annotation io.katacontainers.config.hypervisor.kernel is ignored: "
                                        "hypervisor.qemu.enable_annotations does not list it"));
}

TEST_F(AnnotationsTest, UnknownNames) {
  for (const char* name : {"path_hash", "asset_hash_type", "file_mem_backend", "default_maxvcpus"}) {
    EXPECT_THAT(error_of([&] { return hypervisor(name, "x"); }),
                HasSubstr(std::string("hypervisor.") + name + " is unknown; remove it"));
  }
  const Config config = with({{std::string(kRuntime) + "x", "1"},
                              {std::string(kAgent) + "y", "2"},
                              {"io.katacontainers.other", "3"}});
  EXPECT_EQ(config.warnings.size(), 2u);
  EXPECT_THAT(config.warnings,
              Contains("annotation io.katacontainers.config.runtime.x is unknown and ignored"));
}

struct BadRow {
  const char* name;
  const char* annotation;
  const char* value;
  const char* message;
};

TEST_F(AnnotationsTest, BadValuesAreErrors) {
  const BadRow rows[] = {
      {"flag", "hypervisor.enable_iommu", "yes", "expected true or false, found \"yes\""},
      {"number", "hypervisor.memory_slots", "1x", "expected a whole number, found \"1x\""},
      {"empty number", "hypervisor.memory_slots", "", "expected a whole number, found \"\""},
      {"negative", "hypervisor.indep_iothreads", "-1", "expected a number from 0 to 4294967295, found -1"},
      {"enum", "hypervisor.shared_fs", "9p", "\"9p\" is not allowed; expected none, virtio-fs"},
      {"sector", "hypervisor.blk_logical_sector_size", "3", "power of two"},
      {"sector of 513", "hypervisor.blk_logical_sector_size", "513", "power of two"},
      {"ports", "hypervisor.pcie_root_port", "17", "must not be above 16, found 17"},
      {"vcpus", "hypervisor.default_vcpus", "257", "257 is more than the 256 that qemu can have"},
      {"vcpus text", "hypervisor.default_vcpus", "many", "expected a number"},
      {"vcpus inf", "hypervisor.default_vcpus", "inf", "expected a finite number"},
      {"memory below the minimum", "hypervisor.default_memory", "63",
       "63 MiB is too little to boot; qemu needs at least 64"},
      {"missing kernel", "hypervisor.kernel", "/none", "\"/none\" does not exist on the host"},
      {"unlisted path", "hypervisor.path", "/bin/sh",
       "\"/bin/sh\" is not allowed; the configuration allows nothing"},
      {"unlisted daemon", "hypervisor.virtio_fs_daemon", "/bin/sh", "is not allowed"},
      {"initdata", "hypervisor.cc_init_data", "H4sI", "not supported yet"},
      {"verity", "hypervisor.kernel_verity_params", "a=b", "unknown name \"a\""},
      {"runtime name", "runtime.name", "linux-container", "expected virt-container"},
      {"network", "runtime.internetworking_model", "x", "expected tcfilter"},
      {"mounts not JSON", "runtime.shared_mounts", "{", "not valid JSON"},
      {"mounts no array", "runtime.shared_mounts", "1", "expected an array of tables"},
      {"mounts incomplete", "runtime.shared_mounts", R"([{"name":"a"}])", "needs the key src_ctr"},
      {"time limit", "runtime.create_container_timeout", "soon", "expected a whole number"},
      {"pipe", "agent.container_pipe_size", "4294967296", "expected a number from 0 to 4294967295"},
      {"both names empty", "runtime.hypervisor_name", "",
       "must be set to the name of a [hypervisor.<name>] table"},
  };
  for (const BadRow& row : rows) {
    const std::string name = std::string(kAnnotationPrefix) + row.annotation;
    const std::string message = error_of([&] { return with({{name, row.value}}); });
    EXPECT_THAT(message, HasSubstr(row.message)) << row.name;
    EXPECT_THAT(message, HasSubstr(row.annotation)) << row.name;
  }
}

TEST_F(AnnotationsTest, NumbersAreTrimmedTextsAreNot) {
  EXPECT_EQ(hypervisor("default_vcpus", " 2.5\n").hypervisor.default_vcpus, 2.5);
  EXPECT_TRUE(hypervisor("enable_iommu", " true ").hypervisor.enable_iommu);
  EXPECT_EQ(hypervisor("cpu_features", " a ").hypervisor.cpu_features, " a ");
}

TEST_F(AnnotationsTest, ShortNamesReachTheirKeys) {
  EXPECT_EQ(hypervisor("default_max_vcpus", "4").hypervisor.default_maxvcpus, 4u);
  EXPECT_EQ(hypervisor("blk_physical_sector_size", "4096").hypervisor.block_device_physical_sector_size,
            4096u);
  EXPECT_EQ(hypervisor("block_device_num_queues", "3").hypervisor.num_queues, 3u);
  EXPECT_EQ(hypervisor("prefetch_files.list", "/a/prefetch_file.list").hypervisor.prefetch_list_path,
            "/a/prefetch_file.list");
  EXPECT_EQ(with({{std::string(kRuntime) + "create_container_timeout", "7"}}).agent.create_container_timeout,
            7u);
}

TEST_F(AnnotationsTest, ListsAreAppended) {
  const Config config = with({{std::string(kHypervisor) + "virtio_fs_extra_args", "--b, -c,"},
                              {std::string(kAgent) + "kernel_modules", "e1000e x=1; i915"},
                              {std::string(kRuntime) + "experimental", "force_guest_pull"}},
                             "virtio_fs_extra_args = [\"--a\"]");
  EXPECT_EQ(config.hypervisor.virtio_fs_extra_args, (StringList{"--a", "--b", "-c"}));
  EXPECT_EQ(config.agent.kernel_modules, (StringList{"e1000e x=1", "i915"}));
  EXPECT_EQ(config.runtime.experimental, StringList{"force_guest_pull"});
}

TEST_F(AnnotationsTest, KernelParametersReplaceTheirNamesakes) {
  EXPECT_EQ(hypervisor("kernel_params", "b=9 new", "kernel_params = \"a=1 b=2 c\"").hypervisor.kernel_params,
            "a=1 c b=9 new");
}

TEST_F(AnnotationsTest, AllowListsTakeGlobs) {
  const std::string list = "valid_hypervisor_paths = [\"@/q*\", \"/literal\"]";
  EXPECT_EQ(hypervisor("path", folder_.file("qemu"), list).hypervisor.path, folder_.file("qemu"));
  EXPECT_THAT(error_of([&] { return hypervisor("path", folder_.file("vmlinux"), list); }),
              HasSubstr("is not allowed"));
  // A link that the pattern matches counts as what it leads to; a way around the pattern does not help.
  ASSERT_EQ(symlink("/bin/sh", folder_.file("vlink").c_str()), 0);
  EXPECT_THAT(error_of([&] { return hypervisor("path", folder_.file("vlink"), list); }),
              HasSubstr("is not allowed"));
  EXPECT_THAT(error_of([&] { return hypervisor("path", folder_.file("q/../vmlinux"), list); }),
              HasSubstr("is not allowed"));
  EXPECT_EQ(hypervisor("entropy_source", "", "valid_entropy_sources = [\"\"]").hypervisor.entropy_source,
            "/dev/urandom");
}

TEST_F(AnnotationsTest, MemorySizes) {
  EXPECT_EQ(hypervisor("default_memory", "512").hypervisor.default_memory, 512u);
  EXPECT_EQ(hypervisor("default_memory", "2GiB").hypervisor.default_memory, 2048u);
  const Config config = hypervisor("default_memory", "lots", "default_memory = 300");
  EXPECT_EQ(config.hypervisor.default_memory, 300u);
  EXPECT_THAT(config.warnings, Contains(HasSubstr("\"lots\" is no memory size")));
}

TEST(ParseMemory, Units) {
  const std::pair<const char*, std::optional<uint32_t>> rows[] = {{"1", 1},
                                                                  {" 64 ", 64},
                                                                  {"1Gi", 1024},
                                                                  {"1 GiB", 1024},
                                                                  {"1G", 953},
                                                                  {"1GB", 953},
                                                                  {"2048KiB", 2},
                                                                  {"1048576B", 1},
                                                                  {"1T", 953674},
                                                                  {"", std::nullopt},
                                                                  {"x", std::nullopt},
                                                                  {"1X", std::nullopt},
                                                                  {"1i", std::nullopt},
                                                                  {"-1", std::nullopt},
                                                                  {"1.5", std::nullopt},
                                                                  {"4294967295", 4294967295u},
                                                                  {"4294967296", std::nullopt},
                                                                  {"18446744073709551615GiB", std::nullopt},
                                                                  {"99999999999999999999", std::nullopt}};
  for (const auto& [text, mib] : rows) EXPECT_EQ(parse_memory_mib(text), mib) << text;
}

TEST_F(AnnotationsTest, TheRuntimesNameHasTwoSpellings) {
  EXPECT_EQ(with({{std::string(kRuntime) + "name", "virt-container"}}).runtime.name, "virt_container");
  EXPECT_EQ(with({{std::string(kRuntime) + "name", "virt_container"}}).runtime.name, "virt_container");
}

TEST_F(AnnotationsTest, TablesAreSelectedFirst) {
  const std::string clh =
      "[hypervisor.clh]\npath = \"@/qemu\"\nkernel = \"@/vmlinux\"\nimage = "
      "\"@/guest.img\"\nenable_annotations = [\"cpu_features\"]\n";
  const Config config = with(
      {{std::string(kRuntime) + "hypervisor_name", "clh"}, {std::string(kHypervisor) + "cpu_features", "x"}},
      "", clh);
  EXPECT_EQ(config.hypervisor_name, "clh");
  EXPECT_EQ(config.hypervisor.cpu_features, "x");
  EXPECT_EQ(config.hypervisor.default_bridges, 2u);
  const Config ignored = with({{std::string(kRuntime) + "hypervisor_name", "firecracker"}});
  EXPECT_EQ(ignored.hypervisor_name, "qemu");
  EXPECT_THAT(ignored.warnings, Contains(HasSubstr("the configuration has no table for \"firecracker\"")));
}

TEST_F(AnnotationsTest, BindMountsAreNeverTaken) {
  const Config config = with({{std::string(kRuntime) + "sandbox_bind_mounts", "/etc"}});
  EXPECT_THAT(config.runtime.sandbox_bind_mounts, IsEmpty());
  EXPECT_THAT(config.warnings, Contains(HasSubstr("sandbox_bind_mounts is ignored")));
}

TEST_F(AnnotationsTest, SharedMountsAreJson) {
  const Config config =
      with({{std::string(kRuntime) + "shared_mounts",
             R"([{"name":"a","src_ctr":"s","src_path":"/x","dst_ctr":"d","dst_path":"/y/z"}])"}});
  ASSERT_EQ(config.runtime.shared_mounts.size(), 1u);
  EXPECT_EQ(config.runtime.shared_mounts[0].dst_path, "/y/z");
}

TEST_F(AnnotationsTest, ThePairOfSectorSizesIsCheckedAtTheEnd) {
  const Annotations annotations{{std::string(kHypervisor) + "blk_logical_sector_size", "4096"},
                                {std::string(kHypervisor) + "blk_physical_sector_size", "512"}};
  EXPECT_THAT(error_of([&] { return with(annotations); }),
              HasSubstr("must not be above block_device_physical_sector_size"));
}

}  // namespace
}  // namespace kata::config
