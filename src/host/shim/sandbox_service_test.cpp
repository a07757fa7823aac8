#include "host/shim/sandbox_service.h"

#include "host/shim/overhead.h"
#include "host/shim/pod_files.h"
#include "host/shim/pod_spec.h"
#include "host/shim/service_harness.h"
#include "lib/fd/io.h"

#include "containerd/cri.pb.h"

namespace kata::shim {
namespace {

namespace api = containerd::runtime::sandbox::v1;

class SandboxServiceTest : public ServiceTest {
 public:
  SandboxServiceTest() { service_ = "containerd.runtime.sandbox.v1.Sandbox"; }

  template <typename Request>
  static Request about(const std::string& id = "c1") {
    Request request;
    request.set_sandbox_id(id);
    return request;
  }

  api::CreateSandboxRequest create_sandbox() {
    auto request = about<api::CreateSandboxRequest>();
    request.set_bundle_path(root_);
    request.set_netns_path("/run/netns/pod");
    runtime::v1::PodSandboxConfig config;
    config.set_hostname("podhost");
    config.mutable_dns_config()->add_servers("192.0.2.53");
    request.mutable_options()->set_type_url("runtime.v1.PodSandboxConfig");
    request.mutable_options()->set_value(config.SerializeAsString());
    return request;
  }

  // Creates and starts the sandbox.
  Awaitable<std::shared_ptr<ttrpc::Client>> boot() {
    const auto client = co_await connect();
    co_await call<api::CreateSandboxResponse>(client, "CreateSandbox", create_sandbox());
    const auto started =
        co_await call<api::StartSandboxResponse>(client, "StartSandbox", about<api::StartSandboxRequest>());
    EXPECT_EQ(started.pid(), sandbox::FakeSandbox::kPid);
    EXPECT_GT(started.created_at().seconds(), 0);
    co_return client;
  }

  Awaitable<> shut_down_sandbox(std::shared_ptr<ttrpc::Client> client) {
    shut_down_ = true;
    co_await call<api::ShutdownSandboxResponse>(client, "ShutdownSandbox",
                                                about<api::ShutdownSandboxRequest>());
  }

