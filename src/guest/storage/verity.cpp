#include "guest/storage/verity.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <linux/dm-ioctl.h>
#include <string_view>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>
#include <utility>

#include <fcntl.h>

#include "guest/boot/modules.h"
#include "lib/error/error.h"
#include "lib/fd/io.h"
#include "lib/log/log.h"

namespace kata::storage {
namespace {

constexpr const char* kControl = "/dev/mapper/control";
constexpr uint64_t kSector = 512;

// dm_ioctl with room for one target and its parameters behind it.
class Request {
 public:
  explicit Request(const std::string& name, uint32_t flags = 0) {
    head().version[0] = DM_VERSION_MAJOR;
    head().data_size = buffer_.size();
    head().data_start = sizeof(dm_ioctl);
    head().flags = flags;
    name.copy(head().name, sizeof head().name - 1);
  }
  dm_ioctl& head() { return *reinterpret_cast<dm_ioctl*>(buffer_.data()); }

  void add_target(uint64_t sectors, const std::string& parameters) {
    dm_target_spec target{};
    target.length = sectors;
    std::string_view("verity").copy(target.target_type, sizeof target.target_type - 1);
    char* at = buffer_.data() + sizeof(dm_ioctl);
    if (sizeof(dm_ioctl) + sizeof target + parameters.size() >= buffer_.size())
      throw Error(Code::kInvalidArgument, "dm-verity parameters are too long");
    std::memcpy(at, &target, sizeof target);
    parameters.copy(at + sizeof target, parameters.size());
    head().target_count = 1;
  }

  void send(int control, unsigned long command, const std::string& what) {
    if (::ioctl(control, command, buffer_.data()) != 0) throw_errno(what);
  }

 private:
  alignas(dm_ioctl) std::array<char, 4096> buffer_{};
};

UniqueFd open_control() {
  boot::load_on_demand("dm:verity");
  try {
    return open_file(kControl, O_RDWR);
  } catch (const Error& error) {
    throw Error(Code::kUnavailable,
                "dm-verity: this guest's kernel has no device-mapper: " + error.message());
  }
}

void remove(int control, const std::string& name) {
  Request request(name, DM_DEFERRED_REMOVE);
  request.send(control, DM_DEV_REMOVE, "removing dm-verity device " + name);
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
  return name.substr(0, DM_NAME_LEN - 1);
}

VerityDevice VerityDevice::create(const std::string& node, const std::string& container_id,
                                  const Verity& verity) {
  const UniqueFd control = open_control();
  VerityDevice device(verity_name(node, container_id, verity));
  const std::string what = "dm-verity over " + node;
  Request create(device.name_);
  create.send(control.get(), DM_DEV_CREATE, what + ": creating the device");
  Request table(device.name_, DM_READONLY_FLAG);
  table.add_target(verity.hash_offset / kSector, verity_table(node, verity));
  table.send(control.get(), DM_TABLE_LOAD, what + ": loading its table");
  // Resumes it: the flag to suspend is not set.
  Request resume(device.name_);
  resume.send(control.get(), DM_DEV_SUSPEND, what + ": switching it on");
  device.node_ = "/dev/dm-" + std::to_string(minor(create.head().dev));
  return device;
}

VerityDevice::VerityDevice(VerityDevice&& other) noexcept
    : name_(std::exchange(other.name_, {})), node_(std::move(other.node_)) {}

VerityDevice::~VerityDevice() {
  if (name_.empty()) return;
  try {
    const UniqueFd control = open_file(kControl, O_RDWR);
    remove(control.get(), name_);
  } catch (const Error& error) {
    log::warning("a dm-verity device stays", {{"error", error.message()}});
  }
}

}  // namespace kata::storage
