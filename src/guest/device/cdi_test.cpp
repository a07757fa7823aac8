#include "guest/device/cdi.h"

#include <algorithm>
#include <filesystem>
#include <fstream>

#include <gtest/gtest.h>
#include <stdlib.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>

#include "lib/error/error.h"

namespace kata::device {
namespace {

namespace fs = std::filesystem;

constexpr const char* kGpus = R"({
  "cdiVersion": "0.8.0", "kind": "vendor.com/gpu", "unknown": {"x": 1},
  "containerEdits": {"env": ["COMMON=1"], "hooks": [{"hookName": "createContainer", "path": "/bin/hook", "args": ["hook"], "timeout": 3}]},
  "devices": [
    {"name": "0", "containerEdits": {"env": ["GPU=zero"], "deviceNodes": [{"path": "/dev/gpu0", "hostPath": "/dev/null", "permissions": "rw"}],
      "mounts": [{"hostPath": "/usr/lib/x.so", "containerPath": "/lib/x.so", "options": ["ro", "bind"]}], "additionalGids": [44, 0]}},
    {"name": "1", "containerEdits": {"env": ["GPU=one"], "deviceNodes": [{"path": "/dev/gpu1", "type": "c", "major": 195, "minor": 1, "fileMode": 438}]}}
  ]})";

class CdiTest : public testing::Test {
 protected:
  CdiTest() {
    EXPECT_NE(::mkdtemp(folder_.data()), nullptr);
    options_.folder = folder_;
    options_.limit = std::chrono::milliseconds(50);
    options_.pause = std::chrono::milliseconds(5);
    spec_.process.emplace().env = {"GPU=old", "PATH=/bin"};
  }
  ~CdiTest() override { fs::remove_all(folder_); }

  void put(const std::string& name, const std::string& text) { std::ofstream(folder_ + "/" + name) << text; }
  Code inject() {
    asio::io_context io;
    Code code = Code::kOk;
    asio::co_spawn(io, inject_cdi(options_, spec_), [&](const std::exception_ptr& failure) {
      if (!failure) return;
      const Error error = to_error(failure);
      code = error.code();
      message_ = error.message();
    });
    io.run();
    return code;
  }
  bool has_variable(const std::string& entry) const {
    return std::ranges::find(spec_.process->env, entry) != spec_.process->env.end();
  }

  std::string folder_ = "/tmp/cdi.XXXXXX";
  CdiOptions options_;
  oci::Spec spec_;
  std::string message_;
};

TEST_F(CdiTest, EditsOfOneDevice) {
  put("gpu.json", kGpus);
  spec_.annotations["cdi.k8s.io/plugin_gpu"] = "vendor.com/gpu=0";
  ASSERT_EQ(inject(), Code::kOk) << message_;
  EXPECT_TRUE(has_variable("GPU=zero"));
  EXPECT_FALSE(has_variable("GPU=old"));
  EXPECT_TRUE(has_variable("COMMON=1"));
  const oci::Linux& config = *spec_.linux_config;
  ASSERT_EQ(config.devices.size(), 1U);
  EXPECT_EQ(config.devices[0].path, "/dev/gpu0");
  // /dev/null is 1:3.
  EXPECT_EQ(config.devices[0].major, 1);
  EXPECT_EQ(config.devices[0].minor, 3);
  ASSERT_EQ(config.resources->devices.size(), 1U);
  EXPECT_EQ(config.resources->devices[0].access, "rw");
  ASSERT_EQ(spec_.mounts.size(), 1U);
  EXPECT_EQ(spec_.mounts[0].source, "/usr/lib/x.so");
  EXPECT_EQ(spec_.mounts[0].type, "bind");
  ASSERT_EQ(spec_.hooks.create_container.size(), 1U);
  EXPECT_EQ(spec_.hooks.create_container[0].timeout, 3);
  EXPECT_EQ(spec_.process->user.additional_gids, (std::vector<uint32_t>{44}));
}

TEST_F(CdiTest, AllDevicesAndEachEditOnce) {
  put("gpu.json", kGpus);
  options_.visible_devices = true;
  spec_.process->env.emplace_back("VISIBLE_CDI_DEVICES=vendor.com/gpu=all");
  ASSERT_EQ(inject(), Code::kOk) << message_;
  EXPECT_EQ(spec_.linux_config->devices.size(), 2U);
  EXPECT_EQ(spec_.hooks.create_container.size(), 1U);
}

