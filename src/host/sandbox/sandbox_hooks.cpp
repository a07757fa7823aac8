// The OCI hooks that the node runs, each at its point in a container's life.
//
// They run where the runtime does: in the shim's own mount namespace, which shows what the host mounts and
// the container's rootfs, and in the host's network namespace. The pod's is that of the process whose pid
// they are told: the VMM, whose pid is the container's for everybody else, is not in it.
#include <utility>

#include <unistd.h>

#include <boost/asio/cancellation_state.hpp>

#include "host/hook/hook.h"
#include "host/sandbox/phase_timer.h"
#include "host/sandbox/sandbox_impl.h"
#include "lib/error/error.h"
#include "lib/log/log.h"

namespace kata::sandbox {
namespace {

// By which a hook of nerdctl knows the namespace that it is to fill.
constexpr const char* kNamespaceAnnotation = "nerdctl/network-namespace";

const oci::Namespace* network_namespace(const oci::Spec& spec) {
  if (!spec.linux_config) return nullptr;
  for (const oci::Namespace& entry : spec.linux_config->namespaces) {
    if (entry.type == "network") return &entry;
  }
  return nullptr;
}

bool has_early(const oci::Hooks& hooks) {
  return !hooks.prestart.empty() || !hooks.create_runtime.empty();
}

}  // namespace

// None: the host's. Empty: a new one is asked for and not made yet.
std::optional<std::string> SandboxImpl::netns_of(const oci::Spec& spec) const {
  const oci::Namespace* const entry = network_namespace(spec);
  if (entry == nullptr || config_.config.runtime.disable_new_netns) return std::nullopt;
  if (!entry->path.empty() || !new_netns_) return entry->path;
  return "/proc/" + std::to_string(::getpid()) + "/fd/" + std::to_string(new_netns_.get());
}

Awaitable<hook::State> SandboxImpl::hook_state(std::shared_ptr<Container> target,
                                               std::unique_ptr<network::NetnsHolder>& holder) {
  hook::State state{
      .id = target->id, .pid = ::getpid(), .bundle = target->bundle, .annotations = target->spec.annotations};
  const auto wanted = netns_of(target->spec);
  // A new one can be filled only before the VM is there.
  if (!wanted || (wanted->empty() && phase_ != Phase::kBooting)) co_return state;
  holder = co_await network::NetnsHolder::start(*wanted);
  state.pid = holder->pid();
  if (wanted->empty()) new_netns_ = holder->open();
  state.annotations.try_emplace(kNamespaceAnnotation, *netns_of(target->spec));
  co_return state;
}

Awaitable<> SandboxImpl::run_early_hooks(std::shared_ptr<Container> target) {
  const oci::Hooks& hooks = target->spec.hooks;
  if (std::exchange(target->hooks_begun, true)) co_return;
  if (!hooks.create_container.empty()) {
    log::warning("createContainer hooks of the spec are not run: their programs are on the node",
                 {{"container", target->id}});
  }
  if (!hooks.poststop.empty()) {
    state_.hooked.push_back({.id = target->id, .bundle = target->bundle});
    save_state(run_dir_.state_file(), state_);
  }
  if (!has_early(hooks)) co_return;
  const PhaseTimer timer("hooks");
  std::unique_ptr<network::NetnsHolder> holder;
  std::exception_ptr failure;
  try {
    const hook::State state = co_await hook_state(target, holder);
    co_await hook::run(hook::Kind::kPrestart, hooks.prestart, state);
    co_await hook::run(hook::Kind::kCreateRuntime, hooks.create_runtime, state);
  } catch (...) {
    failure = std::current_exception();
  }
  if (failure) co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
  if (holder) co_await holder->end();
  if (failure) std::rethrow_exception(failure);
}

Awaitable<> SandboxImpl::run_poststart_hooks(std::shared_ptr<Container> target) {
  if (target->spec.hooks.poststart.empty()) co_return;
  std::unique_ptr<network::NetnsHolder> holder;
  try {
    hook::State state = co_await hook_state(target, holder);
    co_await hook::run_all(hook::Kind::kPoststart, target->spec.hooks.poststart, std::move(state));
  } catch (const Error& error) {
    // The container runs.
    log::warning("poststart hooks are not run", {{"container", target->id}, {"error", error.message()}});
  }
  if (holder) co_await holder->end();
}

Awaitable<> SandboxImpl::run_poststop_hooks(std::shared_ptr<Container> target) {
  if (!std::exchange(target->hooks_begun, false) || target->spec.hooks.poststop.empty()) co_return;
  hook::State state{.id = target->id, .bundle = target->bundle, .annotations = target->spec.annotations};
  if (const auto path = netns_of(target->spec); path && !path->empty())
    state.annotations.try_emplace(kNamespaceAnnotation, *path);
  co_await hook::run_all(hook::Kind::kPoststop, target->spec.hooks.poststop, std::move(state));
  std::erase_if(state_.hooked, [&](const HookedContainer& hooked) { return hooked.id == target->id; });
  // With the VM goes the file.
  if (phase_ == Phase::kBooting || phase_ == Phase::kRunning) save_state(run_dir_.state_file(), state_);
}

}  // namespace kata::sandbox
