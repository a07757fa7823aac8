#include "host/shim/info.h"

#include "containerd/types/introspection.pb.h"

namespace kata::shim {
namespace {

constexpr const char* kFeaturesType = "types.containerd.io/opencontainers/runtime-spec/1/features/Features";

// OCI runtime features. Only what a container in a guest really gets: user namespaces and id-mapped mounts
// are absent on purpose, so that containerd refuses such pods early instead of running them without.
constexpr const char* kFeatures =
    R"({"ociVersionMin":"1.0.0","ociVersionMax":"1.2.0",)"
    R"("linux":{"namespaces":["cgroup","ipc","mount","network","pid","uts"],)"
    R"("cgroup":{"v1":true,"v2":true,"systemd":false,"systemdUser":false,"rdma":false},)"
    R"("seccomp":{"enabled":true},"apparmor":{"enabled":false},"selinux":{"enabled":false},)"
    R"("intelRdt":{"enabled":false},"mountExtensions":{"idmap":{"enabled":false}}}})";

}  // namespace

std::string runtime_info() {
  containerd::types::RuntimeInfo info;
  info.set_name("io.containerd.kata.v2");
  info.mutable_version()->set_version(KATA_VERSION);
  info.mutable_features()->set_type_url(kFeaturesType);
  info.mutable_features()->set_value(kFeatures);
  // Layers and overlays come as they are and are put together in the guest; without it containerd mounts them
  // on the node.
  (*info.mutable_annotations())["containerd.io/runtime-allow-mounts"] = "mkdir/*,format/*,erofs";
  return info.SerializeAsString();
}

}  // namespace kata::shim
