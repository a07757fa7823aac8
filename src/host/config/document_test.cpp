#include "host/config/document.h"

#include <sys/stat.h>

#include <gmock/gmock.h>
#include <unistd.h>

#include "host/config/testing.h"

namespace kata::config {
namespace {

using testing::Contains;
using testing::HasSubstr;
using testing::IsEmpty;

class DocumentTest : public testing::Test {
 protected:
  void drop_in(const std::string& name, const std::string& text) const {
    folder_.write("config.d/" + name, text);
  }
  [[nodiscard]] Config load_default() const {
    return folder_.load_text(folder_.text("default_memory = 100"));
  }

  ConfigFolder folder_;
};

TEST_F(DocumentTest, DropInsMergeInByteOrder) {
  drop_in("20-b.toml", "[hypervisor.qemu]\ndefault_memory = 400\nvalid_hypervisor_paths = [\"/c\"]\n");
  drop_in("10-a.toml",
          "[hypervisor.qemu]\ndefault_memory = 300\nmemory_slots = 7\nvalid_hypervisor_paths = [\"/a\", "
          "\"/b\"]\n");
  const Config config = load_default();
  EXPECT_EQ(config.hypervisor.default_memory, 400u);
  EXPECT_EQ(config.hypervisor.memory_slots, 7u);
  EXPECT_EQ(config.hypervisor.valid_hypervisor_paths, StringList{"/c"});
  EXPECT_EQ(config.describe("hypervisor.default_memory"),
            "hypervisor.qemu.default_memory in " + folder_.file("config.d/20-b.toml") + ":2");
  EXPECT_THAT(config.warnings, IsEmpty());
}

TEST_F(DocumentTest, EveryNameCountsAndIsMentioned) {
  drop_in(".hidden", "[hypervisor.qemu]\ndefault_memory = 300\n");
  drop_in("a.toml~", "[hypervisor.qemu]\ndefault_memory = 500\n");
  const Config config = load_default();
  EXPECT_EQ(config.hypervisor.default_memory, 500u);
  EXPECT_EQ(config.warnings.size(), 2u);
  EXPECT_THAT(config.warnings, Contains(HasSubstr("config.d/a.toml~ counts as a drop-in")));
}

TEST_F(DocumentTest, SymbolicLinksToFilesCount) {
  folder_.write("elsewhere.toml", "[hypervisor.qemu]\ndefault_memory = 300\n");
  drop_in("x.toml", "");
  ASSERT_EQ(symlink(folder_.file("elsewhere.toml").c_str(), folder_.file("config.d/y.toml").c_str()), 0);
  EXPECT_EQ(load_default().hypervisor.default_memory, 300u);
}

TEST_F(DocumentTest, BadDropInsEndTheLoad) {
  drop_in("sub/x.toml", "");
  EXPECT_THAT(error_of([&] { return load_default(); }),
              HasSubstr("config.d/sub is no file: config.d may hold only regular files and symbolic links"));
  std::filesystem::remove_all(folder_.file("config.d/sub"));
  ASSERT_EQ(symlink("/none", folder_.file("config.d/y.toml").c_str()), 0);
  EXPECT_THAT(error_of([&] { return load_default(); }), HasSubstr("config.d/y.toml is no file"));
  std::filesystem::remove_all(folder_.file("config.d"));
  drop_in("z.toml", "[hypervisor.qemu\n");
  EXPECT_THAT(error_of([&] { return load_default(); }),
              HasSubstr(folder_.file("config.d/z.toml") + ":1: not valid TOML"));
}

TEST_F(DocumentTest, TypesAreCheckedAfterTheMerge) {
  drop_in("a.toml", "[hypervisor.qemu]\ndefault_memory = \"x\"\n");
  EXPECT_THAT(error_of([&] { return load_default(); }),
              HasSubstr("config.d/a.toml:2: hypervisor.qemu.default_memory: expected a whole number"));
  drop_in("b.toml", "[hypervisor.qemu]\ndefault_memory = 300\n");
  EXPECT_EQ(load_default().hypervisor.default_memory, 300u);
}

TEST_F(DocumentTest, NotToml) {
  folder_.write("configuration.toml", "[runtime]\nname = \n");
  EXPECT_THAT(error_of([&] { return load(folder_.request()); }),
              HasSubstr(folder_.file("configuration.toml") + ":2: not valid TOML at column"));
  EXPECT_THAT(parse_toml("[|\n", "x").error().message(), HasSubstr("x:1: not valid TOML"));
  EXPECT_THAT(parse_toml(std::string((1u << 20) + 1, '#'), "x").error().message(),
              HasSubstr("larger than the 1 MiB"));
  EXPECT_THAT(parse_toml(std::string(9000, '.'), "x").error().message(), HasSubstr("more than 4096 dots"));
}

TEST_F(DocumentTest, CharactersBeyondAsciiBelongIntoStringsAndComments) {
  for (const char* good : {"a = \"é\" # é", "a = 'é'", "a = \"\"\"é \"\" é\"\"\"\"\"", "a = '''é\n''é'''",
                           "\"é\" = 1", "\xEF\xBB\xBF#", "a = \"\\\"é\"", "a = \"\" # é", "a = ''\n#é\n"}) {
    EXPECT_TRUE(parse_toml(good, "x")) << good;
  }
  for (const char* bad : {"é = 1", "a = é", "a = \"\" é", "a = \"b\"\n[é]", "a = \"\"\"b\"\"\" é",
                          "a = '''b'''''é", "a = \"b\né", "a = 1 \xE2\x80\x80"}) {
    EXPECT_FALSE(parse_toml(bad, "x")) << bad;
  }
  EXPECT_THAT(parse_toml("a = 1\né = 2", "x").error().message(),
              HasSubstr("x:2: not valid TOML: a character beyond ASCII"));
}

TEST_F(DocumentTest, DeepNestingIsRefused) {
  const auto nested = [](int depth) {
    std::string keys = "a";
    for (int i = 1; i < depth; ++i) keys += ".a";
    return parse_toml("[" + keys + "]\n", "x");
  };
  EXPECT_TRUE(nested(32));
  EXPECT_THAT(nested(33).error().message(), HasSubstr("x:1: nested deeper than 32 levels"));
  EXPECT_FALSE(nested(4000));
  EXPECT_FALSE(parse_toml("a = " + std::string(100000, '['), "x"));
}

class FindConfig : public testing::Test {
 protected:
  FindConfig() {
    for (const char* name : {"etc/c.toml", "usr/c.toml", "other/c.toml"}) folder_.write(name, "");
    request_.default_paths = {folder_.file("etc/c.toml"), folder_.file("usr/c.toml")};
  }

