// What operators ask of the guest.
#include <utility>

#include "host/sandbox/sandbox_impl.h"

namespace kata::sandbox {

Awaitable<std::string> SandboxImpl::agent_metrics() {
  const auto client = agent();
  co_return co_await client->metrics();
}

std::string SandboxImpl::agent_latencies() const {
  return agent_ ? agent_->latencies() : std::string();
}

Awaitable<std::string> SandboxImpl::ip_tables(IpVersion version) {
  const auto client = agent();
  co_return co_await client->ip_tables(version);
}

Awaitable<std::string> SandboxImpl::set_ip_tables(IpVersion version, std::string rules) {
  const auto client = agent();
  co_return co_await client->set_ip_tables(version, std::move(rules));
}

Awaitable<> SandboxImpl::set_policy(std::string policy) {
  const auto client = agent();
  co_await client->set_policy(std::move(policy));
}

std::string SandboxImpl::guest_volume_path(const std::string& path) const {
  for (const auto& [id, target] : containers_) {
    const auto found = target->guest_sources.find(path);
    if (found != target->guest_sources.end()) return found->second;
  }
  return path;
}

Awaitable<std::vector<agent::VolumeUsage>> SandboxImpl::volume_stats(std::string path) {
  const auto client = agent();
  co_return co_await client->volume_stats(guest_volume_path(path));
}

Awaitable<> SandboxImpl::resize_volume(std::string path, uint64_t bytes) {
  const auto client = agent();
  co_await client->resize_volume(guest_volume_path(path), bytes);
}

}  // namespace kata::sandbox
