// A device that checks what is read from another one against a tree of hashes (dm-verity,
// Documentation/admin-guide/device-mapper/verity.rst). A block that does not fit is EIO to its reader, and
// the kernel says so in its log.
#pragma once

#include <string>

#include "guest/storage/layer_group.h"

namespace kata::storage {

// Parameters of the target's table line; the device holds data and hashes. Pure.
std::string verity_table(const std::string& node, const Verity& verity);
// The device's name: what it is for, of allowed characters and length.
std::string verity_name(const std::string& node, const std::string& container_id, const Verity& verity);

class VerityDevice {
 public:
  // kUnavailable when this guest's kernel has no device-mapper.
  static VerityDevice create(const std::string& node, const std::string& container_id, const Verity& verity);
  VerityDevice(VerityDevice&& other) noexcept;
  VerityDevice& operator=(VerityDevice&&) = delete;
  // Lets it go as soon as nobody uses it: at once, or with the mount that does.
  ~VerityDevice();

  [[nodiscard]] const std::string& node() const { return node_; }

 private:
  explicit VerityDevice(std::string name) : name_(std::move(name)) {}

  std::string name_, node_;
};

}  // namespace kata::storage
