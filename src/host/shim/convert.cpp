#include "host/shim/convert.h"

#include <utility>

#include "lib/oci/json.h"

namespace kata::shim {
namespace {

namespace proto = containerd::task::v3;
namespace types = containerd::v1::types;

constexpr std::string_view kSpecPrefix = "types.containerd.io/opencontainers/runtime-spec/1/";

template <typename Request>
sandbox::Stdio stdio_of(const Request& request) {
  sandbox::Stdio stdio;
  stdio.in = request.stdin();
  stdio.out = request.stdout();
  stdio.err = request.stderr();
  stdio.terminal = request.terminal();
  return stdio;
}

types::Status to_status(sandbox::ProcessState state) {
  switch (state) {
    case sandbox::ProcessState::kCreated:
      return types::CREATED;
    case sandbox::ProcessState::kRunning:
      return types::RUNNING;
    case sandbox::ProcessState::kStopped:
      return types::STOPPED;
    case sandbox::ProcessState::kPaused:
      return types::PAUSED;
    case sandbox::ProcessState::kPausing:
      return types::PAUSING;
  }
  return types::UNKNOWN;
}

void check_type(const google::protobuf::Any& any, std::string_view name) {
  const std::string wanted = std::string(kSpecPrefix).append(name);
  if (bare_type(any.type_url()) == wanted) return;
  throw Error(Code::kInvalidArgument,
              "expected a message of type " + wanted + ", got '" + any.type_url().substr(0, 200) + "'");
}

template <typename T>
T unwrap(std::expected<T, Error> parsed) {
  if (!parsed) throw parsed.error();
  return std::move(*parsed);
}

}  // namespace

void set_timestamp(google::protobuf::Timestamp& out, std::chrono::system_clock::time_point at) {
  const auto since = std::chrono::duration_cast<std::chrono::nanoseconds>(at.time_since_epoch());
  const auto seconds = std::chrono::floor<std::chrono::seconds>(since);
  out.set_seconds(seconds.count());
  out.set_nanos(static_cast<int32_t>((since - seconds).count()));
}

std::string_view bare_type(std::string_view type_url) {
  constexpr std::string_view kPrefix = "type.googleapis.com/";
  if (type_url.starts_with(kPrefix)) type_url.remove_prefix(kPrefix.size());
  return type_url;
}

sandbox::Stdio to_stdio(const proto::CreateTaskRequest& request) {
  return stdio_of(request);
}
sandbox::Stdio to_stdio(const proto::ExecProcessRequest& request) {
  return stdio_of(request);
}

std::vector<rootfs::MountRequest> to_mounts(const proto::CreateTaskRequest& request) {
  std::vector<rootfs::MountRequest> mounts;
  for (const auto& mount : request.rootfs()) {
    mounts.push_back({mount.type(), mount.source(), mount.target(),
                      std::vector<std::string>(mount.options().begin(), mount.options().end())});
  }
  return mounts;
}

proto::StateResponse to_state(const sandbox::ProcessStatus& status) {
  proto::StateResponse state;
  state.set_id(status.container_id);
  state.set_bundle(status.bundle);
  state.set_pid(status.pid);
  state.set_status(to_status(status.state));
  state.set_stdin(status.stdio.in);
  state.set_stdout(status.stdio.out);
  state.set_stderr(status.stdio.err);
  state.set_terminal(status.stdio.terminal);
  state.set_exec_id(status.exec_id);
  if (status.state == sandbox::ProcessState::kStopped) {
    state.set_exit_status(status.exit.status);
    set_timestamp(*state.mutable_exited_at(), status.exit.at);
  }
  return state;
}

oci::Process to_process(const google::protobuf::Any& any) {
  check_type(any, "Process");
  return unwrap(oci::parse_process(any.value()));
}

oci::Resources to_resources(const google::protobuf::Any& any) {
  check_type(any, "LinuxResources");
  return unwrap(oci::parse_resources(any.value()));
}

}  // namespace kata::shim
