#include "host/vsock_device/guest_memory.h"

#include <algorithm>
#include <string>
#include <sys/mman.h>
#include <sys/stat.h>
#include <utility>

namespace kata::vsock_device {
namespace {

bool wraps(uint64_t address, uint64_t size) {
  return address + size < address;
}

bool overlap(uint64_t a, uint64_t a_size, uint64_t b, uint64_t b_size) {
  return a < b + b_size && b < a + a_size;
}

// Whether [address, address + size) lies within [start, start + length); no sum can overflow.
bool within(uint64_t address, uint64_t size, uint64_t start, uint64_t length) {
  return address >= start && address - start < length && size <= length - (address - start);
}

// A mapping beyond the end of its file would end the process at the first touch.
void check_file(const RegionSpec& spec, const UniqueFd& fd) {
  struct stat status{};
  if (::fstat(fd.get(), &status) != 0) throw_errno("looking at guest memory");
  if (S_ISREG(status.st_mode) && spec.mmap_offset + spec.size > static_cast<uint64_t>(status.st_size))
    throw Error(Code::kInvalidArgument, "memory region at guest address " +
                                            std::to_string(spec.guest_address) +
                                            ": beyond the end of its file");
}

}  // namespace

Mapping Mapping::of(const UniqueFd& fd, uint64_t size, uint64_t offset) {
  Mapping mapping;
  void* data =
      ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), static_cast<off_t>(offset));
  if (data == MAP_FAILED) throw_errno("mapping " + std::to_string(size) + " bytes of guest memory");
  mapping.data_ = static_cast<std::byte*>(data);
  mapping.size_ = size;
  ::madvise(data, size, MADV_RANDOM);
  ::madvise(data, size, MADV_DONTDUMP);
  return mapping;
}

Mapping::Mapping(Mapping&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

Mapping& Mapping::operator=(Mapping&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

Mapping::~Mapping() {
  if (data_ != nullptr) ::munmap(data_, size_);
}

void GuestMemory::check(const RegionSpec& spec) const {
  const std::string name = "memory region at guest address " + std::to_string(spec.guest_address);
  if (regions_.size() >= kMaxRegions)
    throw Error(Code::kResourceExhausted, name + ": more than " + std::to_string(kMaxRegions) + " regions");
  if (spec.size == 0 || wraps(spec.guest_address, spec.size) || wraps(spec.frontend_address, spec.size) ||
      wraps(spec.mmap_offset, spec.size))
    throw Error(Code::kInvalidArgument, name + ": empty or beyond the end of the address space");
  for (const Region& region : regions_) {
    if (overlap(spec.guest_address, spec.size, region.spec.guest_address, region.spec.size))
      throw Error(Code::kInvalidArgument, name + ": overlaps another region");
  }
}

void GuestMemory::add(const RegionSpec& spec, const UniqueFd& fd) {
  check(spec);
  check_file(spec, fd);
  Region region{.spec = spec, .mapping = Mapping::of(fd, spec.size, spec.mmap_offset)};
  region.data = region.mapping.data();
  regions_.push_back(std::move(region));
}

void GuestMemory::add_borrowed(const RegionSpec& spec, std::byte* data) {
  check(spec);
  regions_.push_back(Region{.spec = spec, .mapping = {}, .data = data});
}

bool GuestMemory::remove(const RegionSpec& spec) {
  return std::erase_if(regions_, [&](const Region& region) {
           return region.spec.guest_address == spec.guest_address && region.spec.size == spec.size &&
                  region.spec.frontend_address == spec.frontend_address;
         }) > 0;
}

const GuestMemory::Region* GuestMemory::find_guest(uint64_t address) const {
  for (const Region& region : regions_) {
    if (within(address, 1, region.spec.guest_address, region.spec.size)) return &region;
  }
  return nullptr;
}

std::byte* GuestMemory::at_guest(uint64_t address, uint64_t size) const {
  const Region* region = find_guest(address);
  if (region == nullptr || !within(address, size, region->spec.guest_address, region->spec.size))
    return nullptr;
  return region->data + (address - region->spec.guest_address);
}

std::byte* GuestMemory::at_frontend(uint64_t address, uint64_t size) const {
  for (const Region& region : regions_) {
    if (within(address, size, region.spec.frontend_address, region.spec.size))
      return region.data + (address - region.spec.frontend_address);
  }
  return nullptr;
}

bool GuestMemory::append(uint64_t address, uint64_t size, std::vector<iovec>& pieces, size_t limit) const {
  while (size > 0) {
    const Region* region = find_guest(address);
    if (region == nullptr || pieces.size() >= limit) return false;
    const uint64_t offset = address - region->spec.guest_address;
    const uint64_t length = std::min(size, region->spec.size - offset);
    pieces.push_back({.iov_base = region->data + offset, .iov_len = length});
    size -= length;
    address += length;
  }
  return true;
}

}  // namespace kata::vsock_device
