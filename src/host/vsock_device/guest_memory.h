// The guest's RAM as this process sees it: which guest-physical and which front-end (QEMU) addresses lie
// where in our address space.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <sys/uio.h>
#include <vector>

#include "lib/error/error.h"
#include "lib/fd/unique_fd.h"

namespace kata::vsock_device {

// One entry of the front-end's memory table (vhost-user: "Memory region description"), in bytes.
struct RegionSpec {
  uint64_t guest_address = 0;
  uint64_t size = 0;
  uint64_t frontend_address = 0;
  uint64_t mmap_offset = 0;
};

// A shared mapping, unmapped at the end. Left out of core dumps and of read-ahead: touched pages are counted
// to the guest, not to us.
class Mapping {
 public:
  Mapping() = default;
  static Mapping of(const UniqueFd& fd, uint64_t size, uint64_t offset);
  Mapping(Mapping&& other) noexcept;
  Mapping& operator=(Mapping&& other) noexcept;
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;
  ~Mapping();

  [[nodiscard]] std::byte* data() const { return data_; }

 private:
  std::byte* data_ = nullptr;
  size_t size_ = 0;
};

// Maps and unmaps regions, translates addresses. Nothing handed out survives a change of the table.
class GuestMemory {
 public:
  static constexpr size_t kMaxRegions = 64;

  // Maps a region. Throws when it is empty, wraps around, overlaps another one, cannot be mapped, or is one
  // too many.
  void add(const RegionSpec& spec, const UniqueFd& fd);
  // A region over memory that the caller keeps (tests and fuzz targets).
  void add_borrowed(const RegionSpec& spec, std::byte* data);
  // Forgets the region with this guest address, size and front-end address; false if there is none.
  bool remove(const RegionSpec& spec);
  void clear() { regions_.clear(); }
  [[nodiscard]] size_t region_count() const { return regions_.size(); }

  // `size` bytes at a guest-physical or front-end address that lie within one region; null otherwise.
  [[nodiscard]] std::byte* at_guest(uint64_t address, uint64_t size) const;
  [[nodiscard]] std::byte* at_frontend(uint64_t address, uint64_t size) const;

  // Appends the pieces of a guest-physical range, which may run over adjacent regions, to `pieces`. False
  // when a byte of it is no guest RAM or `pieces` would grow beyond `limit`.
  [[nodiscard]] bool append(uint64_t address, uint64_t size, std::vector<iovec>& pieces, size_t limit) const;

 private:
  struct Region {
    RegionSpec spec;
    Mapping mapping;
    std::byte* data = nullptr;
  };
  void check(const RegionSpec& spec) const;
  [[nodiscard]] const Region* find_guest(uint64_t address) const;

  std::vector<Region> regions_;
};

}  // namespace kata::vsock_device