  ConfigFolder folder_;
  LoadRequest request_;
};

TEST_F(FindConfig, DefaultsInOrder) {
  EXPECT_EQ(find_config(request_), folder_.file("etc/c.toml"));
  std::filesystem::remove(folder_.file("etc/c.toml"));
  EXPECT_EQ(find_config(request_), folder_.file("usr/c.toml"));
  std::filesystem::remove(folder_.file("usr/c.toml"));
  try {
    (void)find_config(request_);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Code::kNotFound);
    EXPECT_THAT(error.message(),
                HasSubstr("looked for " + folder_.file("etc/c.toml") + ", " + folder_.file("usr/c.toml")));
  }
}

TEST_F(FindConfig, ARequestedPathIsResolved) {
  ASSERT_EQ(symlink(folder_.file("other/c.toml").c_str(), folder_.file("link.toml").c_str()), 0);
  request_.config_path = folder_.file("link.toml");
  EXPECT_EQ(find_config(request_), folder_.file("other/c.toml"));
  request_.config_path = folder_.file("none.toml");
  EXPECT_THAT(error_of([&] { return find_config(request_); }),
              HasSubstr("none.toml that the create request names does not exist"));
}

TEST_F(FindConfig, TheVariableMayNameADefaultOnly) {
  request_.config_path = folder_.file("other/c.toml");
  request_.conf_file_variable = folder_.file("usr/../usr/c.toml");
  EXPECT_EQ(find_config(request_), folder_.file("usr/c.toml"));
  for (const std::string& bad : {std::string(), folder_.file("none"), folder_.file("other/c.toml")}) {
    request_.conf_file_variable = bad;
    EXPECT_THAT(error_of([&] { return find_config(request_); }),
                HasSubstr("KATA_CONF_FILE is \"" + bad + "\""))
        << bad;
  }
}

TEST(DefaultPaths, AreTheOriginalsThenOurs) {
  const auto paths = LoadRequest::default_config_paths();
  ASSERT_GE(paths.size(), 3u);
  EXPECT_EQ(paths[0], "/etc/kata-containers/runtime-rs/configuration.toml");
  EXPECT_EQ(paths[2], "/opt/kata/share/defaults/kata-containers/runtime-rs/configuration.toml");
}

}  // namespace
}  // namespace kata::config
