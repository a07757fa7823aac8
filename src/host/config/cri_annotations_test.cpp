#include "host/config/cri_annotations.h"

#include <gmock/gmock.h>

#include "host/config/testing.h"

namespace kata::config {
namespace {

using testing::HasSubstr;

struct KindRow {
  const char* name;
  Annotations annotations;
  ContainerKind kind;
  const char* sandbox_id;
};

TEST(CriAnnotations, KindAndSandbox) {
  const KindRow rows[] = {
      {"ctr", {}, ContainerKind::kSingle, "c1"},
      {"containerd sandbox",
       {{"io.kubernetes.cri.container-type", "sandbox"}},
       ContainerKind::kPodSandbox,
       "c1"},
      {"containerd container",
       {{"io.kubernetes.cri.container-type", "container"}, {"io.kubernetes.cri.sandbox-id", "s1"}},
       ContainerKind::kPodContainer,
       "s1"},
      {"CRI-O sandbox", {{"io.kubernetes.cri-o.ContainerType", "sandbox"}}, ContainerKind::kPodSandbox, "c1"},
      {"CRI-O container",
       {{"io.kubernetes.cri-o.ContainerType", "container"}, {"io.kubernetes.cri-o.SandboxID", "s2"}},
       ContainerKind::kPodContainer,
       "s2"},
      {"dockershim sandbox", {{"io.kubernetes.docker.type", "podsandbox"}}, ContainerKind::kPodSandbox, "c1"},
      {"dockershim container",
       {{"io.kubernetes.docker.type", "container"}, {"io.kubernetes.sandbox.id", "s3"}},
       ContainerKind::kPodContainer,
       "s3"},
      {"CRI-O before containerd",
       {{"io.kubernetes.cri-o.ContainerType", "sandbox"}, {"io.kubernetes.cri.container-type", "container"}},
       ContainerKind::kPodSandbox,
       "c1"},
      {"said to be single",
       {{"io.kubernetes.cri.container-type", "single_container"}},
       ContainerKind::kSingle,
       "c1"},
  };
  for (const KindRow& row : rows) {
    const CriInfo info = read_cri_annotations(row.annotations, "c1");
    EXPECT_EQ(info.kind, row.kind) << row.name;
    EXPECT_EQ(info.sandbox_id, row.sandbox_id) << row.name;
  }
}

TEST(CriAnnotations, WhatCannotBeGuessedIsAnError) {
  EXPECT_THAT(
      error_of([] { return read_cri_annotations({{"io.kubernetes.cri.container-type", "pod"}}, "c1"); }),
      HasSubstr("annotation io.kubernetes.cri.container-type is \"pod\""));
  EXPECT_THAT(error_of([] {
                return read_cri_annotations({{"io.kubernetes.cri.container-type", "container"}}, "c1");
              }),
              HasSubstr("container c1 is annotated as part of a pod, but no annotation names its sandbox"));
}

TEST(CriAnnotations, Names) {
  const CriInfo containerd = read_cri_annotations({{"io.kubernetes.cri.container-name", "web"},
                                                   {"io.kubernetes.cri.sandbox-name", "pod"},
                                                   {"io.kubernetes.cri.sandbox-namespace", "default"},
                                                   {"io.kubernetes.cri.sandbox-uid", "u"},
                                                   {"io.kubernetes.cri.image-name", "nginx"},
                                                   {"io.containerd.cri.runtime-handler", "kata"}},
                                                  "c1");
  EXPECT_EQ(containerd.container_name + containerd.pod_name + containerd.pod_namespace, "webpoddefault");
  EXPECT_EQ(containerd.pod_uid + containerd.image_name + containerd.runtime_handler, "unginxkata");
  const CriInfo crio = read_cri_annotations({{"io.kubernetes.cri-o.ContainerName", "web"},
                                             {"io.kubernetes.cri-o.KubeName", "pod"},
                                             {"io.kubernetes.cri-o.LogPath", "/l"}},
                                            "c1");
  EXPECT_EQ(crio.container_name + crio.pod_name + crio.log_directory, "webpod/l");
}

TEST(CriAnnotations, AgentWords) {
  EXPECT_EQ(container_kind_name(ContainerKind::kPodSandbox), "pod_sandbox");
  EXPECT_EQ(container_kind_name(ContainerKind::kPodContainer), "pod_container");
  EXPECT_EQ(container_kind_name(ContainerKind::kSingle), "single_container");
}

}  // namespace
}  // namespace kata::config
