#include "guest/rpc/guest_details.h"

#include <cstdlib>
#include <cstring>
#include <linux/random.h>
#include <sys/ioctl.h>
#include <vector>

#include <fcntl.h>
#include <unistd.h>

#include "guest/storage/storage.h"
#include "lib/error/error.h"
#include "lib/fd/io.h"

namespace kata::rpc {
namespace {

constexpr const char* kBlockSize = "/sys/devices/system/memory/block_size_bytes";
constexpr const char* kProbe = "/sys/devices/system/memory/probe";
// More than the pool takes in is no use.
constexpr size_t kMaxEntropy = 4096;

uint64_t memory_block_size() {
  if (::access(kBlockSize, R_OK) != 0) return 0;
  return std::strtoull(read_file(kBlockSize, 64).c_str(), nullptr, 16);
}

}  // namespace

grpc::GuestDetailsResponse describe_guest(const grpc::GuestDetailsRequest& request, boot::Role role) {
  grpc::GuestDetailsResponse response;
  if (request.mem_block_size()) response.set_mem_block_size_bytes(memory_block_size());
  if (request.mem_hotplug_probe()) response.set_support_mem_hotplug_probe(::access(kProbe, F_OK) == 0);
  grpc::AgentDetails& details = *response.mutable_agent_details();
  details.set_version(KATA_VERSION);
  details.set_init_daemon(role == boot::Role::kInit);
  for (const std::string& name : storage::driver_names()) details.add_storage_handlers(name);
  details.set_supports_seccomp(true);
  details.add_extra_features("seccomp");
  return response;
}

void reseed_entropy(std::string_view data) {
  if (data.empty()) throw Error(Code::kInvalidArgument, "data is empty: no entropy to add");
  data = data.substr(0, kMaxEntropy);
  // struct rand_pool_info ends in a flexible array.
  std::vector<uint32_t> buffer(sizeof(rand_pool_info) / sizeof(uint32_t) + (data.size() + 3) / 4);
  auto* const info = reinterpret_cast<rand_pool_info*>(buffer.data());
  info->entropy_count = static_cast<int>(data.size() * 8);
  info->buf_size = static_cast<int>(data.size());
  std::memcpy(buffer.data() + sizeof(rand_pool_info) / sizeof(uint32_t), data.data(), data.size());
  const UniqueFd device = open_file("/dev/random", O_RDWR);
  if (::ioctl(device.get(), RNDADDENTROPY, info) != 0) throw_errno("adding entropy to /dev/random");
  if (::ioctl(device.get(), RNDRESEEDCRNG, 0) != 0) throw_errno("reseeding /dev/random");
}

}  // namespace kata::rpc