  Awaitable<std::string> state(std::shared_ptr<ttrpc::Client> client) {
    co_return (co_await call<api::SandboxStatusResponse>(client, "SandboxStatus",
                                                         about<api::SandboxStatusRequest>()))
        .state();
  }
};

TEST_F(SandboxServiceTest, LifeOfAPodWithAContainer) {
  serve_and([this]() -> Awaitable<> {
    const auto client = co_await boot();
    EXPECT_EQ(co_await state(client), "SANDBOX_READY");
    co_await call<api::PingResponse>(client, "PingSandbox", about<api::PingRequest>());
    const auto platform =
        co_await call<api::PlatformResponse>(client, "Platform", about<api::PlatformRequest>());
    EXPECT_EQ(platform.platform().os(), "linux");
    const auto metrics = co_await call<api::SandboxMetricsResponse>(client, "SandboxMetrics",
                                                                    about<api::SandboxMetricsRequest>());
    EXPECT_EQ(metrics.metrics().id(), "c1");
    EXPECT_FALSE(metrics.metrics().data().value().empty());

    service_ = "containerd.task.v3.Task";
    namespace task = containerd::task::v3;
    co_await create_and_start(client, "c2");
    auto kill = of<task::KillRequest>("c2");
    kill.set_signal(9);
    co_await call(client, "Kill", kill);
    co_await call<task::DeleteResponse>(client, "Delete", of<task::DeleteRequest>("c2"));
    co_await call(client, "Shutdown", of<task::ShutdownRequest>("c2"));
    EXPECT_EQ(script_->stopped, 0U) << "the pod outlives its containers";
    const auto pids = co_await call<task::PidsResponse>(client, "Pids", of<task::PidsRequest>("c1"));
    EXPECT_EQ(pids.processes_size(), 1);

    service_ = "containerd.runtime.sandbox.v1.Sandbox";
    for (int twice = 0; twice < 2; ++twice)
      co_await call<api::StopSandboxResponse>(client, "StopSandbox", about<api::StopSandboxRequest>());
    const auto exit =
        co_await call<api::WaitSandboxResponse>(client, "WaitSandbox", about<api::WaitSandboxRequest>());
    EXPECT_EQ(exit.exit_status(), 0U);
    EXPECT_EQ(co_await state(client), "SANDBOX_NOTREADY");
    co_await shut_down_sandbox(client);
  });
  EXPECT_TRUE(ended_);
  EXPECT_EQ(script_->pod.hostname, "podhost");
  ASSERT_EQ(script_->requests.size(), 1U);
  EXPECT_EQ(script_->requests[0].spec.mounts.size(), 4U);
  EXPECT_EQ(read_file(root_ + "/resolv.conf", 1000), "nameserver 192.0.2.53\n");
}

TEST_F(SandboxServiceTest, AVmThatDiesEndsTheSandbox) {
  serve_and([this]() -> Awaitable<> {
    const auto client = co_await boot();
    script_->last.lock()->die();
    const auto exit =
        co_await call<api::WaitSandboxResponse>(client, "WaitSandbox", about<api::WaitSandboxRequest>());
    EXPECT_EQ(exit.exit_status(), 255U);
    EXPECT_EQ(co_await state(client), "SANDBOX_NOTREADY");
    EXPECT_EQ((co_await failure(client, "PingSandbox", about<api::PingRequest>())).code(),
              Code::kUnavailable);
    co_await shut_down_sandbox(client);
  });
}

TEST_F(SandboxServiceTest, WhatDoesNotFitIsAnError) {
  serve_and([this]() -> Awaitable<> {
    const auto client = co_await connect();
    const auto code = [&]<typename Request>(const char* method, Request request) -> Awaitable<Code> {
      co_return (co_await failure(client, method, std::move(request))).code();
    };
    EXPECT_EQ(co_await code("StartSandbox", about<api::StartSandboxRequest>()), Code::kNotFound);
    EXPECT_EQ(co_await code("WaitSandbox", about<api::WaitSandboxRequest>()), Code::kNotFound);
    EXPECT_EQ(co_await code("SandboxStatus", about<api::SandboxStatusRequest>("other")), Code::kNotFound);
    auto wrong = create_sandbox();
    wrong.mutable_options()->set_value("\xff\xff");
    EXPECT_EQ(co_await code("CreateSandbox", wrong), Code::kInvalidArgument);
    wrong = create_sandbox();
    wrong.set_bundle_path("relative");
    EXPECT_EQ(co_await code("CreateSandbox", wrong), Code::kInvalidArgument);
    co_await call<api::CreateSandboxResponse>(client, "CreateSandbox", create_sandbox());
    EXPECT_EQ(co_await code("CreateSandbox", create_sandbox()), Code::kAlreadyExists);
    script_->boot_error = Error(Code::kUnavailable, "no guest");
    EXPECT_EQ(co_await code("StartSandbox", about<api::StartSandboxRequest>()), Code::kUnavailable);
    EXPECT_EQ(script_->stopped, 1U);
    co_await call<api::StopSandboxResponse>(client, "StopSandbox", about<api::StopSandboxRequest>());
    co_await shut_down_sandbox(client);
  });
  EXPECT_TRUE(ended_);
}

TEST(PodSpec, SaysWhatAPauseContainerWould) {
  api::CreateSandboxRequest request;
  request.set_sandbox_id("s1");
  request.set_netns_path("/run/netns/n");
  (*request.mutable_annotations())["both"] = "request";
  runtime::v1::PodSandboxConfig config;
  (*config.mutable_annotations())["both"] = "config";
  (*config.mutable_annotations())["io.kubernetes.cri.container-type"] = "container";
  (*config.mutable_linux()->mutable_sysctls())["net.ipv4.ip_forward"] = "1";
  config.mutable_linux()->mutable_resources()->set_memory_limit_in_bytes(1 << 28);
  config.mutable_linux()->mutable_resources()->set_cpu_quota(150000);
  const oci::Spec spec = pod_spec(request, config);
  EXPECT_EQ(spec.annotations.at("both"), "request");
  EXPECT_EQ(spec.annotations.at("io.kubernetes.cri.container-type"), "sandbox");
  EXPECT_EQ(spec.annotations.at("io.kubernetes.cri.sandbox-memory"), "268435456");
  EXPECT_EQ(spec.annotations.at("io.kubernetes.cri.sandbox-cpu-quota"), "150000");
  EXPECT_FALSE(spec.annotations.contains("io.kubernetes.cri.sandbox-cpu-period"));
  EXPECT_EQ(spec.linux_config->sysctl.at("net.ipv4.ip_forward"), "1");
  EXPECT_EQ(spec.linux_config->namespaces.at(0).path, "/run/netns/n");
}

TEST(PodFiles, OnlyWhatTheContainerLacks) {
  oci::Spec spec;
  oci::Mount own;
  own.destination = "/etc/hosts";
  spec.mounts.push_back(own);
  own.destination = "/dev/shm";
  own.type = "tmpfs";
  spec.mounts.push_back(own);
  add_pod_files(spec, "/bundle");
  std::vector<std::string> places;
  for (const oci::Mount& mount : spec.mounts) places.push_back(mount.destination + " " + mount.type);
  EXPECT_EQ(places, (std::vector<std::string>{"/etc/hosts ", "/etc/hostname bind", "/etc/resolv.conf bind",
                                              "/dev/shm bind"}));
}

TEST(PodUsage, OfThisProcess) {
  const sandbox::ContainerStats usage = pod_usage(::getpid());
  EXPECT_GE(usage.pids_current, 1U);
  EXPECT_GT(usage.memory.usage, 100'000U);
  EXPECT_EQ(pod_usage(1, "/no/such").pids_current, 0U);
}

}  // namespace
}  // namespace kata::shim
