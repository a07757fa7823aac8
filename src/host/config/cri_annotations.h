// What containerd's CRI plugin, CRI-O and the old dockershim say in a container's annotations.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <string_view>

namespace kata::config {

using Annotations = std::map<std::string, std::string>;

enum class ContainerKind {
  // The pod's own (pause) container: creates the VM.
  kPodSandbox,
  // A container of an existing pod.
  kPodContainer,
  // No pod: a VM of its own (ctr, docker, nerdctl, podman).
  kSingle,
};

// The agent's word for it: "pod_sandbox", "pod_container", "single_container".
std::string_view container_kind_name(ContainerKind kind);

struct CriInfo {
  ContainerKind kind = ContainerKind::kSingle;
  // The container's own id, except for a pod's container.
  std::string sandbox_id;
  // Empty where the manager does not say.
  std::string container_name, pod_name, pod_namespace, pod_uid, image_name, log_directory, runtime_handler;
};

// Throws kInvalidArgument for a type annotation with an unknown value, and for a pod's container without a
// sandbox id: guessing would start a second VM.
CriInfo read_cri_annotations(const Annotations& annotations, const std::string& container_id);

// The text of the first of `keys` that is present and not empty; "" when there is none.
std::string_view first_annotation(const Annotations& annotations,
                                  std::initializer_list<std::string_view> keys);

}  // namespace kata::config
