#include "guest/rpc/volume_stats.h"

#include <cerrno>
#include <memory>
#include <sys/mman.h>
#include <sys/statvfs.h>

#include "lib/async/child_process.h"
#include "lib/error/error.h"

namespace kata::rpc {
namespace {

constexpr std::chrono::seconds kLimit{10};

// Memory that a child process fills for its parent.
struct Unmap {
  void operator()(struct statvfs* page) const { ::munmap(page, sizeof *page); }
};
using SharedFigures = std::unique_ptr<struct statvfs, Unmap>;

SharedFigures share_figures() {
  void* const page =
      ::mmap(nullptr, sizeof(struct statvfs), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (page == MAP_FAILED) throw_errno("sharing memory with a child process");
  return SharedFigures(static_cast<struct statvfs*>(page));
}

void add_usage(grpc::VolumeStatsResponse& response, grpc::VolumeUsage::Unit unit, uint64_t total,
               uint64_t free, uint64_t available) {
  grpc::VolumeUsage& usage = *response.add_usage();
  usage.set_unit(unit);
  usage.set_total(total);
  usage.set_available(available);
  usage.set_used(total - free);
}

}  // namespace

Awaitable<grpc::VolumeStatsResponse> volume_stats(std::string path) {
  if (!path.starts_with('/') || path.find('\0') != std::string::npos)
    throw Error(Code::kInvalidArgument, "volume_guest_path \"" + path.substr(0, 300) + "\" is not absolute");
  const SharedFigures figures = share_figures();
  struct statvfs* const page = figures.get();
  auto body = [&path, page] {
    if (::statvfs(path.c_str(), page) != 0) throw_errno("asking for the size of " + path);
  };
  co_await run_in_child(std::move(body), kLimit, "volume figures");
  grpc::VolumeStatsResponse response;
  const uint64_t block = page->f_frsize;
  add_usage(response, grpc::VolumeUsage::BYTES, page->f_blocks * block, page->f_bfree * block,
            page->f_bavail * block);
  add_usage(response, grpc::VolumeUsage::INODES, page->f_files, page->f_ffree, page->f_ffree);
  response.mutable_volume_condition()->set_message("OK");
  co_return response;
}

}  // namespace kata::rpc
