// A container as the node sees it: its processes and what the node holds for it.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "host/device/container_disks.h"
#include "host/resource/rootfs/mounted_rootfs.h"
#include "host/sandbox/process.h"
#include "host/sandbox/types.h"
#include "lib/async/event.h"
#include "lib/async/mutex.h"
#include "lib/oci/spec.h"

namespace kata::sandbox {

struct Container {
  Container(const asio::any_io_executor& executor, ContainerRequest request)
      : id(request.id),
        bundle(std::move(request.bundle)),
        rootfs(std::move(request.rootfs)),
        spec(std::move(request.spec)),
        init(std::make_shared<Process>(executor, id, "", std::move(request.stdio))),
        mutex(executor),
        aborted(executor) {}

  const std::string id;
  const std::string bundle;
  const std::vector<rootfs::MountRequest> rootfs;
  oci::Spec spec;
  const std::shared_ptr<Process> init;
  // By exec id; stopped ones stay until they are removed.
  std::map<std::string, std::shared_ptr<Process>> execs;
  struct ExecSpec {
    oci::Process process;
    // The text it was read from, only if the ordinary messages to the guest cannot carry all of it.
    std::string extras;
  };
  // What each exec will run, until it is started.
  std::map<std::string, ExecSpec> exec_specs;
  // Serialises create, start and remove of this container, not of its execs.
  AsyncMutex mutex;
  // Whether it is on its way into the guest. Killed or deleted meanwhile, it does not arrive.
  bool creating = true;
  Event aborted;
  // Whether its hooks on the node have their turn: those of the end follow.
  bool hooks_begun = false;
  // Whether the agent knows the container.
  bool in_guest = false;
  // What the node holds for it.
  std::unique_ptr<rootfs::MountedRootfs> mounted;
  bool rootfs_shared = false;
  device::ContainerDisks disks;
  // Guest paths of its shared volumes.
  std::vector<std::string> volumes;
  // File of the node that gets what the container writes for its end; empty = it writes there itself.
  std::string termination_log;
  uint64_t oom_kills = 0;
  // The guest's path of each mount's source that is another one there, by the node's.
  std::map<std::string, std::string> guest_sources;
};

}  // namespace kata::sandbox
