// Latency and throughput of calls between two processes over a socket pair, beside a bare write and read of
// the same bytes. Not part of the default build: ninja ttrpc_bench.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <vector>

#include <unistd.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>

#include "lib/async/task_group.h"
#include "lib/ttrpc/client.h"
#include "lib/ttrpc/server.h"

#include "agent/agent.pb.h"

namespace kata::ttrpc {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

double cpu_seconds() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

StreamSocket adopt(asio::io_context& context, int fd) {
  return {context, asio::generic::stream_protocol(AF_UNIX, 0), fd};
}

void serve(int fd) {
  asio::io_context context(1);
  auto server = Server::create();
  add<grpc::WriteStreamRequest, grpc::WriteStreamResponse>(
      *server, "grpc.AgentService", "WriteStdin",
      [](grpc::WriteStreamRequest request) -> Awaitable<grpc::WriteStreamResponse> {
        grpc::WriteStreamResponse response;
        response.set_len(static_cast<uint32_t>(request.data().size()));
        co_return response;
      });
  add<grpc::ReadStreamRequest, grpc::ReadStreamResponse>(
      *server, "grpc.AgentService", "ReadStdout",
      [](grpc::ReadStreamRequest request) -> Awaitable<grpc::ReadStreamResponse> {
        grpc::ReadStreamResponse response;
        response.mutable_data()->assign(request.len(), 'x');
        co_return response;
      });
  asio::co_spawn(context, server->serve(adopt(context, fd), Server::PeerCheck::kNone), asio::detached);
  context.run();
  std::printf("  server CPU in all: %.2f s\n", cpu_seconds());
}

Awaitable<> write_once(const std::shared_ptr<Client>& client, size_t size) {
  grpc::WriteStreamRequest request;
  request.set_container_id("c1");
  request.mutable_data()->assign(size, 'x');
  co_await call<grpc::WriteStreamResponse>(client, "grpc.AgentService", "WriteStdin", request);
}

Awaitable<> read_once(const std::shared_ptr<Client>& client, size_t size) {
  grpc::ReadStreamRequest request;
  request.set_container_id("c1");
  request.set_len(static_cast<uint32_t>(size));
  co_await call<grpc::ReadStreamResponse>(client, "grpc.AgentService", "ReadStdout", request);
}

using Once = Awaitable<> (*)(const std::shared_ptr<Client>&, size_t);

Awaitable<> latency(std::shared_ptr<Client> client, int count) {
  std::vector<double> times;
  times.reserve(static_cast<size_t>(count));
  for (int i = 0; i < count; ++i) {
    const auto start = Clock::now();
    co_await write_once(client, 1);
    times.push_back(seconds_since(start) * 1e6);
  }
  std::sort(times.begin(), times.end());
  std::printf("call of 1 byte: median %.1f us, p99 %.1f us\n", times[times.size() / 2],
              times[times.size() * 99 / 100]);
}

Awaitable<> repeat(std::shared_ptr<Client> client, Once once, size_t size, int count) {
  for (int i = 0; i < count; ++i) co_await once(client, size);
}

Awaitable<> throughput(std::shared_ptr<Client> client, const char* name, Once once, size_t size,
                       int parallel) {
  const int count = static_cast<int>((size_t{1} << 30) / size);
  TaskGroup group(co_await asio::this_coro::executor, nullptr);
  const auto start = Clock::now();
  const double cpu = cpu_seconds();
  for (int i = 0; i < parallel; ++i) group.spawn("calls", repeat(client, once, size, count / parallel));
  co_await group.join();
  const double seconds = seconds_since(start);
  std::printf("%s of %zu KiB, %d at a time: %.0f MiB/s, client CPU %.1f us a call\n", name, size >> 10,
              parallel, 1024 / seconds, (cpu_seconds() - cpu) / count * 1e6);
}

Awaitable<> measure(std::shared_ptr<Client> client, std::vector<size_t> sizes) {
  co_await latency(client, 50'000);
  for (const size_t size : sizes) {
    for (const int parallel : {1, 8}) {
      co_await throughput(client, "write", write_once, size, parallel);
      co_await throughput(client, "read", read_once, size, parallel);
    }
  }
}

// The floor: the bytes of 64 KiB writes and a short answer to each, without any protocol.
void bare(int fd, bool echo) {
  std::string buffer(65536, 'x');
  const int count = 16384;
  const auto start = Clock::now();
  for (int i = 0; i < count; ++i) {
    if (!echo && ::write(fd, buffer.data(), buffer.size()) < 0) std::abort();
    size_t got = 0;
    while (got < (echo ? buffer.size() : 16)) {
      const ssize_t n = ::read(fd, buffer.data(), (echo ? buffer.size() : 16) - got);
      if (n <= 0) std::abort();
      got += static_cast<size_t>(n);
    }
    if (echo && ::write(fd, buffer.data(), 16) != 16) std::abort();
  }
  if (!echo) std::printf("bare sockets, 64 KiB and an answer: %.0f MiB/s\n", 1024 / seconds_since(start));
}

// Runs `child` and `parent` with the two ends of a socket pair.
template <typename Child, typename Parent>
void in_two_processes(Child child, Parent parent) {
  int fds[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) != 0) std::abort();
  std::fflush(stdout);
  const pid_t pid = ::fork();
  if (pid == 0) {
    ::close(fds[0]);
    child(fds[1]);
    std::fflush(stdout);
    ::_exit(0);
  }
  ::close(fds[1]);
  parent(fds[0]);
  ::waitpid(pid, nullptr, 0);
}

}  // namespace
}  // namespace kata::ttrpc

// Arguments: payload sizes in KiB.
int main(int argc, char** argv) {
  using namespace kata::ttrpc;
  std::vector<size_t> sizes;
  for (int i = 1; i < argc; ++i) sizes.push_back(std::stoul(argv[i]) << 10);
  if (sizes.empty()) sizes = {size_t{4} << 10, size_t{64} << 10, size_t{1} << 20};
  in_two_processes([](int fd) { bare(fd, true); }, [](int fd) { bare(fd, false); });
  in_two_processes(serve, [&](int fd) {
    kata::asio::io_context context(1);
    auto client = Client::create(adopt(context, fd), "bench");
    kata::asio::co_spawn(context, measure(std::move(client), sizes), kata::asio::detached);
    context.run();
  });
  return 0;
}
