#include "lib/linux/controllers.h"

#include <filesystem>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/fd/io.h"

namespace kata::kernel {
namespace {

class ControllersTest : public testing::Test {
 protected:
  ControllersTest() { EXPECT_NE(::mkdtemp(folder_.data()), nullptr); }
  ~ControllersTest() override { std::filesystem::remove_all(folder_); }

  void fill(const std::string& available, const std::string& enabled) {
    replace_file("cgroup.controllers", available);
    replace_file("cgroup.subtree_control", enabled);
  }
  void replace_file(const std::string& name, const std::string& text) {
    const std::string path = folder_ + "/" + name;
    ::unlink(path.c_str());
    const UniqueFd file = open_file(path, O_WRONLY | O_CREAT, 0644);
    write_all(file.get(), text, path);
  }
  std::string enabled() { return read_file(folder_ + "/cgroup.subtree_control", 4096); }

  std::string folder_ = "/tmp/controllers.XXXXXX";
};

// Plain files stand for the kernel's: the last write is what is in them.
TEST_F(ControllersTest, MissingOnesInOneWrite) {
  const struct {
    const char* name;
    const char* available;
    const char* enabled;
    const char* after;
  } rows[] = {
      {"all", "cpu io memory\n", "", "+cpu +io +memory"},
      {"some", "cpu io memory\n", "io\n", "+cpu +memory"},
      {"none missing", "cpu io\n", "io cpu\n", "io cpu\n"},
      {"none there", "\n", "", ""},
      {"a name within another", "cpu cpuset\n", "cpuset\n", "+cpu"},
  };
  for (const auto& row : rows) {
    fill(row.available, row.enabled);
    delegate_controllers(folder_, [&](std::string_view, const Error&) { ADD_FAILURE() << row.name; });
    EXPECT_EQ(enabled().substr(0, std::string(row.after).size()), row.after) << row.name;
  }
}

TEST_F(ControllersTest, NoCgroup) {
  EXPECT_THROW(delegate_controllers(folder_ + "/none", {}), Error);
}

}  // namespace
}  // namespace kata::kernel
