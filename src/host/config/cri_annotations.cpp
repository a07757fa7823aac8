#include "host/config/cri_annotations.h"

#include <initializer_list>
#include <optional>

#include "lib/error/error.h"

namespace kata::config {

namespace {

// CRI-O, containerd, dockershim: the first one present decides.
constexpr const char* kTypeKeys[] = {"io.kubernetes.cri-o.ContainerType", "io.kubernetes.cri.container-type",
                                     "io.kubernetes.docker.type"};

std::optional<ContainerKind> kind_of(std::string_view text) {
  if (text == "sandbox" || text == "podsandbox" || text == "pod_sandbox") return ContainerKind::kPodSandbox;
  if (text == "container" || text == "pod_container") return ContainerKind::kPodContainer;
  if (text == "single_container") return ContainerKind::kSingle;
  return std::nullopt;
}

ContainerKind read_kind(const Annotations& annotations) {
  for (const char* key : kTypeKeys) {
    const auto found = annotations.find(key);
    if (found == annotations.end()) continue;
    if (const auto kind = kind_of(found->second)) return *kind;
    throw Error(Code::kInvalidArgument, std::string("annotation ") + key + " is \"" + found->second +
                                            "\"; expected sandbox, podsandbox or container");
  }
  return ContainerKind::kSingle;
}

std::string read_sandbox_id(const Annotations& annotations, const std::string& container_id) {
  const auto id = first_annotation(annotations, {"io.kubernetes.cri-o.SandboxID",
                                                 "io.kubernetes.cri.sandbox-id", "io.kubernetes.sandbox.id"});
  if (!id.empty()) return std::string(id);
  throw Error(Code::kInvalidArgument,
              "container " + container_id +
                  " is annotated as part of a pod, but no annotation names its sandbox; "
                  "expected io.kubernetes.cri.sandbox-id or io.kubernetes.cri-o.SandboxID");
}

}  // namespace

std::string_view container_kind_name(ContainerKind kind) {
  switch (kind) {
    case ContainerKind::kPodSandbox:
      return "pod_sandbox";
    case ContainerKind::kPodContainer:
      return "pod_container";
    case ContainerKind::kSingle:
      return "single_container";
  }
  return "single_container";
}

std::string_view first_annotation(const Annotations& annotations,
                                  std::initializer_list<std::string_view> keys) {
  for (const auto key : keys) {
    const auto found = annotations.find(std::string(key));
    if (found != annotations.end() && !found->second.empty()) return found->second;
  }
  return {};
}

CriInfo read_cri_annotations(const Annotations& annotations, const std::string& container_id) {
  const auto text = [&](std::initializer_list<std::string_view> keys) {
    return std::string(first_annotation(annotations, keys));
  };
  CriInfo info;
  info.kind = read_kind(annotations);
  info.sandbox_id =
      info.kind == ContainerKind::kPodContainer ? read_sandbox_id(annotations, container_id) : container_id;
  info.container_name = text({"io.kubernetes.cri.container-name", "io.kubernetes.cri-o.ContainerName"});
  info.pod_name = text({"io.kubernetes.cri.sandbox-name", "io.kubernetes.cri-o.KubeName"});
  info.pod_namespace = text({"io.kubernetes.cri.sandbox-namespace", "io.kubernetes.cri-o.Namespace"});
  info.pod_uid = text({"io.kubernetes.cri.sandbox-uid"});
  info.image_name = text({"io.kubernetes.cri.image-name", "io.kubernetes.cri-o.ImageName",
                          "io.kubernetes.cri.podsandbox.image-name"});
  info.log_directory = text({"io.kubernetes.cri.sandbox-log-directory", "io.kubernetes.cri-o.LogPath"});
  info.runtime_handler = text({"io.containerd.cri.runtime-handler", "io.kubernetes.cri-o.RuntimeHandler"});
  return info;
}

}  // namespace kata::config
