#include "host/shim/delete.h"

#include <charconv>
#include <chrono>
#include <climits>
#include <csignal>
#include <exception>
#include <string_view>
#include <sys/syscall.h>
#include <utility>

#include <poll.h>
#include <unistd.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>

#include "host/shim/address.h"
#include "host/shim/convert.h"
#include "host/shim/grouping.h"
#include "lib/async/deadline.h"
#include "lib/fd/io.h"
#include "lib/fd/unique_fd.h"
#include "lib/log/log.h"
#include "lib/ttrpc/client.h"

#include "containerd/task.pb.h"
#include "google/protobuf/empty.pb.h"

namespace kata::shim {
namespace {

namespace proto = containerd::task::v3;
using std::chrono::milliseconds;

// Together below containerd's five seconds.
constexpr milliseconds kExitLimit{1000};
// After a normal end the shim needs a few milliseconds; whoever takes longer was not told to end.
constexpr milliseconds kUnaskedLimit{300};
constexpr milliseconds kCallLimit{700};
constexpr milliseconds kCleanUpLimit{2000};
constexpr uint32_t kKilledStatus = 128 + SIGKILL;
constexpr std::string_view kTaskService = "containerd.task.v3.Task";

// Whether a command line (of /proc/<pid>/cmdline) is that of a shim which serves `id`.
bool serves(std::string_view command_line, const std::string& id) {
  const std::string wanted = std::string("-id") + '\0' + id + '\0' + "-socket";
  return command_line.find(wanted) != std::string_view::npos;
}

// The living shim of this bundle, or an invalid descriptor.
UniqueFd shim_of(const std::string& bundle, const std::string& id) {
  try {
    const std::string text = read_file(bundle + "/shim.pid", 32);
    int pid = 0;
    if (std::from_chars(text.data(), text.data() + text.size(), pid).ec != std::errc() || pid <= 1) return {};
    UniqueFd fd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
    // Looked at after the descriptor was taken: the number cannot go to another process in between.
    if (fd && serves(read_file("/proc/" + std::to_string(pid) + "/cmdline"), id)) return fd;
  } catch (const Error&) {
    // No file, no process: no shim.
  }
  return {};
}

bool ended(const UniqueFd& process, milliseconds limit) {
  pollfd entry{.fd = process.get(), .events = POLLIN, .revents = 0};
  return ::poll(&entry, 1, static_cast<int>(limit.count())) == 1;
}

Awaitable<std::shared_ptr<ttrpc::Client>> connect_to(std::string path) {
  const auto executor = co_await asio::this_coro::executor;
  asio::local::stream_protocol::socket socket(executor);
  const asio::local::stream_protocol::endpoint endpoint(path);
  co_await socket.async_connect(endpoint, asio::use_awaitable);
  co_return ttrpc::Client::create(StreamSocket(std::move(socket)), "the running shim");
}

// Asks a living shim to end if it has no containers, or if it still has the one that containerd gives up.
// Returns whether it shall live on for its other containers. Throws when it does not answer.
Awaitable<bool> is_needed(std::string path, std::string id) {
  auto client = co_await connect_to(std::move(path));
  ttrpc::CallOptions options;
  options.timeout = kCallLimit;
  proto::ShutdownRequest request;
  request.set_id(id);
  bool known = true;
  try {
    proto::StateRequest state;
    state.set_id(id);
    co_await ttrpc::call<proto::StateResponse>(client, std::string(kTaskService), "State", state, options);
  } catch (const Error& error) {
    if (error.code() != Code::kNotFound) throw;
    known = false;
  }
  request.set_now(known);
  co_await ttrpc::call<google::protobuf::Empty>(client, std::string(kTaskService), "Shutdown", request,
                                                options);
  co_return !known;
}

template <typename T>
T run_to_end(Awaitable<T> task) {
  asio::io_context loop(1);
  std::exception_ptr failed;
  std::optional<T> result;
  asio::co_spawn(loop, std::move(task), [&](const std::exception_ptr& exception, T value) {
    failed = exception;
    result = std::move(value);
    loop.stop();
  });
  loop.run();
  if (failed) std::rethrow_exception(failed);
  return std::move(*result);
}

std::string address_in(const std::string& bundle) {
  try {
    return path_of_address(read_file(bundle + "/address", PATH_MAX));
  } catch (const Error&) {
    return {};
  }
}

// Ends the shim of a sandbox. Returns false when it is alive and used.
bool end_shim(const std::string& bundle, const std::string& id) {
  const UniqueFd process = shim_of(bundle, id);
  if (!process || ended(process, kUnaskedLimit)) return true;
  bool needed = false;
  try {
    needed =
        run_to_end(with_deadline(is_needed(address_in(bundle), id), kCallLimit, "asking the shim to end"));
  } catch (const Error& error) {
    log::warning("the shim does not answer and is killed", {{"id", id}, {"error", error.message()}});
  } catch (const std::exception& error) {
    log::warning("the shim cannot be reached and is killed", {{"id", id}, {"error", error.what()}});
  }
  if (ended(process, needed ? milliseconds(0) : kExitLimit)) return true;
  if (needed) return false;
  ::syscall(SYS_pidfd_send_signal, process.get(), SIGKILL, nullptr, 0);
  ended(process, kExitLimit);
  return true;
}

Awaitable<bool> cleaned(const CleanUp& clean_up, std::string sandbox_id, std::string id) {
  co_await clean_up(std::move(sandbox_id), std::move(id), kCleanUpLimit);
  co_return true;
}

void clean(const CleanUp& clean_up, const std::string& sandbox_id, const std::string& id) {
  try {
    run_to_end(cleaned(clean_up, sandbox_id, id));
  } catch (...) {
    log::warning("clean-up is not complete",
                 {{"id", id}, {"error", to_error(std::current_exception()).message()}});
  }
}

std::string sandbox_of(const std::string& bundle, const std::string& id) {
  try {
    return sandbox_id_of_bundle(bundle, id);
  } catch (const Error& error) {
    log::warning("the sandbox of a bundle is not known", {{"id", id}, {"error", error.message()}});
    return id;
  }
}

}  // namespace

void remove(const Flags& flags, const CleanUp& clean_up, int out) {
  if (!valid_id(flags.id))
    throw Error(Code::kInvalidArgument,
                "-id '" + flags.id.substr(0, 100) + "' is missing or no valid container id");
  const std::string bundle = flags.bundle.empty() ? "." : flags.bundle;
  const std::string sandbox_id = sandbox_of(bundle, flags.id);
  const bool own = sandbox_id == flags.id;
  if (!own || end_shim(bundle, flags.id)) {
    clean(clean_up, sandbox_id, flags.id);
    const std::string socket = own ? address_in(bundle) : std::string();
    if (!socket.empty() && !is_served(socket)) ::unlink(socket.c_str());
  }
  proto::DeleteResponse response;
  response.set_exit_status(kKilledStatus);
  set_timestamp(*response.mutable_exited_at(), std::chrono::system_clock::now());
  write_all(out, response.SerializeAsString(), "the answer to containerd");
}

}  // namespace kata::shim
