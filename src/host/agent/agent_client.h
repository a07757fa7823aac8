// Client of the guest agent: its API as typed calls with limits (facts: agent-api, sections 1, 3, 4).
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "host/agent/messages.h"
#include "host/vsock/dialer.h"
#include "lib/async/awaitable.h"
#include "lib/oci/spec.h"
#include "lib/text/latencies.h"
#include "lib/ttrpc/client.h"

namespace kata::agent {

struct Limits {
  // Ordinary requests.
  Duration request = std::chrono::seconds(30);
  Duration health = std::chrono::seconds(90);
};

// One connection to one agent. A lost connection fails everything with kUnavailable; the sandbox decides what
// that means. Errors carry the agent's code and text, with the call and the container in front.
class AgentClient {
 public:
  // `dialer` reaches the guest's other ports; without it everything goes over the one connection.
  AgentClient(StreamSocket socket, std::string sandbox_id, Limits limits,
              std::shared_ptr<vsock::GuestDialer> dialer = nullptr);

  // Health
  Awaitable<> check();

  // Sandbox
  Awaitable<> create_sandbox(SandboxSetup setup);
  // A courtesy before the VM is stopped: at most one second.
  Awaitable<> destroy_sandbox();
  Awaitable<GuestDetails> guest_details();
  // Blocks until a container runs out of memory; returns its id. No limit.
  Awaitable<std::string> oom_event();
  Awaitable<std::string> metrics();
  // How long the guest took to answer, as Prometheus text; the calls without a limit left out.
  [[nodiscard]] std::string latencies() const;

  // Sets the guest's clock to this host's; it is then slow by what the call took to get there.
  Awaitable<> set_clock();

  // What operators ask of the guest.
  enum class IpVersion { kV4, kV6 };
  // The packet filter as iptables-save writes it.
  Awaitable<std::string> ip_tables(IpVersion version);
  // Replaces it; returns what iptables-restore had to say.
  Awaitable<std::string> set_ip_tables(IpVersion version, std::string rules);
  // Rego text.
  Awaitable<> set_policy(std::string policy);
  // A volume by its path in the guest.
  Awaitable<std::vector<VolumeUsage>> volume_stats(std::string guest_path);
  Awaitable<> resize_volume(std::string guest_path, uint64_t bytes);

  // Sets memory that was plugged in and CPUs online until `cpus` are; kDeadlineExceeded when the guest does
  // not get there.
  Awaitable<> online_cpus_and_memory(uint32_t cpus);

  // Network
  Awaitable<> update_interface(Interface interface);
  Awaitable<> update_routes(std::vector<Route> routes);
  Awaitable<> add_neighbours(std::vector<Neighbour> neighbours);

  // Files of the node; parents that are missing are made.
  Awaitable<> copy_file(FileChunk chunk);
  // At most 4 KiB of the file behind the container's termination message.
  Awaitable<std::string> termination_log(std::string id);

  // Containers and processes; exec_id is empty for a container's first process.
  Awaitable<> create_container(ContainerSetup setup);
  Awaitable<> start_container(std::string id);
  Awaitable<> remove_container(std::string id);
  Awaitable<> exec_process(std::string id, std::string exec_id, oci::Process process);
  Awaitable<> signal_process(std::string id, std::string exec_id, uint32_t signal);
  // The exit status: 0..255, or 128 + signal. No limit. The agent forgets the process then.
  Awaitable<int> wait_process(std::string id, std::string exec_id);
  // The end of a process, which the agent keeps knowing; `at` by this host's clock. No limit. kUnimplemented
  // from an agent without our extensions.
  struct ProcessEnd {
    int status = 0;
    std::chrono::system_clock::time_point at;
  };
  Awaitable<ProcessEnd> wait_exit(std::string id, std::string exec_id);
  Awaitable<> pause_container(std::string id);
  Awaitable<> resume_container(std::string id);
  Awaitable<> update_container(std::string id, oci::Resources resources);
  Awaitable<ContainerCounters> stats(std::string id);

  // Calls of our own package (katacpp.agent.v1). Another project's agent does not have them: nothing is said
  // then, and false or none returned; after the first such answer the call is not tried again. What of a
  // config.json or process.json the ordinary messages cannot carry; before create_container() or
  // exec_process().
  Awaitable<bool> set_spec_extras(std::string id, std::string exec_id, std::string json);
  Awaitable<std::optional<std::vector<GuestProcess>>> list_processes(std::string id);
  // Removes copied files with all that is in them; writes into one that is there, under its inode.
  Awaitable<bool> remove_files(std::vector<std::string> paths);
  Awaitable<bool> rewrite_file(FileChunk chunk);
  // The guest's clock (since 1970), before it is moved by `correction`.
  Awaitable<std::optional<std::chrono::nanoseconds>> adjust_clock(std::chrono::nanoseconds correction);

  // Streams. No limits: they end when the process or the connection does.
  enum class Stream { kStdout, kStderr, kStdin };
  // A connection that takes over one stream of a process from the calls below: raw bytes up to the end of
  // file; behind the last byte of a stdin the guest closes it. Empty where the agent or the way to it has no
  // such thing; the calls go on then.
  Awaitable<std::optional<StreamSocket>> open_stream(std::string id, std::string exec_id, Stream stream);
  // One read of 1..length bytes; empty at the end. Not for kStdin.
  Awaitable<std::string> read(std::string id, std::string exec_id, Stream stream, uint32_t length);
  Awaitable<> write_stdin(std::string id, std::string exec_id, std::string data);
  Awaitable<> close_stdin(std::string id, std::string exec_id);
  Awaitable<> resize(std::string id, std::string exec_id, uint32_t rows, uint32_t columns);

  [[nodiscard]] bool is_open() const { return client_->is_open(); }
  // Returns when the connection is gone.
  Awaitable<> closed() { return client_->closed(); }
  void close() { client_->close(); }

 private:
  enum class Limit { kRequest, kNone };
  template <typename Response>
  Awaitable<Response> call(const char* method, const google::protobuf::MessageLite& request,
                           const std::string& id, Limit limit = Limit::kRequest);

  // `available` becomes false when the agent does not have the call.
  template <typename Response>
  Awaitable<std::optional<Response>> call_extra(const char* method,
                                                const google::protobuf::MessageLite& request,
                                                std::string context, bool& available);

  std::string sandbox_id_;
  Limits limits_;
  bool has_extras_ = true;
  bool has_streams_ = true;
  bool has_clock_ = true;
  bool has_files_ = true;
  std::shared_ptr<vsock::GuestDialer> dialer_;
  std::shared_ptr<Latencies> latencies_ = std::make_shared<Latencies>();
  std::shared_ptr<ttrpc::Client> client_;
};

}  // namespace kata::agent
