// The runtime shim that containerd and CRI-O start for a pod. See host/shim.
#include "host/config/config.h"
#include "host/sandbox/run_dir.h"
#include "host/sandbox/sandbox.h"
#include "host/shim/program.h"

namespace {

std::string monitor_socket(const std::string& sandbox_id) {
  return kata::sandbox::RunDir(sandbox_id).monitor_socket();
}

}  // namespace

int main(int argc, char** argv) {
  return kata::shim::run_program(argc, argv,
                                 {kata::sandbox::Sandbox::create, kata::config::load,
                                  kata::sandbox::clean_up_leftovers, monitor_socket});
}
