#include "guest/device/uevent_watcher.h"

#include <array>
#include <cerrno>
#include <linux/netlink.h>
#include <sys/socket.h>
#include <utility>

#include <unistd.h>

#include "lib/error/error.h"
#include "lib/fd/io.h"
#include "lib/fd/unique_fd.h"
#include "lib/log/log.h"

namespace kata::device {
namespace {

constexpr unsigned kKernelGroup = 1;
constexpr size_t kMaxMessage = 8192;

void set_memory_online(const std::string& devpath) {
  try {
    const std::string file = "/sys" + devpath + "/online";
    if (::access(file.c_str(), W_OK) == 0 && read_file(file, 16).starts_with('0')) write_existing(file, "1");
  } catch (const Error& error) {
    log::warning("memory block not online", {{"path", devpath}, {"error", error.message()}});
  }
}

}  // namespace

UeventWatcher::UeventWatcher(asio::any_io_executor executor)
    : executor_(executor), socket_(executor), changed_(std::make_shared<Event>(executor)) {}

void UeventWatcher::start() {
  UniqueFd fd(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_KOBJECT_UEVENT));
  if (!fd) throw_errno("opening the uevent socket");
  sockaddr_nl address{};
  address.nl_family = AF_NETLINK;
  address.nl_groups = kKernelGroup;
  if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    throw_errno("binding the uevent socket");
  socket_.assign(fd.release());
  wait_readable();
}

void UeventWatcher::stop() {
  socket_.close();
}

void UeventWatcher::wait_readable() {
  socket_.async_wait(asio::posix::stream_descriptor::wait_read,
                     [this](const boost::system::error_code& error) {
                       if (error) return;
                       read_all();
                       wait_readable();
                     });
}

void UeventWatcher::read_all() {
  std::array<char, kMaxMessage> buffer;
  for (;;) {
    sockaddr_nl sender{};
    socklen_t length = sizeof sender;
    const ssize_t size = ::recvfrom(socket_.native_handle(), buffer.data(), buffer.size(), 0,
                                    reinterpret_cast<sockaddr*>(&sender), &length);
    if (size < 0 && errno == ENOBUFS) {
      // Events were lost: whoever waits has to look.
      handle({});
      continue;
    }
    if (size <= 0) return;
    // Only the kernel's own messages; any process could send one.
    if (sender.nl_pid != 0) continue;
    if (const auto event = parse_uevent({buffer.data(), static_cast<size_t>(size)})) handle(*event);
  }
}

void UeventWatcher::handle(const Uevent& event) {
  if (event.subsystem == "memory" && event.action == "add") set_memory_online(event.devpath);
  const auto before = std::exchange(changed_, std::make_shared<Event>(executor_));
  before->set();
}

}  // namespace kata::device
