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

std::optional<device::ContainerDisks::OnDisk> SandboxImpl::volume_on_disk(const std::string& path) const {
  for (const auto& [id, target] : containers_) {
    for (const auto& entry : target->disks.storages) {
      if (entry.storage.mount_point == path) return entry;
    }
  }
  return std::nullopt;
}

Awaitable<std::vector<agent::VolumeUsage>> SandboxImpl::volume_stats(std::string path) {
  const auto client = agent();
  co_return co_await client->volume_stats(guest_volume_path(path));
}

Awaitable<> SandboxImpl::resize_volume(std::string path, uint64_t bytes) {
  const auto client = agent();
  const std::string in_guest = guest_volume_path(path);
  if (const auto entry = volume_on_disk(in_guest)) {
    co_await disks_->resize(entry->disk, bytes);
    // The container has the disk itself: what is on it is the container's.
    if (entry->storage.fstype == "bind") co_return;
  }
  co_await client->resize_volume(in_guest, bytes);
}

}  // namespace kata::sandbox
