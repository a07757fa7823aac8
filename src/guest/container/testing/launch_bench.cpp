// Times of the engine on this machine, without a VM: create + start to the program's first output, exec to
// output. With a bundle whose config.json matches, runc and crun can be timed beside it by hand.
//   container_bench ROOTFS [COUNT]
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>

#include "guest/container/launcher.h"
#include "guest/container/testing/sample_spec.h"
#include "lib/error/error.h"

namespace {

using namespace kata;
using Clock = std::chrono::steady_clock;

double since(Clock::time_point start) {
  return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

void report(const char* what, std::vector<double> times) {
  std::sort(times.begin(), times.end());
  std::printf("%-28s median %7.2f ms  min %7.2f  max %7.2f  n %zu\n", what, times[times.size() / 2],
              times.front(), times.back(), times.size());
}

Awaitable<> measure(std::string rootfs, int count) {
  const auto hierarchy = cgroup::Hierarchy::detect();
  std::vector<double> creates, starts, execs, ends;
  for (int i = 0; i < count; ++i) {
    container::LaunchSpec launch = container::sample_spec({"sh", "-c", "echo x; sleep 1000"}, rootfs);
    launch.id = "bench-" + std::to_string(i);
    auto start = Clock::now();
    const auto box = co_await container::Container::create(hierarchy, std::move(launch));
    creates.push_back(since(start));
    co_await box->start();
    co_await box->init()->read_stdout(10);
    starts.push_back(since(start));
    oci::Process process = *box->spec().process;
    process.args = {"echo", "x"};
    start = Clock::now();
    const auto second = co_await box->exec(std::move(process));
    co_await second->read_stdout(10);
    execs.push_back(since(start));
    co_await second->wait();
    start = Clock::now();
    co_await box->destroy();
    ends.push_back(since(start));
  }
  report("create", creates);
  report("create + start to output", starts);
  report("exec to output", execs);
  report("destroy", ends);
}

}  // namespace

int main(int argc, char** argv) {
  if (container::is_init_stage(argc, argv)) return container::run_init_stage();
  if (argc < 2) {
    std::fprintf(stderr, "usage: container_bench ROOTFS [COUNT]\n");
    return 2;
  }
  asio::io_context context;
  std::exception_ptr failure;
  asio::co_spawn(context, measure(argv[1], argc > 2 ? std::atoi(argv[2]) : 30),
                 [&](std::exception_ptr error) { failure = error; });
  context.run();
  if (!failure) return 0;
  std::fprintf(stderr, "%s\n", to_error(failure).what());
  return 1;
}
