// Wire contract with containerd: bootstrap, task service (v2 has the same messages as v3), events and
// options. Numbers and types are those of the published interface, stated here a second time.
#include "containerd/bootstrap.pb.h"
#include "containerd/events.pb.h"
#include "containerd/events_service.pb.h"
#include "containerd/runc_options.pb.h"
#include "containerd/runtimeoptions.pb.h"
#include "containerd/task.pb.h"
#include "wire_test.h"

namespace kata::proto_wire {
namespace {

TEST(TaskWireTest, BootstrapParams) {
  using M = containerd::runtime::bootstrap::v1::BootstrapParams;
  Fields<M>()
      .text(1, &M::instance_id)
      .text(2, &M::namespace_)
      .choice(3, &M::log_level)
      .text(4, &M::containerd_version)
      .text(5, &M::containerd_ttrpc_address)
      .text(6, &M::containerd_grpc_address)
      .text(7, &M::containerd_binary)
      .subs<containerd::runtime::bootstrap::v1::Extension>(8, &M::extensions)
      .text(9, &M::socket_dir);
}

TEST(TaskWireTest, Extension) {
  using M = containerd::runtime::bootstrap::v1::Extension;
  Fields<M>().sub<google::protobuf::Any>(1, &M::value, &M::has_value);
}

TEST(TaskWireTest, BootstrapResult) {
  using M = containerd::runtime::bootstrap::v1::BootstrapResult;
  Fields<M>()
      .i32(1, &M::version)
      .text(2, &M::address)
      .text(3, &M::protocol)
      .choices(4, &M::capabilities)
      .text_map(5, &M::metadata);
}

TEST(TaskWireTest, EnumsOfRuntimeBootstrapVBootstrapProto) {
  EXPECT_EQ(number(containerd::runtime::bootstrap::v1::LOG_LEVEL_INFO), 0);
  EXPECT_EQ(number(containerd::runtime::bootstrap::v1::LOG_LEVEL_TRACE), -8);
  EXPECT_EQ(number(containerd::runtime::bootstrap::v1::LOG_LEVEL_DEBUG), -4);
  EXPECT_EQ(number(containerd::runtime::bootstrap::v1::LOG_LEVEL_WARN), 4);
  EXPECT_EQ(number(containerd::runtime::bootstrap::v1::LOG_LEVEL_ERROR), 8);
  EXPECT_EQ(number(containerd::runtime::bootstrap::v1::LOG_LEVEL_FATAL), 10);
  EXPECT_EQ(number(containerd::runtime::bootstrap::v1::LOG_LEVEL_PANIC), 12);
  EXPECT_EQ(number(containerd::runtime::bootstrap::v1::CAPABILITY_UNSPECIFIED), 0);
}

TEST(TaskWireTest, CreateTaskRequest) {
  using M = containerd::task::v3::CreateTaskRequest;
  Fields<M>()
      .text(1, &M::id)
      .text(2, &M::bundle)
      .subs<containerd::types::Mount>(3, &M::rootfs)
      .flag(4, &M::terminal)
      .text(5, &M::stdin)
      .text(6, &M::stdout)
      .text(7, &M::stderr)
      .text(8, &M::checkpoint)
      .text(9, &M::parent_checkpoint)
      .sub<google::protobuf::Any>(10, &M::options, &M::has_options);
}

TEST(TaskWireTest, CreateTaskResponse) {
  using M = containerd::task::v3::CreateTaskResponse;
  Fields<M>().u32(1, &M::pid);
}

TEST(TaskWireTest, DeleteRequest) {
  using M = containerd::task::v3::DeleteRequest;
  Fields<M>().text(1, &M::id).text(2, &M::exec_id);
}

TEST(TaskWireTest, DeleteResponse) {
  using M = containerd::task::v3::DeleteResponse;
  Fields<M>()
      .u32(1, &M::pid)
      .u32(2, &M::exit_status)
      .sub<google::protobuf::Timestamp>(3, &M::exited_at, &M::has_exited_at);
}

TEST(TaskWireTest, ExecProcessRequest) {
  using M = containerd::task::v3::ExecProcessRequest;
  Fields<M>()
      .text(1, &M::id)
      .text(2, &M::exec_id)
      .flag(3, &M::terminal)
      .text(4, &M::stdin)
      .text(5, &M::stdout)
      .text(6, &M::stderr)
      .sub<google::protobuf::Any>(7, &M::spec, &M::has_spec);
}

TEST(TaskWireTest, ResizePtyRequest) {
  using M = containerd::task::v3::ResizePtyRequest;
  Fields<M>().text(1, &M::id).text(2, &M::exec_id).u32(3, &M::width).u32(4, &M::height);
}

TEST(TaskWireTest, StateRequest) {
  using M = containerd::task::v3::StateRequest;
  Fields<M>().text(1, &M::id).text(2, &M::exec_id);
}

TEST(TaskWireTest, StateResponse) {
  using M = containerd::task::v3::StateResponse;
  Fields<M>()
      .text(1, &M::id)
      .text(2, &M::bundle)
      .u32(3, &M::pid)
      .choice(4, &M::status)
      .text(5, &M::stdin)
      .text(6, &M::stdout)
      .text(7, &M::stderr)
      .flag(8, &M::terminal)
      .u32(9, &M::exit_status)
      .sub<google::protobuf::Timestamp>(10, &M::exited_at, &M::has_exited_at)
      .text(11, &M::exec_id);
}

TEST(TaskWireTest, KillRequest) {
  using M = containerd::task::v3::KillRequest;
  Fields<M>().text(1, &M::id).text(2, &M::exec_id).u32(3, &M::signal).flag(4, &M::all);
}

TEST(TaskWireTest, CloseIORequest) {
  using M = containerd::task::v3::CloseIORequest;
  Fields<M>().text(1, &M::id).text(2, &M::exec_id).flag(3, &M::stdin);
}

TEST(TaskWireTest, PidsRequest) {
  using M = containerd::task::v3::PidsRequest;
  Fields<M>().text(1, &M::id);
}

TEST(TaskWireTest, PidsResponse) {
  using M = containerd::task::v3::PidsResponse;
  Fields<M>().subs<containerd::v1::types::ProcessInfo>(1, &M::processes);
}

TEST(TaskWireTest, CheckpointTaskRequest) {
  using M = containerd::task::v3::CheckpointTaskRequest;
  Fields<M>().text(1, &M::id).text(2, &M::path).sub<google::protobuf::Any>(3, &M::options, &M::has_options);
}

TEST(TaskWireTest, UpdateTaskRequest) {
  using M = containerd::task::v3::UpdateTaskRequest;
  Fields<M>()
      .text(1, &M::id)
      .sub<google::protobuf::Any>(2, &M::resources, &M::has_resources)
      .text_map(3, &M::annotations);
}

TEST(TaskWireTest, StartRequest) {
  using M = containerd::task::v3::StartRequest;
  Fields<M>().text(1, &M::id).text(2, &M::exec_id);
}

TEST(TaskWireTest, StartResponse) {
  using M = containerd::task::v3::StartResponse;
  Fields<M>().u32(1, &M::pid);
}

TEST(TaskWireTest, WaitRequest) {
  using M = containerd::task::v3::WaitRequest;
  Fields<M>().text(1, &M::id).text(2, &M::exec_id);
}

TEST(TaskWireTest, WaitResponse) {
  using M = containerd::task::v3::WaitResponse;
  Fields<M>().u32(1, &M::exit_status).sub<google::protobuf::Timestamp>(2, &M::exited_at, &M::has_exited_at);
}

TEST(TaskWireTest, StatsRequest) {
  using M = containerd::task::v3::StatsRequest;
  Fields<M>().text(1, &M::id);
}

TEST(TaskWireTest, StatsResponse) {
  using M = containerd::task::v3::StatsResponse;
  Fields<M>().sub<google::protobuf::Any>(1, &M::stats, &M::has_stats);
}

TEST(TaskWireTest, ConnectRequest) {
  using M = containerd::task::v3::ConnectRequest;
  Fields<M>().text(1, &M::id);
}

TEST(TaskWireTest, ConnectResponse) {
  using M = containerd::task::v3::ConnectResponse;
  Fields<M>().u32(1, &M::shim_pid).u32(2, &M::task_pid).text(3, &M::version);
}

TEST(TaskWireTest, ShutdownRequest) {
  using M = containerd::task::v3::ShutdownRequest;
  Fields<M>().text(1, &M::id).flag(2, &M::now);
}

TEST(TaskWireTest, PauseRequest) {
  using M = containerd::task::v3::PauseRequest;
  Fields<M>().text(1, &M::id);
}

TEST(TaskWireTest, ResumeRequest) {
  using M = containerd::task::v3::ResumeRequest;
  Fields<M>().text(1, &M::id);
}

TEST(TaskWireTest, Process) {
  using M = containerd::v1::types::Process;
  Fields<M>()
      .text(1, &M::container_id)
      .text(2, &M::id)
      .u32(3, &M::pid)
      .choice(4, &M::status)
      .text(5, &M::stdin)
      .text(6, &M::stdout)
      .text(7, &M::stderr)
      .flag(8, &M::terminal)
      .u32(9, &M::exit_status)
      .sub<google::protobuf::Timestamp>(10, &M::exited_at, &M::has_exited_at);
}

TEST(TaskWireTest, ProcessInfo) {
  using M = containerd::v1::types::ProcessInfo;
  Fields<M>().u32(1, &M::pid).sub<google::protobuf::Any>(2, &M::info, &M::has_info);
}

TEST(TaskWireTest, EnumsOfTypesTaskTaskProto) {
  EXPECT_EQ(number(containerd::v1::types::UNKNOWN), 0);
  EXPECT_EQ(number(containerd::v1::types::CREATED), 1);
  EXPECT_EQ(number(containerd::v1::types::RUNNING), 2);
  EXPECT_EQ(number(containerd::v1::types::STOPPED), 3);
  EXPECT_EQ(number(containerd::v1::types::PAUSED), 4);
  EXPECT_EQ(number(containerd::v1::types::PAUSING), 5);
}

TEST(TaskWireTest, Mount) {
  using M = containerd::types::Mount;
  Fields<M>().text(1, &M::type).text(2, &M::source).text(3, &M::target).texts(4, &M::options);
}

TEST(TaskWireTest, ActiveMount) {
  using M = containerd::types::ActiveMount;
  Fields<M>()
      .sub<containerd::types::Mount>(1, &M::mount, &M::has_mount)
      .sub<google::protobuf::Timestamp>(2, &M::mounted_at, &M::has_mounted_at)
      .text(3, &M::mount_point)
      .text_map(4, &M::data);
}

TEST(TaskWireTest, ActivationInfo) {
  using M = containerd::types::ActivationInfo;
  Fields<M>()
      .text(1, &M::name)
      .subs<containerd::types::ActiveMount>(2, &M::active)
      .subs<containerd::types::Mount>(3, &M::system)
      .text_map(4, &M::labels);
}

TEST(TaskWireTest, TaskCreate) {
  using M = containerd::events::TaskCreate;
  Fields<M>()
      .text(1, &M::container_id)
      .text(2, &M::bundle)
      .subs<containerd::types::Mount>(3, &M::rootfs)
      .sub<containerd::events::TaskIO>(4, &M::io, &M::has_io)
      .text(5, &M::checkpoint)
      .u32(6, &M::pid);
}

TEST(TaskWireTest, TaskStart) {
  using M = containerd::events::TaskStart;
  Fields<M>().text(1, &M::container_id).u32(2, &M::pid);
}

TEST(TaskWireTest, TaskDelete) {
  using M = containerd::events::TaskDelete;
  Fields<M>()
      .text(1, &M::container_id)
      .u32(2, &M::pid)
      .u32(3, &M::exit_status)
      .sub<google::protobuf::Timestamp>(4, &M::exited_at, &M::has_exited_at)
      .text(5, &M::id);
}

TEST(TaskWireTest, TaskIO) {
  using M = containerd::events::TaskIO;
  Fields<M>().text(1, &M::stdin).text(2, &M::stdout).text(3, &M::stderr).flag(4, &M::terminal);
}

TEST(TaskWireTest, TaskExit) {
  using M = containerd::events::TaskExit;
  Fields<M>()
      .text(1, &M::container_id)
      .text(2, &M::id)
      .u32(3, &M::pid)
      .u32(4, &M::exit_status)
      .sub<google::protobuf::Timestamp>(5, &M::exited_at, &M::has_exited_at);
}

TEST(TaskWireTest, TaskOOM) {
  using M = containerd::events::TaskOOM;
  Fields<M>().text(1, &M::container_id);
}

TEST(TaskWireTest, TaskExecAdded) {
  using M = containerd::events::TaskExecAdded;
  Fields<M>().text(1, &M::container_id).text(2, &M::exec_id);
}

TEST(TaskWireTest, TaskExecStarted) {
  using M = containerd::events::TaskExecStarted;
  Fields<M>().text(1, &M::container_id).text(2, &M::exec_id).u32(3, &M::pid);
}

TEST(TaskWireTest, TaskPaused) {
  using M = containerd::events::TaskPaused;
  Fields<M>().text(1, &M::container_id);
}

TEST(TaskWireTest, TaskResumed) {
  using M = containerd::events::TaskResumed;
  Fields<M>().text(1, &M::container_id);
}

TEST(TaskWireTest, TaskCheckpointed) {
  using M = containerd::events::TaskCheckpointed;
  Fields<M>().text(1, &M::container_id).text(2, &M::checkpoint);
}

TEST(TaskWireTest, Envelope) {
  using M = containerd::types::Envelope;
  Fields<M>()
      .sub<google::protobuf::Timestamp>(1, &M::timestamp, &M::has_timestamp)
      .text(2, &M::namespace_)
      .text(3, &M::topic)
      .sub<google::protobuf::Any>(4, &M::event, &M::has_event);
}

TEST(TaskWireTest, ForwardRequest) {
  using M = containerd::services::events::ttrpc::v1::ForwardRequest;
  Fields<M>().sub<containerd::types::Envelope>(1, &M::envelope, &M::has_envelope);
}

TEST(TaskWireTest, RuntimeOptions) {
  using M = runtimeoptions::v1::Options;
  Fields<M>().text(1, &M::type_url).text(2, &M::config_path).text(3, &M::config_body);
}

TEST(TaskWireTest, RuncOptions) {
  using M = containerd::runc::v1::Options;
  Fields<M>()
      .flag(1, &M::no_pivot_root)
      .flag(2, &M::no_new_keyring)
      .text(3, &M::shim_cgroup)
      .u32(4, &M::io_uid)
      .u32(5, &M::io_gid)
      .text(6, &M::binary_name)
      .text(7, &M::root)
      .flag(9, &M::systemd_cgroup)
      .text(10, &M::criu_image_path)
      .text(11, &M::criu_work_path)
      .text(12, &M::task_api_address)
      .u32(13, &M::task_api_version);
}

TEST(TaskWireTest, RuncCheckpointOptions) {
  using M = containerd::runc::v1::CheckpointOptions;
  Fields<M>()
      .flag(1, &M::exit)
      .flag(2, &M::open_tcp)
      .flag(3, &M::external_unix_sockets)
      .flag(4, &M::terminal)
      .flag(5, &M::file_locks)
      .texts(6, &M::empty_namespaces)
      .text(7, &M::cgroups_mode)
      .text(8, &M::image_path)
      .text(9, &M::work_path)
      .text(10, &M::parent_path);
}

TEST(TaskWireTest, RuncProcessDetails) {
  using M = containerd::runc::v1::ProcessDetails;
  Fields<M>().text(1, &M::exec_id);
}

}  // namespace
}  // namespace kata::proto_wire
