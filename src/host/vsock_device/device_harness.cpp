#include "host/vsock_device/device_harness.h"

#include <array>
#include <cerrno>
#include <cstdlib>
#include <sys/socket.h>
#include <utility>

#include <fcntl.h>
#include <gtest/gtest.h>

#include "host/vsock_device/listener.h"
#include "lib/error/error.h"
#include "lib/fd/io.h"

namespace kata::vsock_device {

DeviceHarness::DeviceHarness(size_t max_streams) {
  std::string pattern = "/tmp/kata-vsock-device-XXXXXX";
  if (::mkdtemp(pattern.data()) == nullptr) throw_errno("making a test folder");
  folder_ = pattern;
  paths_.push_back(folder_ + "/vm.sock");
  std::array<int, 2> ends{};
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0)
    throw_errno("making a socket pair");
  const DeviceConfig config{.cid = FakeGuest::kCid, .uds_path = paths_[0], .max_streams = max_streams};
  device_ = std::make_unique<Device>(config, UniqueFd(ends[0]), listen_unix(paths_[0]));
  guest_ = std::make_unique<FakeGuest>(UniqueFd(ends[1]), [this] { settle(); });
}

DeviceHarness::~DeviceHarness() {
  for (const std::string& path : paths_) ::unlink(path.c_str());
  ::rmdir(folder_.c_str());
}

void DeviceHarness::settle() {
  // A round handles at most 64 events and a bounded number of packets.
  for (int round = 0; round < 24 && running_; ++round) running_ = device_->run_once(0);
}

UniqueFd DeviceHarness::host_connect(const std::string& line) {
  UniqueFd fd = connect_unix(paths_[0]);
  if (!fd) throw_errno("connecting to the device");
  if (!line.empty()) write_now(fd, line);
  settle();
  return fd;
}

UniqueFd DeviceHarness::host_listen(uint32_t port) {
  paths_.push_back(paths_[0] + "_" + std::to_string(port));
  return listen_unix(paths_.back());
}

UniqueFd DeviceHarness::host_accept(const UniqueFd& listener) {
  return accept_connection(listener.get());
}

void DeviceHarness::from_guest(Operation operation, StreamKey key, std::string_view payload, uint32_t flags,
                               size_t pieces) {
  const PacketHeader header{.source_cid = FakeGuest::kCid,
                            .destination_cid = kHostCid,
                            .source_port = key.guest_port,
                            .destination_port = key.host_port,
                            .length = static_cast<uint32_t>(payload.size()),
                            .operation = operation,
                            .flags = flags,
                            .buffer_size = guest_buffer_,
                            .forwarded = guest_forwarded_};
  guest_->transmit(header, payload, pieces);
}

std::vector<FakePacket> DeviceHarness::to_guest() {
  std::vector<FakePacket> packets;
  while (auto packet = guest_->receive()) packets.push_back(*std::move(packet));
  return packets;
}

FakePacket DeviceHarness::one_to_guest() {
  std::vector<FakePacket> packets = to_guest();
  EXPECT_EQ(packets.size(), 1U);
  if (packets.size() != 1) return {.header = {.operation = Operation{}}, .payload = ""};
  return packets[0];
}

DeviceHarness::Pair DeviceHarness::open_from_host(uint32_t guest_port) {
  Pair pair{.host = host_connect("CONNECT " + std::to_string(guest_port) + "\n"), .key = {}};
  const FakePacket request = one_to_guest();
  EXPECT_EQ(request.header.operation, Operation::kRequest);
  pair.key = {.host_port = request.header.source_port, .guest_port = request.header.destination_port};
  from_guest(Operation::kResponse, pair.key);
  EXPECT_EQ(read_now(pair.host), "OK " + std::to_string(pair.key.host_port) + "\n");
  return pair;
}

std::string read_now(const UniqueFd& fd, bool* ended) {
  std::string result;
  std::vector<char> bytes(65536);
  if (ended != nullptr) *ended = false;
  while (true) {
    const ssize_t count = ::recv(fd.get(), bytes.data(), bytes.size(), MSG_DONTWAIT);
    if (count <= 0) {
      if (ended != nullptr) *ended = count == 0 || errno == ECONNRESET;
      return result;
    }
    result.append(bytes.data(), static_cast<size_t>(count));
  }
}

void write_now(const UniqueFd& fd, std::string_view data) {
  write_all(fd.get(), data, "writing in a test");
}

}  // namespace kata::vsock_device
