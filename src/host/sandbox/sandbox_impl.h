// The sandbox's implementation; its parts by question: sandbox_impl.cpp (calls on containers),
// sandbox_create.cpp (containers on their way into the guest), sandbox_hooks.cpp (the node's hooks),
// sandbox_boot.cpp (VM up and down), sandbox_watch.cpp (what happens by itself). Only these include it.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "host/agent/agent_client.h"
#include "host/device/disk_manager.h"
#include "host/hook/hook.h"
#include "host/resource/network/netns_holder.h"
#include "host/resource/network/network.h"
#include "host/resource/rootfs/mounted_rootfs.h"
#include "host/resource/share_fs/share_fs.h"
#include "host/sandbox/container.h"
#include "host/sandbox/guest_spec.h"
#include "host/sandbox/run_dir.h"
#include "host/sandbox/sandbox.h"
#include "host/sandbox/sandbox_resources.h"
#include "host/sandbox/state_file.h"
#include "host/vmm/vm_driver.h"
#include "host/vsock/transport.h"
#include "lib/async/mutex.h"
#include "lib/async/task_group.h"

namespace kata::sandbox {

// What a sandbox is made of, for tests to replace.
struct SandboxParts {
  std::function<std::unique_ptr<vmm::VmDriver>(const std::string& name,
                                               const asio::any_io_executor& executor)>
      make_driver = vmm::make_driver;
  std::function<Awaitable<std::unique_ptr<vsock::Transport>>(vsock::TransportConfig)> make_transport =
      vsock::Transport::prepare;
  MakeCgroup make_cgroup = make_node_cgroup;
  std::string run_root = "/run/kata";
  std::string share_base = std::string(share_fs::kShareBase);
};

class SandboxImpl : public Sandbox, public std::enable_shared_from_this<SandboxImpl> {
 public:
  SandboxImpl(asio::any_io_executor executor, SandboxConfig config, std::shared_ptr<EventSink> events,
              SandboxParts parts = {});

  Awaitable<uint32_t> create_container(ContainerRequest request) override;
  Awaitable<uint32_t> boot_empty(oci::Spec pod) override;
  Awaitable<ExitInfo> wait_end() override;
  Awaitable<uint32_t> start(std::string container_id, std::string exec_id) override;
  void add_exec(ExecRequest request) override;
  Awaitable<ExitInfo> wait(std::string container_id, std::string exec_id) override;
  Awaitable<ExitInfo> remove(std::string container_id, std::string exec_id) override;
  Awaitable<> kill(std::string container_id, std::string exec_id, uint32_t signal, KillScope scope) override;
  Awaitable<> resize(std::string container_id, std::string exec_id, uint32_t width, uint32_t height) override;
  Awaitable<> close_stdin(std::string container_id, std::string exec_id) override;
  Awaitable<> pause(std::string container_id) override;
  Awaitable<> resume(std::string container_id) override;
  Awaitable<> update(std::string container_id, oci::Resources resources) override;
  Awaitable<ContainerStats> stats(std::string container_id) override;
  Awaitable<std::vector<uint32_t>> pids(std::string container_id) override;
  [[nodiscard]] ProcessStatus status(const std::string& container_id,
                                     const std::string& exec_id) const override;
  [[nodiscard]] std::vector<std::string> containers() const override { return order_; }
  [[nodiscard]] uint32_t pid() const override;
  [[nodiscard]] std::string agent_url() const override;
  Awaitable<std::string> agent_metrics() override;
  [[nodiscard]] std::string agent_latencies() const override;
  Awaitable<std::string> ip_tables(IpVersion version) override;
  Awaitable<std::string> set_ip_tables(IpVersion version, std::string rules) override;
  Awaitable<> set_policy(std::string policy) override;
  Awaitable<std::vector<agent::VolumeUsage>> volume_stats(std::string path) override;
  Awaitable<> resize_volume(std::string path, uint64_t bytes) override;
  Awaitable<> stop() override;

 private:
  enum class Phase { kNew, kBooting, kRunning, kStopping, kStopped };

  // sandbox_impl.cpp
  std::shared_ptr<Container> container(const std::string& id) const;
  std::shared_ptr<Process> process(const std::string& container_id, const std::string& exec_id) const;
  std::shared_ptr<agent::AgentClient> agent() const;
  void forget(const std::string& id);
  Awaitable<ExitInfo> remove_exec(std::shared_ptr<Container> target, std::shared_ptr<Process> exec);
  Awaitable<> start_exec(std::shared_ptr<Container> target, std::shared_ptr<Process> exec);
  [[nodiscard]] GuestSpecRules spec_rules(const Container& target) const;

  // sandbox_admin.cpp
  [[nodiscard]] std::string guest_volume_path(const std::string& path) const;
  // By its guest path; none when it is on no disk.
  [[nodiscard]] std::optional<device::ContainerDisks::OnDisk> volume_on_disk(const std::string& path) const;

  // sandbox_create.cpp
  void add_pod_sysctls(oci::Spec& spec) const;
  [[nodiscard]] std::optional<std::string> pid_target(const Container& joining) const;
  // Returns its path in the guest.
  Awaitable<std::string> share_rootfs(const Container& target);
  Awaitable<> create_in_guest(std::shared_ptr<Container> target);
  Awaitable<> make_in_guest(std::shared_ptr<Container> target, agent::ContainerSetup setup);
  Awaitable<> mount_rootfs(std::shared_ptr<Container> target);
  // Puts what the container said at its end where a kubelet looks for it, if that file is a copy.
  Awaitable<> fetch_termination_message(std::shared_ptr<Container> target);
  Awaitable<> roll_back(std::shared_ptr<Container> target);

