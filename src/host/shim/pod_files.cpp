#include "host/shim/pod_files.h"

#include <algorithm>
#include <array>
#include <climits>
#include <string_view>

#include <unistd.h>

#include "lib/error/error.h"
#include "lib/fd/io.h"

namespace kata::shim {
namespace {

constexpr size_t kMaxNodeFile = size_t{1} << 20;
constexpr mode_t kMode = 0644;

struct PodFile {
  const char* name;
  const char* destination;
};
constexpr std::array<PodFile, 3> kFiles = {
    {{"hostname", "/etc/hostname"}, {"hosts", "/etc/hosts"}, {"resolv.conf", "/etc/resolv.conf"}}};

std::string node_file(const std::string& path) {
  try {
    return read_file(path, kMaxNodeFile);
  } catch (const Error&) {
    return {};
  }
}

std::string node_name() {
  std::array<char, HOST_NAME_MAX + 1> name{};
  return ::gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "";
}

template <typename Words>
std::string line(std::string_view key, const Words& words) {
  if (words.empty()) return {};
  std::string text(key);
  for (const std::string& word : words) text.append(" ").append(word);
  return text + "\n";
}

std::string resolv_conf(const runtime::v1::DNSConfig& dns) {
  std::string text = line("search", dns.searches());
  for (const std::string& server : dns.servers()) text.append("nameserver ").append(server).append("\n");
  text += line("options", dns.options());
  return text.empty() ? node_file("/etc/resolv.conf") : text;
}

bool has_mount(const oci::Spec& spec, std::string_view destination) {
  return std::ranges::any_of(spec.mounts,
                             [&](const oci::Mount& mount) { return mount.destination == destination; });
}

}  // namespace

void write_pod_files(const std::string& folder, const runtime::v1::PodSandboxConfig& config) {
  const std::string name = config.hostname().empty() ? node_name() : config.hostname();
  write_file_atomic(folder + "/hostname", name + "\n", kMode);
  write_file_atomic(folder + "/hosts", node_file("/etc/hosts"), kMode);
  write_file_atomic(folder + "/resolv.conf", resolv_conf(config.dns_config()), kMode);
}

void add_pod_files(oci::Spec& spec, const std::string& folder) {
  const bool readonly = spec.root && spec.root->readonly;
  for (const PodFile& file : kFiles) {
    if (has_mount(spec, file.destination)) continue;
    oci::Mount mount;
    mount.destination = file.destination;
    mount.type = "bind";
    mount.source = folder + "/" + file.name;
    mount.options = {"rbind", "rprivate", readonly ? "ro" : "rw"};
    spec.mounts.push_back(std::move(mount));
  }
  // The default of a spec is a tmpfs of the container's own.
  std::erase_if(spec.mounts, [](const oci::Mount& mount) {
    return mount.destination == "/dev/shm" && mount.type == "tmpfs";
  });
  if (has_mount(spec, "/dev/shm")) return;
  oci::Mount memory;
  memory.destination = "/dev/shm";
  memory.type = "bind";
  memory.source = "/dev/shm";
  memory.options = {"rbind", "rprivate", "rw"};
  spec.mounts.push_back(std::move(memory));
}

}  // namespace kata::shim
