// The shim with a sandbox in name only: for tests of the program as containerd sees it. The clean-up leaves a
// mark in $KATA_FAKE_CLEANUP, if set.
#include <cstdlib>
#include <fstream>

#include "host/shim/fake_sandbox.h"
#include "host/shim/program.h"

namespace {

kata::Awaitable<> clean_up(std::string sandbox_id, std::string container_id, kata::Duration) {
  if (const char* const path = std::getenv("KATA_FAKE_CLEANUP"))
    std::ofstream(path, std::ios::app) << sandbox_id << ' ' << container_id << '\n';
  co_return;
}

std::shared_ptr<kata::sandbox::Sandbox> make(kata::asio::any_io_executor executor,
                                             kata::sandbox::SandboxConfig,
                                             std::shared_ptr<kata::sandbox::EventSink> events) {
  return std::make_shared<kata::sandbox::FakeSandbox>(std::move(executor), std::move(events),
                                                      std::make_shared<kata::sandbox::FakeSandbox::Script>());
}

}  // namespace

int main(int argc, char** argv) {
  const auto load = [](const kata::config::LoadRequest&) { return kata::config::Config(); };
  return kata::shim::run_program(argc, argv, {make, load, clean_up, nullptr});
}
