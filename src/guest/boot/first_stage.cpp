#include "guest/boot/first_stage.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <linux/netlink.h>
#include <memory>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <utility>

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include "guest/boot/agent_config.h"
#include "guest/boot/modules.h"
#include "lib/fd/io.h"
#include "lib/linux/mount.h"
#include "lib/log/log.h"

namespace kata::boot {
namespace {

constexpr size_t kMaxText = size_t{1} << 20;
constexpr std::chrono::seconds kDeviceLimit{10};
constexpr const char* kNewRoot = "/root";

std::unexpected<Error> refuse(std::string text) {
  return std::unexpected(Error(Code::kInvalidArgument, "kernel command line: " + std::move(text)));
}

// The text up to `separator`, which is taken off `rest` with it.
std::string_view take(std::string_view& rest, char separator) {
  const size_t end = rest.find(separator);
  const std::string_view part = rest.substr(0, end);
  rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
  return part;
}

// "<name>,<uuid>,<minor>,<flags>,<start> <sectors> verity <version> <data> <hash> ..."
std::expected<RootPlan::Verity, Error> parse_verity(std::string_view text) {
  std::string_view rest = text;
  RootPlan::Verity verity;
  verity.name = take(rest, ',');
  for (int field = 0; field < 3; ++field) take(rest, ',');
  const std::string_view start = take(rest, ' '), sectors = take(rest, ' ');
  verity.target.type = take(rest, ' ');
  verity.target.parameters = rest;
  const auto [end, error] =
      std::from_chars(sectors.data(), sectors.data() + sectors.size(), verity.target.sectors);
  take(rest, ' ');
  for (int part = 0; part < 2; ++part) verity.parts.emplace_back(take(rest, ' '));
  const bool is_device =
      std::ranges::all_of(verity.parts, [](const std::string& part) { return part.starts_with("/dev/"); });
  if (verity.name.empty() || verity.name.size() > kernel::kMaxDmName || start != "0" ||
      error != std::errc() || end != sectors.data() + sectors.size() || verity.target.sectors == 0 ||
      verity.target.type != "verity" || !is_device || rest.empty() || text.contains(';'))
    return refuse("dm-mod.create=\"" + std::string(text) + "\" is no single dm-verity device");
  return verity;
}

UniqueFd listen_to_kernel_events() {
  UniqueFd socket(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_KOBJECT_UEVENT));
  sockaddr_nl address{};
  address.nl_family = AF_NETLINK;
  address.nl_groups = 1;
  if (!socket || ::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    throw_errno("listening to the kernel's events");
  return socket;
}

// Its node is there a little before it can be opened.
bool is_ready(const std::string& device) {
  const UniqueFd fd(::open(device.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (fd) return true;
  if (errno == ENOENT || errno == ENXIO || errno == ENODEV) return false;
  throw_errno("opening the root device " + device);
}

// Returns when the device can be used. `events` was opened before its driver was loaded: none is missed.
void wait_for(const std::string& device, const UniqueFd& events) {
  using Clock = std::chrono::steady_clock;
  const auto end = Clock::now() + kDeviceLimit;
  while (!is_ready(device)) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(end - Clock::now());
    if (left.count() <= 0)
      throw Error(Code::kDeadlineExceeded,
                  "the root device " + device + " did not appear within " +
                      std::to_string(kDeviceLimit.count()) +
                      " s: check that the image has that partition, and vm_rootfs_driver");
    pollfd poll{.fd = events.get(), .events = POLLIN, .revents = 0};
    if (::poll(&poll, 1, static_cast<int>(left.count())) < 0 && errno != EINTR)
      throw_errno("waiting for the root device " + device);
    std::array<char, 4096> event;
    for (;;) {
      const ssize_t size = ::recv(events.get(), event.data(), event.size(), 0);
      if (size == 0 || (size < 0 && errno != ENOBUFS)) break;
    }
  }
}

void make_verity(const RootPlan& plan, const UniqueFd& events) {
  for (const std::string& part : plan.verity->parts) wait_for(part, events);
  const UniqueFd control = kernel::open_device_mapper();
  const unsigned number = kernel::create_dm_device(control.get(), plan.verity->name, plan.verity->target,
                                                   "dm-verity over " + plan.verity->parts.front());
  log::debug("root is verified", {{"device", "/dev/dm-" + std::to_string(number)}});
}

// Takes away everything below the folder that is on its file system.
void remove_below(UniqueFd folder, dev_t device) {
  const int raw = folder.get();
  const std::unique_ptr<DIR, int (*)(DIR*)> listing(::fdopendir(folder.release()), ::closedir);
  if (!listing) return;
  while (const dirent* entry = ::readdir(listing.get())) {
    const std::string_view name = entry->d_name;
    struct stat info{};
    if (name == "." || name == ".." || ::fstatat(raw, entry->d_name, &info, AT_SYMLINK_NOFOLLOW) != 0 ||
        info.st_dev != device)
      continue;
    if (S_ISDIR(info.st_mode))
      remove_below(UniqueFd(::openat(raw, entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)),
                   device);
    ::unlinkat(raw, entry->d_name, S_ISDIR(info.st_mode) ? AT_REMOVEDIR : 0);
  }
}

void switch_root() {
  UniqueFd old = open_file("/", O_RDONLY | O_DIRECTORY);
  struct stat info{};
  if (::fstat(old.get(), &info) != 0) throw_errno("looking at the initramfs");
  for (const char* path : {"/dev", "/proc", "/sys"}) {
    if (::mount(path, (kNewRoot + std::string(path)).c_str(), nullptr, MS_MOVE, nullptr) != 0)
      throw_errno(std::string("moving ") + path + " to the root file system");
  }
  if (::chdir(kNewRoot) != 0 || ::mount(".", "/", nullptr, MS_MOVE, nullptr) != 0 || ::chroot(".") != 0 ||
      ::chdir("/") != 0) {
    throw_errno("moving the root onto the root file system");
  }
  remove_below(std::move(old), info.st_dev);
}

}  // namespace

std::vector<std::string> RootPlan::needs() const {
  std::vector<std::string> words;
  const std::string& disk = verity ? verity->parts.front() : device;
  if (disk.starts_with("/dev/vd")) words.emplace_back("root:virtio-blk");
  if (disk.starts_with("/dev/pmem")) words.emplace_back("root:pmem");
  if (verity) words.emplace_back("dm:verity");
  words.push_back("fs:" + fstype);
  return words;
}

std::expected<RootPlan, Error> parse_root(std::string_view command_line) {
  RootPlan plan;
  for (const std::string& word : split_command_line(command_line)) {
    const size_t equals = word.find('=');
    const std::string name = word.substr(0, equals);
    const std::string value = equals == std::string::npos ? "" : word.substr(equals + 1);
    if (word == "ro" || word == "rw") plan.readonly = word == "ro";
    if (name == "root") plan.device = value;
    if (name == "rootfstype") plan.fstype = value;
    if (name == "rootflags") plan.options = value;
    if (name == "init") plan.init = value;
    if (name == "dm-mod.create") {
      auto verity = parse_verity(value);
      if (!verity) return std::unexpected(verity.error());
      plan.verity = std::move(*verity);
    }
  }
  if (!plan.device.starts_with("/dev/"))
    return refuse("root=" + plan.device + " names no device below /dev to mount as the root");
  if (plan.fstype.empty() || plan.fstype.contains('/')) return refuse("rootfstype= names no file system");
  if (!plan.init.starts_with('/')) return refuse("init=" + plan.init + " is no absolute path");
  return plan;
}

bool is_first_stage() {
  return ::access(kFirstStageList, R_OK) == 0;
}

void enter_root_image() {
  auto plan = parse_root(read_file("/proc/cmdline", kMaxText));
  if (!plan) throw plan.error();
  const UniqueFd events = listen_to_kernel_events();
  const std::string list = read_file(kFirstStageList, kMaxText);
  for (const std::string& path : modules_for(list, plan->needs())) load_module(path);
  if (plan->verity) make_verity(*plan, events);
  wait_for(plan->device, events);
  kernel::mount(plan->device, kNewRoot, plan->fstype, plan->readonly ? MS_RDONLY : 0, plan->options);
  switch_root();
  std::array<char*, 2> arguments = {plan->init.data(), nullptr};
  ::execve(plan->init.c_str(), arguments.data(), environ);
  throw_errno("starting " + plan->init + " of the root file system");
}

}  // namespace kata::boot
