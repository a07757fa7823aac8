// A container on its way into the guest.
#include <algorithm>
#include <csignal>
#include <utility>

#include <fcntl.h>

#include "host/agent/spec_message.h"
#include "host/config/cri_annotations.h"
#include "host/resource/volume/bind_volumes.h"
#include "host/sandbox/phase_timer.h"
#include "host/sandbox/sandbox_impl.h"
#include "host/sandbox/vm_plan.h"
#include "lib/async/both.h"
#include "lib/async/unless.h"
#include "lib/error/error.h"
#include "lib/failpoint/failpoint.h"
#include "lib/fd/io.h"
#include "lib/log/log.h"
#include "lib/oci/pod_annotations.h"

namespace kata::sandbox {
namespace {

// By its place in the container: the guest's spec may have fewer mounts.
void remember_sources(Container& target, const oci::Spec& in_guest) {
  for (const oci::Mount& mount : in_guest.mounts) {
    const auto own = std::ranges::find(target.spec.mounts, mount.destination, &oci::Mount::destination);
    if (own != target.spec.mounts.end() && own->source != mount.source)
      target.guest_sources[own->source] = mount.source;
  }
}

// The agent finds the file by the annotation, which container engines do not always hand on.
void find_termination_log(Container& target, oci::Spec& in_guest) {
  std::string& place = in_guest.annotations[oci::kTerminationPath];
  if (place.empty()) place = oci::kTerminationPlace;
  const auto own = std::ranges::find(target.spec.mounts, place, &oci::Mount::destination);
  if (own != target.spec.mounts.end() && volume::is_bind(*own)) target.termination_log = own->source;
}

[[noreturn]] void throw_aborted(const Container& target) {
  throw Error(Code::kCancelled, "container " + target.id + " was given up while it was being created");
}

}  // namespace

Awaitable<uint32_t> SandboxImpl::create_container(ContainerRequest request) {
  const auto self = shared_from_this();
  if (!valid_id(request.id))
    throw Error(Code::kInvalidArgument, "container id \"" + request.id + "\" is not valid");
  if (containers_.contains(request.id))
    throw Error(Code::kAlreadyExists, "container " + request.id + " exists already");
  if (phase_ == Phase::kStopping || phase_ == Phase::kStopped) {
    throw Error(Code::kFailedPrecondition, "sandbox " + config_.id + " is stopped: no container can join it");
  }
  const auto target = std::make_shared<Container>(executor_, std::move(request));
  containers_[target->id] = target;
  order_.push_back(target->id);
  const auto lock = co_await target->mutex.lock();
  std::exception_ptr failure;
  try {
    co_await target->init->open_stdio(plan_stdio(config_.config, config_.containerd_namespace));
    resources_.set_container(target->id, target->spec);
    co_await create_in_guest(target);
  } catch (...) {
    failure = std::current_exception();
  }
  if (failure) {
    const Error error = co_await explained(failure, "creating container " + target->id);
    co_await roll_back(target);
    throw error;
  }
  target->creating = false;
  supervisors_.spawn(target->init->name(), supervise_init(target));
  co_return pid();
}

Awaitable<> SandboxImpl::mount_rootfs(std::shared_ptr<Container> target) {
  // The guest mounts it.
  if (!target->disks.rootfs.empty()) co_return;
  const std::string path = target->spec.root ? target->spec.root->path : "rootfs";
  const std::string folder = path.starts_with("/") ? path : target->bundle + "/" + path;
  target->mounted = co_await rootfs::MountedRootfs::prepare(target->rootfs, folder);
}

// The pause container's part where there is none; each container is in the pod's namespaces, so it may be
// said again.
void SandboxImpl::add_pod_sysctls(oci::Spec& spec) const {
  if (!pod_ || !pod_->linux_config || !spec.linux_config) return;
  for (const auto& [key, value] : pod_->linux_config->sysctl)
    spec.linux_config->sysctl.try_emplace(key, value);
}

// A path for the pid namespace stands for the pod's shared one or, in a pod whose containers have their own,
// for another container's (a debug container). Every path names the same process, the VMM: which container is
// meant can be told only if there is just one.
std::optional<std::string> SandboxImpl::pid_target(const Container& joining) const {
  if (!shares_sandbox_pids(joining.spec)) return std::nullopt;
  std::vector<std::string> own;
  for (const auto& [id, other] : containers_) {
    const auto kind = config::read_cri_annotations(other->spec.annotations, id).kind;
    if (id != joining.id && kind == config::ContainerKind::kPodContainer && other->in_guest &&
        !other->init->stopped() && !shares_sandbox_pids(other->spec))
      own.push_back(id);
  }
  if (own.size() == 1) return own.front();
  if (!own.empty()) {
    log::warning(
        "the container asks for the processes of another one, and there are several with their own: a VM's "
        "containers cannot be told apart by pid, it sees the pod's",
        {{"container", joining.id}});
  }
  return std::nullopt;
}

Awaitable<std::string> SandboxImpl::share_rootfs(const Container& target) {
  if (!target.mounted) co_return target.disks.rootfs;
  const std::string folder = target.mounted->path();
  if (target.mounted->is_ours()) co_return share_->share_rootfs(target.id, folder);
  co_return co_await share_->share_foreign_rootfs(target.id, folder);
}

Awaitable<> SandboxImpl::create_in_guest(std::shared_ptr<Container> target) {
  // What is known before the boot is plugged before the boot: that costs nothing.
  co_await claim_disks(target);
  // The rootfs is put together while the VM boots.
  // A mount is never given up half-way: nobody would know whether there is one.
  auto ready = [](SandboxImpl& self, std::shared_ptr<Container> wanted) -> Awaitable<> {
    co_await self.ensure_booted(wanted->spec, wanted);
    co_await self.run_early_hooks(wanted);
  };
  auto booted = [&ready](SandboxImpl& self, std::shared_ptr<Container> wanted) -> Awaitable<> {
    if (!co_await unless(wanted->aborted, ready(self, wanted))) throw_aborted(*wanted);
  };
  const oci::Hooks& hooks = target->spec.hooks;
  if (hooks.prestart.empty() && hooks.create_runtime.empty()) {
    co_await both(booted(*this, target), mount_rootfs(target));
  } else {
    // They may look at the rootfs.
    co_await mount_rootfs(target);
    co_await booted(*this, target);
  }
  GuestSpecRules rules = spec_rules(*target);
  target->rootfs_shared = target->mounted != nullptr;
  rules.guest_rootfs = co_await share_rootfs(*target);
  agent::ContainerSetup setup;
  setup.id = target->id;
  setup.sandbox_pidns = shares_sandbox_pids(target->spec);
  setup.shared_mounts = plan_shared_mounts(
      config_.config, config::read_cri_annotations(target->spec.annotations, target->id).container_name);
  setup.spec = guest_spec(target->spec, rules);
  add_pod_sysctls(setup.spec);
  if (const auto wanted = pid_target(*target)) setup.spec.annotations[oci::kPidTarget] = *wanted;
  add_guest_dirs(*target, setup);
  co_await plug_disks(target, setup);
  target->volumes = co_await volume::share_bind_mounts(*share_, setup.spec, target->id, target->disks.mounts);
  if (plan_share_kind(config_.config) == ShareKind::kCopies) find_termination_log(*target, setup.spec);
  remember_sources(*target, setup.spec);
  co_await resources_.fit_vm(*driver_, agent(), SandboxResources::Fit::kOnlyGrow);
  if (!co_await unless(target->aborted, make_in_guest(target, std::move(setup)))) throw_aborted(*target);
  target->in_guest = true;
  target->init->start_streams(agent());
}

Awaitable<> SandboxImpl::make_in_guest(std::shared_ptr<Container> target, agent::ContainerSetup setup) {
  const PhaseTimer timer("container create");
  const auto client = agent();
  if (agent::needs_extras(target->spec)) {
    constexpr size_t kConfigLimit = size_t{3} << 20;
    co_await client->set_spec_extras(target->id, "",
                                     read_file(target->bundle + "/config.json", kConfigLimit));
  }
  co_await client->create_container(std::move(setup));
  KATA_FAILPOINT("container-created");
}

Awaitable<> SandboxImpl::fetch_termination_message(std::shared_ptr<Container> target) {
  const auto client = agent();
  const std::string message = co_await client->termination_log(target->id);
  if (message.empty()) co_return;
  const UniqueFd file = open_file(target->termination_log, O_WRONLY | O_TRUNC | O_NOFOLLOW | O_NONBLOCK);
  constexpr size_t kMostBytes = 4096;
  write_all(file.get(), std::string_view(message).substr(0, kMostBytes), target->termination_log);
}

Awaitable<> SandboxImpl::roll_back(std::shared_ptr<Container> target) {
  // The guest may have it, or be about to.
  if (target->aborted.is_set()) target->in_guest = true;
  co_await target->init->close_streams();
  co_await clean_up_container(target);
  co_await run_poststop_hooks(target);
  target->init->finish(target->aborted.is_set() ? 128 + SIGKILL : 0);
  forget(target->id);
  if (containers_.empty() && !pod_) co_await stop();
}

}  // namespace kata::sandbox
