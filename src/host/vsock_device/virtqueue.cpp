#include "host/vsock_device/virtqueue.h"

#include <bit>
#include <string>

#include "host/vsock_device/snapshot.h"

namespace kata::vsock_device {
namespace {

constexpr uint16_t kDescNext = 1;
constexpr uint16_t kDescWrite = 2;
constexpr uint16_t kDescIndirect = 4;
constexpr uint16_t kAvailNoInterrupt = 1;
constexpr size_t kDescriptorSize = 16;
constexpr uint32_t kMaxIndirect = 1024;

struct Descriptor {
  uint64_t address;
  uint32_t length;
  uint16_t flags;
  uint16_t next;
};
static_assert(sizeof(Descriptor) == kDescriptorSize);

Descriptor read_descriptor(const std::byte* source) {
  auto raw = snapshot<Descriptor>(source);
  return {.address = little_endian(raw.address),
          .length = little_endian(raw.length),
          .flags = little_endian(raw.flags),
          .next = little_endian(raw.next)};
}

std::unexpected<Error> broken(const std::string& what) {
  return std::unexpected(Error(Code::kDataLoss, "virtqueue of the guest: " + what));
}

bool has(RingFeature set, RingFeature one) {
  return (static_cast<uint8_t>(set) & static_cast<uint8_t>(one)) != 0;
}

std::byte* locate(const GuestMemory& memory, const char* part, uint64_t address, uint64_t size,
                  uint64_t alignment) {
  std::byte* found = address % alignment == 0 ? memory.at_frontend(address, size) : nullptr;
  if (found == nullptr || reinterpret_cast<uintptr_t>(found) % alignment != 0)
    throw Error(Code::kInvalidArgument, "placing a virtqueue: its " + std::string(part) + " at address " +
                                            std::to_string(address) +
                                            " is misaligned or not in guest memory");
  return found;
}

}  // namespace

Virtqueue::Virtqueue(const GuestMemory& memory, const RingLayout& layout, uint16_t next, RingFeature features)
    : memory_(memory),
      size_(layout.size),
      event_index_(has(features, RingFeature::kEventIndex)),
      indirect_(has(features, RingFeature::kIndirect)),
      next_(next) {
  if (size_ == 0 || size_ > kMaxSize || !std::has_single_bit(size_))
    throw Error(Code::kInvalidArgument,
                "placing a virtqueue: " + std::to_string(size_) + " is no queue size");
  descriptors_ = locate(memory, "descriptor table", layout.descriptors, kDescriptorSize * size_, 16);
  available_ = locate(memory, "available ring", layout.available, 6 + 2ULL * size_, 2);
  used_ = locate(memory, "used ring", layout.used, 6 + 8ULL * size_, 4);
  used_index_ = load_index(used_ + 2);
  published_ = used_index_;
}

std::expected<std::optional<Chain>, Error> Virtqueue::pop(Access access, std::vector<iovec>& pieces) {
  const uint16_t end = load_index(available_ + 2);
  const auto waiting = static_cast<uint16_t>(end - next_);
  if (waiting == 0) return std::nullopt;
  if (waiting > size_) return broken("the available index runs ahead by " + std::to_string(waiting));
  const uint16_t head = little_endian(snapshot<uint16_t>(available_slot(next_ & (size_ - 1))));
  Chain chain{.head = head, .first = pieces.size()};
  if (auto walked = walk(head, access, pieces, chain); !walked) {
    pieces.resize(chain.first);
    return std::unexpected(walked.error());
  }
  chain.count = pieces.size() - chain.first;
  ++next_;
  return chain;
}

std::expected<void, Error> Virtqueue::walk(uint16_t head, Access access, std::vector<iovec>& pieces,
                                           Chain& chain) {
  Table table{.base = descriptors_, .count = size_};
  uint32_t index = head;
  uint32_t visited = 0;
  const size_t limit = pieces.size() + kMaxPieces;
  while (true) {
    if (index >= table.count) return broken("descriptor " + std::to_string(index) + " does not exist");
    if (visited++ >= table.count) return broken("descriptor chain without an end");
    const Descriptor descriptor = read_descriptor(table.base + kDescriptorSize * index);
    if ((descriptor.flags & kDescIndirect) != 0) {
      auto inner = enter_indirect(descriptor.address, descriptor.length, descriptor.flags, table);
      if (!inner) return std::unexpected(inner.error());
      table = *inner;
      index = 0;
      visited = 0;
      continue;
    }
    const bool writes = (descriptor.flags & kDescWrite) != 0;
    if (writes != (access == Access::kDeviceWrites)) return broken("a buffer of the wrong direction");
    if (!memory_.append(descriptor.address, descriptor.length, pieces, limit))
      return broken("a buffer that is not in guest memory, or too many pieces");
    chain.bytes += descriptor.length;
    if ((descriptor.flags & kDescNext) == 0) return {};
    index = descriptor.next;
  }
}

std::expected<Virtqueue::Table, Error> Virtqueue::enter_indirect(uint64_t address, uint32_t length,
                                                                 uint16_t flags, const Table& from) const {
  if (!indirect_ || from.indirect || (flags & kDescNext) != 0)
    return broken("an indirect descriptor where none may be");
  if (length == 0 || length % kDescriptorSize != 0 || length / kDescriptorSize > kMaxIndirect)
    return broken("an indirect table of " + std::to_string(length) + " bytes");
  const std::byte* base = memory_.at_guest(address, length);
  if (base == nullptr) return broken("an indirect table that is not in guest memory");
  return Table{.base = base, .count = static_cast<uint32_t>(length / kDescriptorSize), .indirect = true};
}

void Virtqueue::push(const Chain& chain, uint32_t written) {
  struct Element {
    uint32_t id;
    uint32_t length;
  };
  const Element element{.id = little_endian(uint32_t{chain.head}), .length = little_endian(written)};
  std::memcpy(used_slot(used_index_ & (size_ - 1)), &element, sizeof(element));
  ++used_index_;
}

bool Virtqueue::publish() {
  if (used_index_ == published_) return false;
  const uint16_t before = published_;
  store_index(used_ + 2, used_index_);
  published_ = used_index_;
  full_barrier();
  if (!event_index_) return (load_index(available_) & kAvailNoInterrupt) == 0;
  const uint16_t wanted = load_index(available_slot(size_));
  return static_cast<uint16_t>(used_index_ - wanted - 1) < static_cast<uint16_t>(used_index_ - before);
}

bool Virtqueue::arm_kick() {
  if (event_index_) store_index(used_slot(size_), next_);
  full_barrier();
  return load_index(available_ + 2) != next_;
}

}  // namespace kata::vsock_device