  // sandbox_hooks.cpp
  Awaitable<> run_early_hooks(std::shared_ptr<Container> target);
  Awaitable<> run_poststart_hooks(std::shared_ptr<Container> target);
  // Once, and only if the early ones had their turn.
  Awaitable<> run_poststop_hooks(std::shared_ptr<Container> target);
  [[nodiscard]] std::optional<std::string> netns_of(const oci::Spec& spec) const;
  Awaitable<hook::State> hook_state(std::shared_ptr<Container> target,
                                    std::unique_ptr<network::NetnsHolder>& holder);

  // sandbox_disks.cpp
  void make_disk_manager(const oci::Spec& spec, const std::vector<rootfs::MountRequest>& rootfs);
  Awaitable<> claim_disks(std::shared_ptr<Container> container);
  // When the VM has ended.
  void remove_empty_dirs();
  // emptyDirs that are the guest's own.
  void add_guest_dirs(Container& target, agent::ContainerSetup& setup) const;
  // Adds what the guest is told of them; rewrites the sources of the spec's mounts.
  Awaitable<> plug_disks(std::shared_ptr<Container> target, agent::ContainerSetup& setup);
  Awaitable<> release_disks(std::shared_ptr<Container> target);

  // sandbox_boot.cpp
  // `first`: the container for which it is booted, if there is one.
  Awaitable<> ensure_booted(const oci::Spec& spec, std::shared_ptr<Container> first);
  Awaitable<> boot(const oci::Spec& spec, std::shared_ptr<Container> first);
  Awaitable<> adapt_vm();
  void enter_cgroup(const oci::Spec& spec);
  Awaitable<> start_vm();
  Awaitable<> prepare_transport();
  Awaitable<> prepare_share();
  [[nodiscard]] std::unique_ptr<share_fs::Share> make_share();
  Awaitable<> prepare_network(const oci::Spec& spec);
  Awaitable<> connect_agent();
  Awaitable<> dial_agent(std::optional<StreamSocket>& socket);
  Awaitable<> set_up_guest(const oci::Spec& spec);
  Awaitable<> bring_up_guest(const oci::Spec& spec);
  Awaitable<std::string> broken_part();
  Awaitable<std::string> device_end();
  Awaitable<std::string> share_end();
  [[nodiscard]] std::string boot_report(const std::string& cause) const;
  void record(const char* role, pid_t pid);
  Awaitable<> tear_down();
  Awaitable<> end_processes();

  // sandbox_watch.cpp
  void start_watchers();
  Awaitable<> watch_vm();
  Awaitable<> watch_guest_panic();
  Awaitable<> watch_share();
  Awaitable<> watch_vsock_device();
  Awaitable<> watch_agent();
  Awaitable<> watch_oom();
  Awaitable<> probe_health();
  Awaitable<> follow_guest_clock();
  Awaitable<> supervise_init(std::shared_ptr<Container> target);
  Awaitable<> supervise_exec(std::shared_ptr<Container> target, std::shared_ptr<Process> exec);
  Awaitable<> end_execs(std::shared_ptr<Container> target);
  Awaitable<> clean_up_container(std::shared_ptr<Container> target);
  void report_exit(const Process& ended);
  // What a call to the guest failed with: if the sandbox ends by itself meanwhile, the reason of that.
  Awaitable<Error> explained(std::exception_ptr failure, std::string tried);
  // The VM cannot go on: logs the cause once and ends it.
  void fail(const std::string& cause);
  void agent_lost(const std::string& cause);
  // A call that may take long, for as long as the agent answers at all: kDeadlineExceeded when it does not.
  Awaitable<> while_alive(Awaitable<> call);
  Awaitable<> until_silent();
  [[nodiscard]] bool others_alive(const std::string& id) const;

  asio::any_io_executor executor_;
  SandboxConfig config_;
  std::shared_ptr<EventSink> events_;
  SandboxParts parts_;
  RunDir run_dir_;
  SandboxState state_;
  SandboxResources resources_;
  Phase phase_ = Phase::kNew;
  // Why the VM ended by itself; empty if it did not.
  std::string failure_;
  Event failed_;

  // Set when the VM was booted without a container: what the pod asks of each of them.
  std::optional<oci::Spec> pod_;
  std::chrono::system_clock::time_point ended_at_{};

  AsyncMutex boot_mutex_;
  Event stopped_;
  TaskGroup watchers_;
  TaskGroup supervisors_;

  std::unique_ptr<vmm::VmDriver> driver_;
  std::unique_ptr<vsock::Transport> transport_;
  std::unique_ptr<share_fs::Share> share_;
  // Made for hooks to fill, where the spec asks for a new one.
  UniqueFd new_netns_;
  std::unique_ptr<network::Network> network_;
  std::unique_ptr<network::PortForward> port_forward_;
  std::unique_ptr<device::DiskManager> disks_;
  std::set<std::string> empty_dir_images_;
  std::shared_ptr<agent::AgentClient> agent_;

  std::map<std::string, std::shared_ptr<Container>> containers_;
  std::vector<std::string> order_;
};

}  // namespace kata::sandbox