TEST_F(CdiTest, Names) {
  const struct {
    const char* name;
    std::map<std::string, std::string> annotations;
    std::vector<std::string> env;
    bool visible;
    std::vector<CdiName> expected;
  } rows[] = {
      {"list",
       {{"cdi.k8s.io/a", "v.com/c=x,v.com/c=y,v.com/c=x"}},
       {},
       false,
       {{"v.com/c", "x"}, {"v.com/c", "y"}}},
      {"other annotations", {{"x/cdi.k8s.io/", "v.com/c=x"}}, {}, false, {}},
      {"variable",
       {},
       {"VISIBLE_CDI_DEVICES=v.com/c=0,1:w.com/d=all"},
       true,
       {{"v.com/c", "0"}, {"v.com/c", "1"}, {"w.com/d", "all"}}},
      {"variable, not allowed", {}, {"VISIBLE_CDI_DEVICES=v.com/c=0"}, false, {}},
      {"none", {}, {"VISIBLE_CDI_DEVICES=none"}, true, {}},
      {"void", {}, {"VISIBLE_CDI_DEVICES=void"}, true, {}},
      {"empty", {}, {"VISIBLE_CDI_DEVICES="}, true, {}},
      {"pod's own container",
       {{"cdi.k8s.io/a", "v.com/c=x"}, {"io.katacontainers.pkg.oci.container_type", "pod_sandbox"}},
       {},
       true,
       {}},
  };
  for (const auto& row : rows) {
    oci::Spec spec;
    spec.annotations.insert(row.annotations.begin(), row.annotations.end());
    spec.process.emplace().env = row.env;
    EXPECT_EQ(cdi_names(spec, row.visible), row.expected) << row.name;
  }
}

TEST_F(CdiTest, BadNames) {
  for (const char* value : {"x", "v.com/c", "v.com/c=", "=x", "c=x", "/c=x", "v.com/=x"}) {
    oci::Spec spec;
    spec.annotations["cdi.k8s.io/a"] = value;
    EXPECT_THROW(cdi_names(spec, false), Error) << value;
  }
  for (const char* value : {"all", "v.com/c", "v.com/c=", "c=0"}) {
    oci::Spec spec;
    spec.process.emplace().env = {"VISIBLE_CDI_DEVICES=" + std::string(value)};
    EXPECT_THROW(cdi_names(spec, true), Error) << value;
  }
}

TEST_F(CdiTest, AFileThatComesLate) {
  spec_.annotations["cdi.k8s.io/a"] = "vendor.com/gpu=1";
  options_.limit = std::chrono::seconds(20);
  asio::io_context io;
  bool done = false;
  asio::co_spawn(io, inject_cdi(options_, spec_),
                 [&](const std::exception_ptr& failure) { done = !failure; });
  // The first look finds nothing.
  io.run_one();
  put("gpu.json", kGpus);
  io.run();
  EXPECT_TRUE(done);
  EXPECT_EQ(spec_.linux_config->devices.at(0).major, 195);
}

TEST_F(CdiTest, AKindThatNeverComes) {
  put("other.yaml", "kind: vendor.com/gpu");
  put("broken.json", "{");
  spec_.annotations["cdi.k8s.io/a"] = "vendor.com/gpu=1";
  EXPECT_EQ(inject(), Code::kDeadlineExceeded);
  for (const char* part : {"vendor.com/gpu", "other.yaml", "broken.json"})
    EXPECT_NE(message_.find(part), std::string::npos) << message_;
}

TEST_F(CdiTest, ADeviceThatItsKindLacksIsKnownAtOnce) {
  put("gpu.json", kGpus);
  options_.limit = std::chrono::hours(1);
  options_.pause = std::chrono::hours(1);
  spec_.annotations["cdi.k8s.io/a"] = "vendor.com/gpu=7";
  EXPECT_EQ(inject(), Code::kNotFound);
  EXPECT_NE(message_.find("vendor.com/gpu=7"), std::string::npos) << message_;
}

TEST_F(CdiTest, BadEdits) {
  const struct {
    const char* name;
    const char* edits;
  } rows[] = {
      {"hook", R"("hooks": [{"hookName": "sometimes", "path": "/x"}])"},
      {"node", R"("deviceNodes": [{"path": "/dev/none-such-node"}])"},
  };
  for (const auto& row : rows) {
    put("gpu.json",
        R"({"cdiVersion": "0.8.0", "kind": "v.com/c", "devices": [{"name": "x", "containerEdits": {)" +
            std::string(row.edits) + "}}]}");
    spec_.annotations["cdi.k8s.io/a"] = "v.com/c=x";
    EXPECT_NE(inject(), Code::kOk) << row.name;
  }
}

}  // namespace
}  // namespace kata::device
