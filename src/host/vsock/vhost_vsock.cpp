#include "host/vsock/vhost_vsock.h"

#include <cerrno>
#include <cstdint>
#include <linux/ioctl.h>
#include <string>
#include <sys/ioctl.h>
#include <sys/random.h>

#include <fcntl.h>

#include "lib/error/error.h"

namespace kata::vsock {
namespace {

// VHOST_VSOCK_SET_GUEST_CID of linux/vhost.h, which a C++ compiler does not take.
constexpr unsigned long kSetGuestCid = _IOW(0xAF, 0x60, uint64_t);

// 0 to 2 are reserved (hypervisor, local, host), 2^32 - 1 means any.
constexpr uint64_t kFirstCid = 3;
constexpr uint64_t kCidCount = 0xffffffffULL - kFirstCid;
constexpr int kTries = 64;

uint64_t random_cid() {
  uint64_t value = 0;
  if (::getrandom(&value, sizeof(value), 0) != sizeof(value))
    throw_errno("reading random bytes for a vsock context id");
  return kFirstCid + value % kCidCount;
}

}  // namespace

bool vhost_vsock_available(const char* device) {
  return UniqueFd(::open(device, O_RDWR | O_CLOEXEC)).valid();
}

VhostVsock open_vhost_vsock(const char* device) {
  VhostVsock result;
  result.fd.reset(::open(device, O_RDWR | O_CLOEXEC));
  if (!result.fd) throw_errno("opening " + std::string(device));
  for (int attempt = 0; attempt < kTries; ++attempt) {
    uint64_t cid = random_cid();
    if (::ioctl(result.fd.get(), kSetGuestCid, &cid) == 0) {
      result.cid = static_cast<uint32_t>(cid);
      return result;
    }
    if (errno != EADDRINUSE)
      throw_errno("reserving vsock context id " + std::to_string(cid) + " on " + device);
  }
  throw Error(Code::kResourceExhausted, "reserving a vsock context id on " + std::string(device) + ": " +
                                            std::to_string(kTries) + " random ids were all in use");
}

}  // namespace kata::vsock
