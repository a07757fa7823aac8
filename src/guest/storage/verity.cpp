#include "guest/storage/verity.h"

#include <algorithm>
#include <utility>

#include "guest/boot/modules.h"
#include "lib/error/error.h"
#include "lib/linux/device_mapper.h"
#include "lib/log/log.h"

namespace kata::storage {
namespace {

constexpr uint64_t kSector = 512;

UniqueFd open_control() {
  boot::load_on_demand("dm:verity");
  return kernel::open_device_mapper();
}

}  // namespace

std::string verity_table(const std::string& node, const Verity& verity) {
  const uint64_t start = verity.hash_offset / verity.hash_size + (verity.has_super_block ? 1 : 0);
  std::string text = "1 " + node + " " + node;
  for (const uint64_t number : {uint64_t{verity.block_size}, uint64_t{verity.hash_size},
                                verity.hash_offset / verity.block_size, start})
    text += " " + std::to_string(number);
  return text + " sha256 " + verity.root_hash + " " + (verity.salt.empty() ? "-" : verity.salt);
}

std::string verity_name(const std::string& node, const std::string& container_id, const Verity& verity) {
  constexpr size_t kPart = 32;
  std::string name = "kata-verity-" + node.substr(node.rfind('/') + 1) + "-off" +
                     std::to_string(verity.hash_offset) + "-" + verity.root_hash.substr(0, kPart) + "-" +
                     container_id.substr(0, kPart);
  std::ranges::replace_if(name, [](char c) { return c <= ' ' || c == '/' || c > '~'; }, '_');
  return name.substr(0, kernel::kMaxDmName);
}

VerityDevice VerityDevice::create(const std::string& node, const std::string& container_id,
                                  const Verity& verity) {
  const UniqueFd control = open_control();
  std::string name = verity_name(node, container_id, verity);
  const kernel::DmTarget target{
      .type = "verity", .sectors = verity.hash_offset / kSector, .parameters = verity_table(node, verity)};
  const unsigned number = kernel::create_dm_device(control.get(), name, target, "dm-verity over " + node);
  VerityDevice device(std::move(name));
  device.node_ = "/dev/dm-" + std::to_string(number);
  return device;
}

VerityDevice::VerityDevice(VerityDevice&& other) noexcept
    : name_(std::exchange(other.name_, {})), node_(std::move(other.node_)) {}

VerityDevice::~VerityDevice() {
  if (name_.empty()) return;
  try {
    kernel::remove_dm_device(kernel::open_device_mapper().get(), name_);
  } catch (const Error& error) {
    log::warning("a dm-verity device stays", {{"error", error.message()}});
  }
}

}  // namespace kata::storage
