// Requests that make no sense: each gets its code and a message that names the field, the agent serves the
// next call, and nothing is left behind.
#include <csignal>
#include <filesystem>
#include <functional>
#include <limits>

#include "guest/rpc/testing/agent_fixture.h"

namespace kata::rpc {
namespace {

class BadInput : public AgentTest {};

// Calls that name a container, and what they answer when there is none.
struct NamedCall {
  const char* method;
  Code missing;
};

// container_id is field 1 in all of them: one request type can stand for each.
const NamedCall kCalls[] = {
    {"StartContainer", Code::kNotFound},
    {"RemoveContainer", Code::kNotFound},
    {"WaitProcess", Code::kInvalidArgument},
    {"SignalProcess", Code::kInvalidArgument},
    {"CloseStdin", Code::kInvalidArgument},
    {"TtyWinResize", Code::kInvalidArgument},
    {"UpdateContainer", Code::kInvalidArgument},
    {"StatsContainer", Code::kInvalidArgument},
    {"PauseContainer", Code::kInvalidArgument},
    {"ResumeContainer", Code::kInvalidArgument},
    {"WriteStdin", Code::kNotFound},
};

TEST_F(BadInput, UnknownContainer) {
  create_sandbox();
  for (const NamedCall& call : kCalls) {
    grpc::StartContainerRequest request;
    request.set_container_id("nobody");
    expect(call.method, call.method, request, call.missing, "nobody");
  }
  grpc::ReadStreamRequest read;
  read.set_container_id("nobody");
  read.set_len(10);
  expect("ReadStdout", "ReadStdout", read, Code::kInvalidArgument, "nobody");
  expect("ReadStderr", "ReadStderr", read, Code::kInvalidArgument, "nobody");
  grpc::SignalProcessRequest kill;
  kill.set_container_id("nobody");
  kill.set_signal(SIGKILL);
  expect("SIGKILL to all", "SignalProcess", kill, Code::kNotFound, "Process not found");
}

TEST_F(BadInput, IdsThatAreNone) {
  create_sandbox();
  for (const char* id : {"", "a", "../etc", "a/b", "-ab", ".ab", "a b", "a\nb"}) {
    for (const NamedCall& call : kCalls) {
      grpc::StartContainerRequest request;
      request.set_container_id(id);
      expect(call.method, call.method, request, Code::kInvalidArgument, "container_id");
    }
    auto create = shell("c1", "true");
    create.set_container_id(id);
    expect("CreateContainer", "CreateContainer", create, Code::kInvalidArgument, "container_id");
    grpc::CreateSandboxRequest sandbox;
    sandbox.set_sandbox_id(id);
    expect("CreateSandbox", "CreateSandbox", sandbox, Code::kInvalidArgument, "sandbox_id");
  }
  grpc::WaitProcessRequest wait;
  wait.set_container_id("c1");
  wait.set_exec_id("../x");
  expect("exec id", "WaitProcess", wait, Code::kInvalidArgument, "exec_id");
  auto create = shell("c1", "true");
  create.set_exec_id("other");
  expect("exec id of init", "CreateContainer", create, Code::kInvalidArgument, "exec_id");
}

TEST_F(BadInput, EmptyRequestsAndGarbage) {
  create_sandbox();
  for (const char* method :
       {"CreateContainer", "StartContainer",  "RemoveContainer", "ExecProcess",      "SignalProcess",
        "WaitProcess",     "UpdateContainer", "StatsContainer",  "PauseContainer",   "ResumeContainer",
        "WriteStdin",      "ReadStdout",      "ReadStderr",      "CloseStdin",       "TtyWinResize",
        "UpdateInterface", "UpdateRoutes",    "AddARPNeighbors", "CopyFile",         "ReseedRandomDev",
        "AddSwap",         "AddSwapPath",     "GetVolumeStats",  "GetDiagnosticData"}) {
    expect(method, method, grpc::ListRoutesRequest(), Code::kInvalidArgument, "");
    const auto garbage = call_raw(kAgent, method, "\xff\xff\xff\xff");
    ASSERT_FALSE(garbage) << method;
    EXPECT_EQ(garbage.error().code(), Code::kInvalidArgument) << method;
  }
  for (const char* method : {"SetPolicy", "NoSuchMethod"})
    expect(method, method, grpc::ListRoutesRequest(), Code::kUnimplemented, "");
  for (const char* method : {"MemAgentMemcgSet", "MemAgentCompactSet"})
    expect(method, method, grpc::ListRoutesRequest(), Code::kFailedPrecondition, "memory agent");
}

TEST_F(BadInput, WrongState) {
  create_sandbox();
  const auto request = container("c1", {"sleep", "100"});
  ASSERT_EQ(code_of("CreateContainer", request), Code::kOk) << last_error();
  expect("same id twice", "CreateContainer", request, Code::kAlreadyExists, "c1");
  grpc::ResumeContainerRequest resume;
  resume.set_container_id("c1");
  expect("resume what is not paused", "ResumeContainer", resume, Code::kFailedPrecondition, "");
  grpc::StartContainerRequest start;
  start.set_container_id("c1");
  ASSERT_EQ(code_of("StartContainer", start), Code::kOk) << last_error();
  expect("start twice", "StartContainer", start, Code::kFailedPrecondition, "c1");
  grpc::WaitProcessRequest wait;
  wait.set_container_id("c1");
  wait.set_exec_id("none");
  expect("unknown exec", "WaitProcess", wait, Code::kNotFound, "Process not found");
}

// What each call answers about a container that was never started, is paused, or has ended.
TEST_F(BadInput, StatesThatDoNotFit) {
  create_sandbox();
  grpc::StartContainerRequest name;
  name.set_container_id("c1");
  ASSERT_EQ(create_and_start(container("c1", {"sleep", "100"})), Code::kOk) << last_error();
  expect("resume what runs", "ResumeContainer", name, Code::kFailedPrecondition, "c1");
  ASSERT_EQ(code_of("PauseContainer", name), Code::kOk) << last_error();
  expect("pause twice", "PauseContainer", name, Code::kFailedPrecondition, "c1");
  grpc::ExecProcessRequest exec_request;
  exec_request.set_container_id("c1");
  exec_request.set_exec_id("e1");
  exec_request.mutable_process()->add_args("true");
  exec_request.mutable_process()->set_cwd("/");
  expect("exec while paused", "ExecProcess", exec_request, Code::kFailedPrecondition, "c1");
  ASSERT_EQ(code_of("ResumeContainer", name), Code::kOk) << last_error();
  ASSERT_EQ(exec("c1", "e2", {"sleep", "100"}), Code::kOk) << last_error();
  exec_request.set_exec_id("e2");
  expect("exec id twice", "ExecProcess", exec_request, Code::kAlreadyExists, "e2");
  exec_request.set_exec_id("../e");
  expect("exec id", "ExecProcess", exec_request, Code::kInvalidArgument, "exec_id");
  exec_request.set_exec_id("e3");
  exec_request.set_container_id("nobody");
  expect("exec in nobody", "ExecProcess", exec_request, Code::kNotFound, "nobody");
  ASSERT_EQ(signal("c1", "", SIGKILL), Code::kOk) << last_error();
  EXPECT_EQ(wait("c1"), 137);
  exec_request.set_container_id("c1");
  expect("exec in what has ended", "ExecProcess", exec_request, Code::kFailedPrecondition, "c1");
  expect("start what has ended", "StartContainer", name, Code::kFailedPrecondition, "c1");
  expect("pause what has ended", "PauseContainer", name, Code::kFailedPrecondition, "c1");
  EXPECT_EQ(remove("c1"), Code::kOk) << last_error();
  expect("remove twice", "RemoveContainer", name, Code::kNotFound, "c1");
}

TEST_F(BadInput, NumbersInASpec) {
  create_sandbox();
  const struct {
    const char* name;
    std::function<void(grpc::CreateContainerRequest&)> change;
  } rows[] = {
      {"memory below what a process needs",
       [](auto& r) {
         r.mutable_oci()->mutable_linux()->mutable_resources()->mutable_memory()->set_limit(1);
       }},
      {"weight",
       [](auto& r) {
         r.mutable_oci()->mutable_linux()->mutable_resources()->mutable_blockio()->set_weight(4'000'000'000U);
       }},
      {"quota",
       [](auto& r) { r.mutable_oci()->mutable_linux()->mutable_resources()->mutable_cpu()->set_quota(1); }},
      {"period",
       [](auto& r) {
         r.mutable_oci()->mutable_linux()->mutable_resources()->mutable_cpu()->set_quota(100'000);
         r.mutable_oci()->mutable_linux()->mutable_resources()->mutable_cpu()->set_period(
             0xffffffffffffffffU);
       }},
      {"cpus",
       [](auto& r) {
         r.mutable_oci()->mutable_linux()->mutable_resources()->mutable_cpu()->set_cpus("99999");
       }},
      {"user", [](auto& r) { r.mutable_oci()->mutable_process()->mutable_user()->set_uid(0xffffffffU); }},
      {"device numbers",
       [](auto& r) {
         auto& node = *r.mutable_oci()->mutable_linux()->add_devices();
         node.set_path("/dev/x");
         node.set_type("c");
         node.set_major(int64_t{1} << 40);
       }},
  };
  for (const auto& row : rows) {
    const Residue before = residue();
    auto request = shell("c1", "true");
    row.change(request);
    const Code code = create_and_start(request);
    EXPECT_NE(code, Code::kOk) << row.name;
    EXPECT_FALSE(last_error().empty()) << row.name;
    EXPECT_EQ(code_of("Check", grpc::CheckRequest(), "grpc.Health"), Code::kOk) << row.name;
    // It fails at its start at the latest.
    (void)remove("c1");
    expect_residue(before, row.name);
  }
  // The same of an exec.
  ASSERT_EQ(create_and_start(container("c1", {"sleep", "100"})), Code::kOk) << last_error();
  grpc::ExecProcessRequest request;
  request.set_container_id("c1");
  request.set_exec_id("e1");
  request.mutable_process()->add_args("true");
  request.mutable_process()->set_cwd("/");
  request.mutable_process()->mutable_user()->set_gid(0xffffffffU);
  expect("group of an exec", "ExecProcess", request, Code::kInvalidArgument, "gid");
}

TEST_F(BadInput, NumbersOutOfRange) {
  create_sandbox();
  ASSERT_EQ(create_and_start(container("c1", {"sleep", "100"})), Code::kOk) << last_error();
  grpc::SignalProcessRequest signal;
  signal.set_container_id("c1");
  for (const uint32_t number : {65U, 1000U, 0xffffffffU}) {
    signal.set_signal(number);
    expect("signal", "SignalProcess", signal, Code::kInvalidArgument, "signal");
  }
  grpc::ReadStreamRequest read;
  read.set_container_id("c1");
  expect("len 0", "ReadStdout", read, Code::kInvalidArgument, "len");
  grpc::SetGuestDateTimeRequest time;
  time.set_usec(1'000'000);
  expect("Usec", "SetGuestDateTime", time, Code::kInvalidArgument, "Usec");
  time.set_usec(0);
  time.set_sec(-5);
  expect("Sec", "SetGuestDateTime", time, Code::kInvalidArgument, "Sec");
  time.set_sec(std::numeric_limits<int64_t>::max());
  expect("Sec", "SetGuestDateTime", time, Code::kInvalidArgument, "Sec");
  grpc::AddSwapRequest swap;
  swap.add_pcipath(32);
  expect("slot", "AddSwap", swap, Code::kInvalidArgument, "PCIPath");
  grpc::UpdateContainerRequest update;
  update.set_container_id("c1");
  update.mutable_resources()->mutable_blockio()->set_weight(100000);
  expect("weight", "UpdateContainer", update, Code::kInvalidArgument, "Weight");
}

// A change of a good request, and what it must lead to.
struct Row {
  const char* name;
  void (*change)(grpc::CreateContainerRequest& request);
  Code code;
  const char* text;
};

const Row kRows[] = {
    {"no OCI", [](auto& r) { r.clear_oci(); }, Code::kInvalidArgument, "OCI"},
    {"no root", [](auto& r) { r.mutable_oci()->clear_root(); }, Code::kInvalidArgument, "Root"},
    {"no process", [](auto& r) { r.mutable_oci()->clear_process(); }, Code::kInvalidArgument, "Process"},
    {"no args", [](auto& r) { r.mutable_oci()->mutable_process()->clear_args(); }, Code::kInvalidArgument,
     "Args"},
    {"missing rootfs", [](auto& r) { r.mutable_oci()->mutable_root()->set_path("/no/such/folder"); },
     Code::kNotFound, ""},
    {"missing program", [](auto& r) { r.mutable_oci()->mutable_process()->set_args(0, "nosuch"); },
     Code::kNotFound, "nosuch"},
    {"namespace", [](auto& r) { r.mutable_oci()->mutable_linux()->add_namespaces()->set_type("moon"); },
     Code::kInvalidArgument, "Namespaces"},
    {"capability",
     [](auto& r) { r.mutable_oci()->mutable_process()->mutable_capabilities()->add_bounding("CAP_FLY"); },
     Code::kInvalidArgument, "Capabilities"},
    {"rlimit", [](auto& r) { r.mutable_oci()->mutable_process()->add_rlimits()->set_type("RLIMIT_X"); },
     Code::kInvalidArgument, "Rlimits"},
    {"seccomp action",
     [](auto& r) { r.mutable_oci()->mutable_linux()->mutable_seccomp()->set_defaultaction("SCMP_ACT_X"); },
     Code::kInvalidArgument, "Seccomp"},
    {"propagation", [](auto& r) { r.mutable_oci()->mutable_linux()->set_rootfspropagation("both"); },
     Code::kInvalidArgument, "RootfsPropagation"},
    {"device type", [](auto& r) { r.mutable_oci()->mutable_linux()->add_devices()->set_type("z"); },
     Code::kInvalidArgument, "Devices"},
    {"cgroup outside", [](auto& r) { r.mutable_oci()->mutable_linux()->set_cgroupspath("/../../x"); },
     Code::kInvalidArgument, ""},
    {"mount without target", [](auto& r) { r.mutable_oci()->add_mounts()->set_type("tmpfs"); },
     Code::kInvalidArgument, "Mounts"},
    {"storage driver",
     [](auto& r) {
       r.add_storages()->set_driver("9p");
       r.mutable_storages(0)->set_mount_point("/run/kata-containers/x");
     },
     Code::kInvalidArgument, "9p"},
    {"storage outside",
     [](auto& r) {
       r.add_storages()->set_driver("local");
       r.mutable_storages(0)->set_mount_point("/etc");
     },
     Code::kInvalidArgument, "mount_point"},
    {"storage escaping",
     [](auto& r) {
       r.add_storages()->set_driver("local");
       r.mutable_storages(0)->set_mount_point("/run/kata-containers/../../etc");
     },
     Code::kInvalidArgument, "mount_point"},
    {"second storage fails",
     [](auto& r) {
       auto& good = *r.add_storages();
       good.set_driver("ephemeral");
       good.set_fstype("tmpfs");
       good.set_source("tmpfs");
       good.set_mount_point("/run/kata-containers/sandbox/one/two");
       auto& bad = *r.add_storages();
       bad.set_driver("ephemeral");
       bad.set_fstype("nosuchfs");
       bad.set_source("x");
       bad.set_mount_point("/run/kata-containers/sandbox/three");
     },
     Code::kInternal, "nosuchfs"},
    {"huge pages without size",
     [](auto& r) {
       r.add_storages()->set_driver("ephemeral");
       r.mutable_storages(0)->set_fstype("hugetlbfs");
       r.mutable_storages(0)->set_mount_point("/run/kata-containers/sandbox/huge");
     },
     Code::kInvalidArgument, "pagesize"},
    {"loop",
     [](auto& r) {
       r.add_storages()->set_driver("ephemeral");
       r.mutable_storages(0)->set_fstype("tmpfs");
       r.mutable_storages(0)->add_options("loop");
       r.mutable_storages(0)->set_mount_point("/run/kata-containers/sandbox/loop");
     },
     Code::kInvalidArgument, "loop"},
    {"device that never appears",
     [](auto& r) {
       r.add_storages()->set_driver("blk");
       r.mutable_storages(0)->set_source("1e/00");
       r.mutable_storages(0)->set_fstype("ext4");
       r.mutable_storages(0)->set_mount_point("/run/kata-containers/sandbox/disk");
     },
     Code::kDeadlineExceeded, "1e/00"},
    {"device without node",
     [](auto& r) {
       r.add_devices()->set_type("blk");
       r.mutable_devices(0)->set_id("02/00");
       r.mutable_devices(0)->set_container_path("/dev/xvda");
     },
     Code::kInvalidArgument, "container_path"},
    {"type of a look-up, not of a device",
     [](auto& r) {
       r.add_devices()->set_type("VFIO group of");
       r.mutable_devices(0)->set_id("/sys");
       r.mutable_devices(0)->set_container_path("/dev/x");
     },
     Code::kInvalidArgument, "type is unknown"},
    {"passed-through function without address",
     [](auto& r) {
       r.add_devices()->set_type("vfio-pci-gk");
       r.mutable_devices(0)->set_id("1");
       r.mutable_devices(0)->add_options("02/00");
     },
     Code::kInvalidArgument, "host PCI address"},
    {"passed-through function that never appears",
     [](auto& r) {
       r.add_devices()->set_type("vfio-pci-gk");
       r.mutable_devices(0)->set_id("1");
       r.mutable_devices(0)->add_options("0000:3b:00.0=1e/00");
     },
     Code::kDeadlineExceeded, "1e/00"},
    {"CDI name",
     [](auto& r) { (*r.mutable_oci()->mutable_annotations())["cdi.k8s.io/x"] = "vendor.com/gpu"; },
     Code::kInvalidArgument, "cdi.k8s.io/x"},
    {"image pull without a data hub",
     [](auto& r) {
       r.add_storages()->set_driver("image_guest_pull");
       r.mutable_storages(0)->add_driver_options("image_guest_pull={}");
       r.mutable_storages(0)->set_source("registry/image");
       r.mutable_storages(0)->set_mount_point("/run/kata-containers/c1/rootfs");
     },
     Code::kFailedPrecondition, "confidential-data-hub"},
    {"pause image that the guest has not",
     [](auto& r) {
       r.add_storages()->set_driver("image_guest_pull");
       r.mutable_storages(0)->add_driver_options("image_guest_pull={}");
       r.mutable_storages(0)->set_source("pause");
       r.mutable_storages(0)->set_mount_point("/run/kata-containers/c1/rootfs");
     },
     Code::kFailedPrecondition, "pause_bundle"},
    {"image pull to another place",
     [](auto& r) {
       r.add_storages()->set_driver("image_guest_pull");
       r.mutable_storages(0)->add_driver_options("image_guest_pull={}");
       r.mutable_storages(0)->set_source("registry/image");
       r.mutable_storages(0)->set_mount_point("/run/kata-containers/c2/rootfs");
     },
     Code::kInvalidArgument, "mount_point"},
    {"device type unknown",
     [](auto& r) {
       r.add_devices()->set_type("floppy");
       r.mutable_devices(0)->set_id("1");
       r.mutable_devices(0)->set_container_path("/dev/fd0");
       auto& node = *r.mutable_oci()->mutable_linux()->add_devices();
       node.set_path("/dev/fd0");
       node.set_type("b");
     },
     Code::kInvalidArgument, "floppy"},
};

TEST_F(BadInput, FailedCreateLeavesNothing) {
  create_sandbox();
  for (const Row& row : kRows) {
    const Residue before = residue();
    auto request = shell("c1", "true");
    row.change(request);
    expect(row.name, "CreateContainer", request, row.code, row.text);
    expect_residue(before, row.name);
  }
  // The id is free again.
  ASSERT_EQ(create_and_start(shell("c1", "exit 4")), Code::kOk) << last_error();
  EXPECT_EQ(wait("c1"), 4);
}

TEST_F(BadInput, ExecOfWhatIsNotThere) {
  create_sandbox();
  ASSERT_EQ(create_and_start(container("c1", {"sleep", "100"})), Code::kOk) << last_error();
  const Residue before = residue();
  grpc::ExecProcessRequest request;
  request.set_container_id("c1");
  expect("no exec id", "ExecProcess", request, Code::kInvalidArgument, "exec_id");
  request.set_exec_id("e1");
  expect("no process", "ExecProcess", request, Code::kInvalidArgument, "process");
  request.mutable_process()->set_cwd("/");
  expect("no args", "ExecProcess", request, Code::kInvalidArgument, "Args");
  request.mutable_process()->add_args("/no/such/program");
  expect("no program", "ExecProcess", request, Code::kNotFound, "/no/such/program");
  expect_residue(before, "after");
}

TEST_F(BadInput, SandboxThatFailsCanBeTriedAgain) {
  grpc::CreateSandboxRequest request;
  request.set_sandbox_id("pod1");
  request.set_hostname(std::string(65, 'h'));
  expect("hostname", "CreateSandbox", request, Code::kInvalidArgument, "hostname");
  request.set_hostname("pod");
  request.add_storages()->set_driver("9p");
  expect("storage", "CreateSandbox", request, Code::kInvalidArgument, "9p");
  request.clear_storages();
  request.add_kernel_modules()->set_name("../x");
  expect("module", "CreateSandbox", request, Code::kInvalidArgument, "kernel_modules");
  request.clear_kernel_modules();
  EXPECT_EQ(code_of("CreateSandbox", request), Code::kOk) << last_error();
}

}  // namespace
}  // namespace kata::rpc
