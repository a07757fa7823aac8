#include "host/resource/cgroup/device_rules.h"

#include <algorithm>
#include <array>
#include <sstream>

namespace kata::node_cgroup {
namespace {

constexpr std::array<std::string_view, 12> kMisc = {
    "kvm",  "tun",         "vhost-net", "vhost-vsock", "fuse",          "loop-control",
    "vfio", "userfaultfd", "sgx_vepc",  "sev",         "device-mapper", "vhost-vdpa"};
// Their majors are given out at run time.
constexpr std::array<std::string_view, 4> kDynamic = {"macvtap", "vfio", "iommufd", "dax"};

template <size_t N>
bool is_one_of(const std::array<std::string_view, N>& names, const std::string& name) {
  return std::ranges::find(names, name) != names.end();
}

}  // namespace

std::vector<std::string> vmm_device_rules(std::string_view proc_misc, std::string_view proc_devices) {
  std::vector<std::string> rules = {
      "c *:* m",   "b *:* rwm",                                           // nodes, disks
      "c 1:3 rwm", "c 1:5 rwm", "c 1:7 rwm", "c 1:8 rwm",   "c 1:9 rwm",  // null zero full random urandom
      "c 5:0 rwm", "c 5:1 rwm", "c 5:2 rwm", "c 136:* rwm",               // tty console ptmx pts
  };
  std::istringstream misc{std::string(proc_misc)};
  unsigned minor = 0;
  for (std::string name; misc >> minor >> name;) {
    if (is_one_of(kMisc, name)) rules.push_back("c 10:" + std::to_string(minor) + " rwm");
  }
  std::istringstream devices{std::string(proc_devices)};
  for (std::string line; std::getline(devices, line);) {
    if (line.starts_with("Block")) break;
    std::istringstream words(line);
    unsigned major = 0;
    std::string name;
    if (words >> major >> name && is_one_of(kDynamic, name))
      rules.push_back("c " + std::to_string(major) + ":* rwm");
  }
  return rules;
}

}  // namespace kata::node_cgroup
