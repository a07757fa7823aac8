#include "host/shim/info.h"

#include <string>
#include <string_view>

#include "lib/linux/mount.h"

#include "containerd/types/introspection.pb.h"

namespace kata::shim {
namespace {

constexpr const char* kFeaturesType = "types.containerd.io/opencontainers/runtime-spec/1/features/Features";

constexpr const char* kHooks = R"(["createRuntime","poststart","poststop","prestart","startContainer"])";

// Only what a container in a guest really gets: user namespaces and id-mapped mounts are absent on purpose,
// so that containerd refuses such pods early instead of running them without.
constexpr const char* kLinuxFeatures =
    R"({"namespaces":["cgroup","ipc","mount","network","pid","uts"],)"
    R"("cgroup":{"v1":true,"v2":true,"systemd":false,"systemdUser":false,"rdma":false},)"
    R"("seccomp":{"enabled":true},"apparmor":{"enabled":false},"selinux":{"enabled":false},)"
    R"("intelRdt":{"enabled":false},"mountExtensions":{"idmap":{"enabled":false}}})";

// OCI runtime features (runtime-spec, features.md). CRI looks for "rro" before it takes a pod with
// recursively read-only mounts.
std::string features() {
  std::string words;
  for (const std::string_view word : kernel::mount_option_words())
    words += (words.empty() ? "\"" : ",\"") + std::string(word) + "\"";
  return R"({"ociVersionMin":"1.0.0","ociVersionMax":"1.2.0","hooks":)" + std::string(kHooks) +
         R"(,"mountOptions":[)" + words + R"(],"linux":)" + kLinuxFeatures + "}";
}

}  // namespace

std::string runtime_info() {
  containerd::types::RuntimeInfo info;
  info.set_name("io.containerd.kata.v2");
  info.mutable_version()->set_version(KATA_VERSION);
  info.mutable_features()->set_type_url(kFeaturesType);
  info.mutable_features()->set_value(features());
  // Layers and overlays come as they are and are put together in the guest; without it containerd mounts them
  // on the node.
  (*info.mutable_annotations())["containerd.io/runtime-allow-mounts"] = "mkdir/*,format/*,erofs";
  return info.SerializeAsString();
}

}  // namespace kata::shim
