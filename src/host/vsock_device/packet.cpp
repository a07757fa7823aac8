#include "host/vsock_device/packet.h"

#include <cstring>

#include "host/vsock_device/snapshot.h"

namespace kata::vsock_device {
namespace {

// Field by field at the offsets of the specification.
struct Cursor {
  size_t offset = 0;

  template <typename T>
  void take(const HeaderBytes& bytes, T& field) {
    T raw;
    std::memcpy(&raw, bytes.data() + offset, sizeof(T));
    field = little_endian(raw);
    offset += sizeof(T);
  }
  template <typename T>
  void put(HeaderBytes& bytes, T field) {
    const T raw = little_endian(field);
    std::memcpy(bytes.data() + offset, &raw, sizeof(T));
    offset += sizeof(T);
  }
};

}  // namespace

PacketHeader decode(const HeaderBytes& bytes) {
  PacketHeader header;
  Cursor cursor;
  cursor.take(bytes, header.source_cid);
  cursor.take(bytes, header.destination_cid);
  cursor.take(bytes, header.source_port);
  cursor.take(bytes, header.destination_port);
  cursor.take(bytes, header.length);
  cursor.take(bytes, header.type);
  uint16_t operation = 0;
  cursor.take(bytes, operation);
  header.operation = static_cast<Operation>(operation);
  cursor.take(bytes, header.flags);
  cursor.take(bytes, header.buffer_size);
  cursor.take(bytes, header.forwarded);
  return header;
}

HeaderBytes encode(const PacketHeader& header) {
  HeaderBytes bytes;
  Cursor cursor;
  cursor.put(bytes, header.source_cid);
  cursor.put(bytes, header.destination_cid);
  cursor.put(bytes, header.source_port);
  cursor.put(bytes, header.destination_port);
  cursor.put(bytes, header.length);
  cursor.put(bytes, header.type);
  cursor.put(bytes, static_cast<uint16_t>(header.operation));
  cursor.put(bytes, header.flags);
  cursor.put(bytes, header.buffer_size);
  cursor.put(bytes, header.forwarded);
  return bytes;
}

}  // namespace kata::vsock_device
