// tmpfs and hugetlbfs of the guest's own memory.
#include <cstdlib>

#include "guest/storage/handlers.h"
#include "guest/storage/mount_step.h"
#include "lib/error/error.h"
#include "lib/fd/io.h"

namespace kata::storage {
namespace {

constexpr std::string_view kHugetlbfs = "hugetlbfs";
constexpr std::string_view kPools = "/sys/kernel/mm/hugepages";

std::string required(const Storage& storage, std::string_view name) {
  auto value = option_value(storage.options, name);
  if (!value) {
    throw Error(Code::kInvalidArgument, "hugetlbfs storage " + storage.mount_point + ": option " +
                                            std::string(name) + "= is missing");
  }
  return std::move(*value);
}

// Grows the pool of this page size by what the mount may use, and checks that the kernel could.
void reserve_hugepages(const Storage& storage) {
  const uint64_t page = parse_number(required(storage, "pagesize"), 10, "pagesize");
  const uint64_t size = parse_number(required(storage, "size"), 10, "size");
  if (page < 1024 || size < page) {
    throw Error(Code::kInvalidArgument, "hugetlbfs storage " + storage.mount_point +
                                            ": options pagesize= and size= do not fit together");
  }
  const std::string file =
      std::string(kPools) + "/hugepages-" + std::to_string(page / 1024) + "kB/nr_hugepages";
  const uint64_t wanted = size / page;
  with_context("reserving " + std::to_string(wanted) + " huge pages",
               [&] { write_existing(file, std::to_string(wanted)); });
  const uint64_t got = std::strtoull(read_file(file, 64).c_str(), nullptr, 10);
  if (got < wanted) {
    throw Error(Code::kResourceExhausted, "reserving " + std::to_string(wanted) + " huge pages of " +
                                              std::to_string(page) + " bytes: the guest has memory for " +
                                              std::to_string(got));
  }
}

}  // namespace

Awaitable<> attach_ephemeral(const Storage& storage, const Context&, Attached& made) {
  if (storage.fstype == kHugetlbfs) reserve_hugepages(storage);
  make_directories(storage.mount_point, made);
  const auto gid = option_value(storage.options, "fsgid");
  co_await mount_storage(storage, storage.source, without_option(storage.options, "fsgid"), made);
  if (gid) apply_fsgid(storage.mount_point, *gid);
}

Awaitable<> remount_ephemeral(Storage storage) {
  if (storage.driver != "ephemeral") {
    throw Error(Code::kInvalidArgument,
                "storage driver " + storage.driver + ": only ephemeral storages can be updated");
  }
  std::vector<std::string> options = without_option(storage.options, "fsgid");
  options.emplace_back("remount");
  Attached ignored;
  co_await mount_storage(storage, storage.source, options, ignored);
}

}  // namespace kata::storage
