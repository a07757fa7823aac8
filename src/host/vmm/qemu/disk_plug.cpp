#include "host/vmm/qemu/disk_plug.h"

#include <exception>
#include <ranges>
#include <utility>

#include <boost/asio/cancellation_state.hpp>

#include "lib/async/deadline.h"
#include "lib/error/error.h"
#include "lib/log/log.h"

namespace kata::vmm::qemu {
namespace {

// Each command is answered within milliseconds; opening a file on a slow disk may take longer.
constexpr Duration kPlugLimit = std::chrono::seconds(10);
// The guest is asked and answers, some 70 ms; a busy one takes longer.
constexpr Duration kUnplugLimit = std::chrono::seconds(10);

}  // namespace

Awaitable<> QemuDiskPlug::make(const DiskPlan& plan, Made& made) {
  QmpClient& qmp = machine_->qmp();
  for (const FdSet& set : plan.sets) {
    co_await qmp.add_to_set(set.number, set.opaque, set.fd);
    made.sets.push_back(set.number);
  }
  if (!plan.object.empty()) {
    co_await qmp.execute("object-add", plan.object);
    made.object = plan.object_id;
  }
  for (size_t i = 0; i < plan.nodes.size(); ++i) {
    co_await qmp.execute("blockdev-add", plan.nodes[i]);
    made.nodes.push_back(plan.node_names[i]);
  }
  co_await qmp.execute("device_add", plan.device);
}

Awaitable<> QemuDiskPlug::take_away(Made made) {
  const auto step = [this](const char* command, std::string arguments) -> Awaitable<> {
    try {
      co_await with_deadline(machine_->qmp().execute(command, std::move(arguments)), kPlugLimit, command);
    } catch (const Error& error) {
      log::warning("taking a disk out of QEMU", {{"step", command}, {"error", error.message()}});
    }
  };
  for (const std::string& node : std::views::reverse(made.nodes))
    co_await step("blockdev-del", R"({"node-name":)" + json_quote(node) + "}");
  if (!made.object.empty()) co_await step("object-del", json_id(made.object));
  for (const uint32_t set : std::views::reverse(made.sets))
    co_await step("remove-fd", "{\"fdset-id\":" + std::to_string(set) + "}");
}

Awaitable<> QemuDiskPlug::add_disk(DiskSpec disk) {
  const DiskPlan plan = plan_disk(disk, block_, PlugTime::kRunning);
  Made made;
  std::exception_ptr failure;
  try {
    co_await with_deadline(make(plan, made), kPlugLimit, "adding it");
  } catch (...) {
    failure = std::current_exception();
  }
  if (!failure) {
    plugged_[disk.id] = std::move(made);
    co_return;
  }
  co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
  co_await take_away(std::move(made));
  throw to_error(failure).within("plugging disk " + disk.id);
}

Awaitable<> QemuDiskPlug::add_controller(ScsiControllerSpec controller) {
  co_await with_deadline(machine_->qmp().execute("device_add", controller_json(controller, block_)),
                         kPlugLimit, "plugging SCSI controller " + controller.id);
}

Awaitable<> QemuDiskPlug::resize_disk(std::string id, uint64_t bytes) {
  co_await with_deadline(
      machine_->qmp().execute(
          "block_resize", R"({"node-name":)" + json_quote(id) + ",\"size\":" + std::to_string(bytes) + "}"),
      kPlugLimit, "resizing disk " + id);
}

Awaitable<> QemuDiskPlug::remove_disk(std::string id) {
  const auto found = plugged_.find(id);
  if (found == plugged_.end()) throw Error(Code::kNotFound, "unplugging disk " + id + ": it was not plugged");
  co_await machine_->remove_device(id, kUnplugLimit, "unplugging disk " + id);
  co_await take_away(std::move(plugged_.extract(id).mapped()));
}

}  // namespace kata::vmm::qemu
