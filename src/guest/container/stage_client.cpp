#include "guest/container/stage_client.h"

#include <array>
#include <cerrno>
#include <sys/mman.h>
#include <sys/socket.h>

#include <fcntl.h>
#include <unistd.h>

#include "lib/error/error.h"
#include "lib/fd/io.h"
#include "lib/log/log.h"

namespace kata::container {
namespace {

struct StreamEnds {
  Streams ours;
  std::array<UniqueFd, 3> theirs;
};

struct Pipe {
  UniqueFd read, write;
};

Pipe make_pipe(size_t size) {
  std::array<int, 2> ends;
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) throw_errno("making a pipe for a standard stream");
  Pipe pipe{.read = UniqueFd(ends[0]), .write = UniqueFd(ends[1])};
  // Above the system's limit it keeps its size.
  if (size > 0) ::fcntl(ends[0], F_SETPIPE_SZ, static_cast<int>(std::min<size_t>(size, size_t{1} << 30)));
  return pipe;
}

StreamEnds make_streams(size_t size, uint32_t owner) {
  StreamEnds ends;
  Pipe input = make_pipe(size);
  Pipe output = make_pipe(size);
  Pipe error = make_pipe(size);
  ends.ours = {.stdin_fd = std::move(input.write),
               .stdout_fd = std::move(output.read),
               .stderr_fd = std::move(error.read)};
  ends.theirs = {std::move(input.read), std::move(output.write), std::move(error.write)};
  for (const UniqueFd& fd : ends.theirs) {
    if (owner != 0 && ::fchown(fd.get(), owner, static_cast<gid_t>(-1)) != 0)
      throw_errno("giving the streams to their user");
  }
  return ends;
}

UniqueFd write_plan(const InitPlan& plan) {
  UniqueFd file(::memfd_create("init-plan", MFD_CLOEXEC));
  if (!file) throw_errno("making a file for the init stage");
  write_all(file.get(), encode_plan(plan), "the description for the init stage");
  return file;
}

}  // namespace

StageClient::StageClient(const asio::any_io_executor& executor, UniqueFd socket,
                         std::shared_ptr<Process> process)
    : socket_(executor, socket.release()), process_(std::move(process)) {}

std::unique_ptr<StageClient> StageClient::start(const asio::any_io_executor& executor, Role role,
                                                const InitPlan& plan, SpawnRequest spawn, size_t pipe_size,
                                                uint32_t owner) {
  const UniqueFd description = write_plan(plan);
  std::array<int, 2> pair;
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair.data()) != 0)
    throw_errno("making a socket for the init stage");
  UniqueFd ours(pair[0]);
  const UniqueFd theirs(pair[1]);
  set_nonblocking(ours.get());
  StreamEnds streams;
  if (!plan.process.terminal) {
    streams = make_streams(pipe_size, owner);
    for (size_t i = 0; i < 3; ++i) spawn.stdio[i] = streams.theirs[i].get();
  }
  // In the order of kPlanFd, kControlFd; what the caller has put there follows.
  std::vector<int> descriptors = {description.get(), theirs.get()};
  descriptors.insert(descriptors.end(), spawn.descriptors.begin(), spawn.descriptors.end());
  spawn.descriptors = std::move(descriptors);
  Spawned spawned = spawn_init_stage(spawn);
  auto process = Process::adopt(executor, role, spawned.pid, std::move(spawned.pidfd));
  if (!plan.process.terminal) process->set_streams(std::move(streams.ours), false);
  return std::unique_ptr<StageClient>(new StageClient(executor, std::move(ours), std::move(process)));
}

Awaitable<std::optional<Packet>> StageClient::receive() {
  for (;;) {
    // The stage has hardly ever spoken already, and an exception is the dearest way to learn that.
    co_await socket_.async_wait(asio::posix::stream_descriptor::wait_read, asio::use_awaitable);
    try {
      co_return receive_packet(socket_.native_handle());
    } catch (const Error& error) {
      if (error.errno_value() != EAGAIN) throw;
    }
  }
}

bool StageClient::take(Packet& packet) {
  if (packet.kind == Message::kWarning) {
    log::warning("container process", {{"pid", std::to_string(process_->pid())}, {"warning", packet.body}});
    return true;
  }
  if (packet.kind == Message::kConsole && packet.descriptor) {
    Streams streams;
    streams.stdin_fd = std::move(packet.descriptor);
    process_->set_streams(std::move(streams), true);
    return true;
  }
  return false;
}

void StageClient::refuse(const Packet& packet) {
  if (packet.kind == Message::kError) throw decode_error(packet.body);
  throw Error(Code::kInternal, "the init stage sent something unexpected");
}

Awaitable<> StageClient::until_ready(Answers answers) {
  for (;;) {
    auto packet = co_await receive();
    if (!packet) {
      const int code = co_await process_->wait();
      throw Error(Code::kInternal,
                  "the init stage ended with code " + std::to_string(code) + " before it was ready");
    }
    if (packet->kind == Message::kReady) co_return;
    if (packet->kind == Message::kMapUser && answers.map_user) {
      answers.map_user(process_->pid());
      send_packet(socket_.native_handle(), Message::kGo);
    } else if (packet->kind == Message::kRunHooks && answers.run_hooks) {
      co_await answers.run_hooks(process_->pid());
      send_packet(socket_.native_handle(), Message::kGo);
    } else if (!take(*packet)) {
      refuse(*packet);
    }
  }
}

Awaitable<> StageClient::until_running(Begin begin) {
  if (begin == Begin::kStart) {
    try {
      send_packet(socket_.native_handle(), Message::kStart);
    } catch (const Error&) {
      throw Error(Code::kFailedPrecondition, "the container's process has ended before it was started");
    }
  }
  for (;;) {
    auto packet = co_await receive();
    if (!packet) co_return;
    if (!take(*packet)) refuse(*packet);
  }
}

}  // namespace kata::container
