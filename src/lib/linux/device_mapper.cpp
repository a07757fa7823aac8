#include "lib/linux/device_mapper.h"

#include <array>
#include <cstring>
#include <linux/dm-ioctl.h>
#include <string_view>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>

#include <fcntl.h>

#include "lib/error/error.h"
#include "lib/fd/io.h"

namespace kata::kernel {
namespace {

static_assert(kMaxDmName == DM_NAME_LEN - 1);

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

  void add(const DmTarget& target) {
    dm_target_spec spec{};
    spec.length = target.sectors;
    target.type.copy(spec.target_type, sizeof spec.target_type - 1);
    char* at = buffer_.data() + sizeof(dm_ioctl);
    if (sizeof(dm_ioctl) + sizeof spec + target.parameters.size() >= buffer_.size())
      throw Error(Code::kInvalidArgument, "the parameters of dm target " + target.type + " are too long");
    std::memcpy(at, &spec, sizeof spec);
    target.parameters.copy(at + sizeof spec, target.parameters.size());
    head().target_count = 1;
  }

  void send(int control, unsigned long command, const std::string& what) {
    if (::ioctl(control, command, buffer_.data()) != 0) throw_errno(what);
  }

 private:
  alignas(dm_ioctl) std::array<char, 4096> buffer_{};
};

}  // namespace

UniqueFd open_device_mapper() {
  try {
    return open_file("/dev/mapper/control", O_RDWR);
  } catch (const Error& error) {
    throw Error(Code::kUnavailable, "this kernel has no device-mapper: " + error.message());
  }
}

unsigned create_dm_device(int control, const std::string& name, const DmTarget& target,
                          const std::string& what) {
  Request create(name);
  create.send(control, DM_DEV_CREATE, what + ": creating the device");
  try {
    Request table(name, DM_READONLY_FLAG);
    table.add(target);
    table.send(control, DM_TABLE_LOAD, what + ": loading its table");
    // Resumes it: the flag to suspend is not set.
    Request resume(name);
    resume.send(control, DM_DEV_SUSPEND, what + ": switching it on");
  } catch (const Error&) {
    Request remove(name);
    ::ioctl(control, DM_DEV_REMOVE, &remove.head());
    throw;
  }
  return minor(create.head().dev);
}

void remove_dm_device(int control, const std::string& name) {
  Request request(name, DM_DEFERRED_REMOVE);
  request.send(control, DM_DEV_REMOVE, "removing device-mapper device " + name);
}

}  // namespace kata::kernel
