#include "host/shim/serve.h"

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <linux/nsfs.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <utility>

#include <fcntl.h>
#include <sched.h>
#include <unistd.h>

#include <boost/asio/basic_socket_acceptor.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>

#include "host/sandbox/streaming.h"
#include "host/shim/address.h"
#include "host/shim/bootstrap.h"
#include "host/shim/handover.h"
#include "host/shim/process.h"
#include "host/shim/sandbox_service.h"
#include "host/shim/task_service.h"
#include "lib/async/deadline.h"
#include "lib/async/event.h"
#include "lib/async/task_group.h"
#include "lib/fd/io.h"
#include "lib/linux/mount_copy.h"
#include "lib/log/log.h"

namespace kata::shim {
namespace {

using Acceptor = asio::local::stream_protocol::acceptor;

constexpr Duration kAcceptPause = std::chrono::milliseconds(100);
constexpr Duration kEventLimit = std::chrono::seconds(1);

void log_task_error(std::string_view task, const Error& error) {
  log::warning("a task of the shim failed", {{"task", std::string(task)}, {"error", error.message()}});
}

Awaitable<> accept_loop(Acceptor& acceptor, std::shared_ptr<ttrpc::Server> server, TaskGroup& connections) {
  for (;;) {
    boost::system::error_code failed;
    asio::local::stream_protocol::socket socket =
        co_await acceptor.async_accept(asio::redirect_error(asio::use_awaitable, failed));
    if (failed == asio::error::operation_aborted || failed == asio::error::bad_descriptor) co_return;
    if (failed) {
      // Descriptors run out, most likely: what runs shall go on, and new callers wait in the queue.
      log::warning("accepting a connection failed", {{"error", failed.message()}});
      co_await pause_for(kAcceptPause);
      continue;
    }
    connections.spawn("connection",
                      server->serve(StreamSocket(std::move(socket)), ttrpc::Server::PeerCheck::kSameUser));
  }
}

// Lets what is ready to run do so: the answer to the last call has to reach its connection before that
// closes.
Awaitable<> let_answers_out() {
  const auto executor = co_await asio::this_coro::executor;
  for (int round = 0; round < 4; ++round) co_await asio::post(executor, asio::use_awaitable);
}

}  // namespace

Awaitable<> serve_tasks(UniqueFd listener, ServeSettings settings) {
  const auto executor = co_await asio::this_coro::executor;
  const auto publisher =
      std::make_shared<EventPublisher>(executor, settings.ttrpc_address, settings.containerd_namespace);
  TaskGroup background(executor, log_task_error);
  TaskGroup connections(executor, log_task_error);
  const auto over = std::make_shared<kata::Event>(executor);

  TaskService::Parts parts;
  parts.executor = executor;
  parts.sandbox_id = settings.sandbox_id;
  parts.containerd_namespace = settings.containerd_namespace;
  parts.manager = settings.manager;
  parts.options = std::move(settings.options);
  parts.make_sandbox = std::move(settings.make_sandbox);
  parts.load_config = std::move(settings.load_config);
  parts.events = std::make_shared<TaskEvents>(publisher, settings.manager);
  parts.answer_limit = settings.answer_limit;
  parts.idle_limit = settings.idle_limit;
  parts.unused_limit = settings.unused_limit;
  parts.monitor_socket = std::move(settings.monitor_socket);
  parts.cgroups = host_cgroup_version();
  parts.shut_down = [over] { over->set(); };
  const std::shared_ptr<ttrpc::Server> server = ttrpc::Server::create();
  const auto tasks = std::make_shared<TaskService>(std::move(parts));
  tasks->add_to(*server);
  std::make_shared<SandboxService>(tasks)->add_to(*server);
  server->add_stream(sandbox::kStreamingService, sandbox::kStreamingMethod, ttrpc::StreamResult::kMessages,
                     [](std::shared_ptr<ttrpc::Stream> stream, ttrpc::RequestInfo) {
                       return sandbox::stream_table().serve(std::move(stream));
                     });

  Acceptor acceptor(executor, asio::local::stream_protocol(), listener.get());
  (void)listener.release();
  background.spawn("events", publisher->run());
  background.spawn("accept", accept_loop(acceptor, server, connections));
  co_await over->wait();

  acceptor.close();
  co_await let_answers_out();
  co_await publisher->flush(kEventLimit);
  server->stop();
  background.cancel();
  co_await connections.join();
  co_await background.join();
}

namespace {

bool is_socket(int fd) {
  struct stat info{};
  return ::fstat(fd, &info) == 0 && S_ISSOCK(info.st_mode);
}

// What leaves a handler is a defect of ours, and no reason to leave the pod alone.
void run_whatever_happens(asio::io_context& loop) {
  for (;;) {
    try {
      loop.run();
      return;
    } catch (...) {
      log::error("an error was not handled", {{"error", to_error(std::current_exception()).message()}});
    }
  }
}

UniqueFd take_listener() {
  if (!is_socket(kListenFd)) {
    throw Error(Code::kInvalidArgument,
                "no listening socket: this process is started by containerd-shim-kata-v2 start, not by hand");
  }
  ::fcntl(kListenFd, F_SETFD, FD_CLOEXEC);
  return UniqueFd(kListenFd);
}

std::string take_options() {
  struct stat info{};
  if (::fstat(kOptionsFd, &info) != 0 || !S_ISREG(info.st_mode)) return {};
  const UniqueFd fd(kOptionsFd);
  return read_all(fd.get(), kMaxBootstrapBytes, "the runtime options");
}

void take_outer_mounts() {
  if (::ioctl(kOuterMountsFd, NS_GET_NSTYPE) != CLONE_NEWNS) return;
  ::fcntl(kOuterMountsFd, F_SETFD, FD_CLOEXEC);
  kernel::set_outer_mounts(UniqueFd(kOuterMountsFd));
}

void remove_traces(const Flags& flags) {
  for (const std::string& path : {flags.socket, std::string("address"), std::string("shim.pid")}) {
    if (!path.empty() && ::unlink(path.c_str()) != 0 && errno != ENOENT)
      log::warning("a file of the shim stays", {{"path", path}});
  }
}

}  // namespace

int serve(const Flags& flags, const Backend& backend) {
  UniqueFd listener = take_listener();
  take_outer_mounts();
  set_up_log(flags);
  set_up_process();
  ServeSettings settings;
  settings.sandbox_id = flags.id;
  settings.containerd_namespace = flags.containerd_namespace;
  settings.manager = flags.address.empty() ? Manager::kCrio : Manager::kContainerd;
  if (const char* const address = std::getenv("TTRPC_ADDRESS")) settings.ttrpc_address = address;
  settings.options = take_options();
  settings.make_sandbox = backend.make_sandbox;
  settings.load_config = backend.load_config;
  if (backend.monitor_socket) settings.monitor_socket = backend.monitor_socket(flags.id);

  int code = 0;
  asio::io_context loop(1);
  asio::co_spawn(loop, serve_tasks(std::move(listener), std::move(settings)),
                 [&](const std::exception_ptr& failed) {
                   if (failed) {
                     log::error("the shim ends", {{"error", to_error(failed).message()}});
                     code = 1;
                   }
                   loop.stop();
                 });
  log::info("serving", {{"version", KATA_VERSION}, {"socket", flags.socket}});
  run_whatever_happens(loop);
  remove_traces(flags);
  log::info("the shim ends");
  return code;
}

}  // namespace kata::shim
