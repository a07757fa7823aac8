// Cleaning up after a crash, by the traces on the node alone.
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string_view>

#include <dirent.h>
#include <unistd.h>

#include <boost/asio/co_spawn.hpp>

#include "host/hook/hook.h"
#include "host/resource/cgroup/sandbox_cgroup.h"
#include "host/resource/network/network.h"
#include "host/resource/share_fs/share_fs.h"
#include "host/resource/volume/direct_volume.h"
#include "host/sandbox/run_dir.h"
#include "host/sandbox/sandbox.h"
#include "host/sandbox/state_file.h"
#include "lib/async/child_process.h"
#include "lib/error/error.h"
#include "lib/error/teardown.h"
#include "lib/fd/io.h"
#include "lib/log/log.h"
#include "lib/oci/json.h"

namespace kata::sandbox {
namespace {

// How long each is waited for: with the rest below the five seconds that containerd gives.
constexpr Duration kHookLimit = std::chrono::milliseconds(800);

// Processes that carry one of the sandbox's own paths in their command line: those that were started but not
// recorded when the shim died.
std::vector<RecordedProcess> unrecorded_processes(const std::string& sandbox_id) {
  const std::vector<std::string> marks = {RunDir(sandbox_id).path() + "/",
                                          "/run/kata-containers/shared/sandboxes/" + sandbox_id + "/"};
  std::vector<RecordedProcess> found;
  const std::unique_ptr<DIR, int (*)(DIR*)> proc(::opendir("/proc"), ::closedir);
  if (!proc) return found;
  while (const dirent* entry = ::readdir(proc.get())) {
    const pid_t pid = std::atoi(entry->d_name);
    if (pid <= 1 || pid == ::getpid()) continue;
    std::string arguments;
    try {
      arguments = read_file("/proc/" + std::string(entry->d_name) + "/cmdline", size_t{1} << 20);
    } catch (const Error&) {
      continue;
    }
    const bool program = arguments.find("qemu-system") != std::string::npos ||
                         arguments.find("virtiofsd") != std::string::npos ||
                         arguments.find("kata-vsock-device") != std::string::npos;
    for (const std::string& mark : marks) {
      if (!program || arguments.find(mark) == std::string::npos) continue;
      if (auto process = record_process("unrecorded", pid)) found.push_back(std::move(*process));
      break;
    }
  }
  return found;
}

// What was killed just now may still be on its way out of them.
Awaitable<> remove_cgroups(std::vector<std::string> folders, Teardown& teardown) {
  try {
    const auto files = node_cgroup::NodeFiles::kernel();
    co_await node_cgroup::SandboxCgroup::remove(*files, std::move(folders), teardown);
  } catch (const Error& error) {
    teardown.failed("control groups", error.message());
  }
}

// Those of a container whose shim has gone before its end. None may be cut off in the middle of taking away
// what an earlier hook made.
Awaitable<> run_poststop_hooks(HookedContainer container, Duration limit) {
  const oci::Spec spec = oci::load_spec(container.bundle);
  co_await hook::run_all(hook::Kind::kPoststop, spec.hooks.poststop,
                         {.id = container.id, .bundle = container.bundle, .annotations = spec.annotations},
                         {.limit = limit, .late = hook::Rules::Late::kLeft});
}

}  // namespace

Awaitable<> clean_up_leftovers(std::string sandbox_id, std::string container_id, Duration limit) {
  // A container of a living pod has nothing outside the pod's own shim.
  if (sandbox_id != container_id || !valid_id(sandbox_id)) co_return;
  const RunDir run_dir(sandbox_id);
  Teardown teardown("leftovers of sandbox " + sandbox_id,
                    [](std::string_view warning) { log::warning(warning); });
  const auto state = load_state(run_dir.state_file());
  if (state) {
    for (const RecordedProcess& process : state->processes) {
      teardown.step("ending process " + process.role, [&] { kill_recorded(process); });
    }
  }
  for (const RecordedProcess& process : unrecorded_processes(sandbox_id)) {
    teardown.step("ending process", [&] { kill_recorded(process); });
  }
  if (state) co_await remove_cgroups(state->cgroups, teardown);
  try {
    auto clean = [sandbox_id, journal = run_dir.network_journal()] {
      Teardown steps("leftovers of sandbox " + sandbox_id,
                     [](std::string_view warning) { log::warning(warning); });
      share_fs::ShareFs::clean_up(sandbox_id, steps);
      steps.step("direct volumes", [&] { volume::forget_server(sandbox_id); });
      network::Network::clean_up(journal, steps);
    };
    co_await run_in_child(clean, limit, "removing the shared tree and network");
  } catch (const Error& error) {
    teardown.failed("shared tree and network", error.message());
  }
  if (state) {
    for (const HookedContainer& container : state->hooked) {
      try {
        co_await run_poststop_hooks(container, kHookLimit);
      } catch (const Error& error) {
        teardown.failed("poststop hooks of container " + container.id, error.message());
      }
    }
  }
  teardown.step("run folder", [&] { run_dir.remove(); });
}

}  // namespace kata::sandbox
