#include "host/vmm/qemu/cpu_memory.h"

#include <algorithm>
#include <utility>

#include <boost/asio/cancellation_state.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>
#include <boost/json/value_to.hpp>

#include "lib/async/deadline.h"
#include "lib/error/error.h"
#include "lib/log/log.h"

namespace kata::vmm::qemu {
namespace {

namespace json = boost::json;

// QEMU answers within milliseconds; the guest's own word on a device comes when it has run its ACPI methods.
constexpr Duration kCommandLimit = std::chrono::seconds(10);
constexpr Duration kGuestLimit = std::chrono::seconds(10);
constexpr uint64_t kMib = uint64_t{1} << 20;

uint64_t round_up(uint64_t value, uint64_t step) {
  return (value + step - 1) / step * step;
}

}  // namespace

std::expected<std::vector<CpuSlot>, Error> parse_cpu_slots(const std::string& answer) {
  try {
    std::vector<CpuSlot> slots;
    for (const json::value& entry : json::parse(answer).as_array()) {
      const json::object& object = entry.as_object();
      const json::object& place = object.at("props").as_object();
      CpuSlot slot{.type = json::value_to<std::string>(object.at("type")),
                   .properties = json::serialize(place),
                   .path = {},
                   .order = {}};
      if (const json::value* path = object.if_contains("qom-path"))
        slot.path = json::value_to<std::string>(*path);
      for (const char* level : {"node-id", "socket-id", "die-id", "core-id", "thread-id"}) {
        const json::value* number = place.if_contains(level);
        slot.order.push_back(number != nullptr ? number->to_number<int64_t>() : 0);
      }
      slots.push_back(std::move(slot));
    }
    std::ranges::sort(slots, {}, &CpuSlot::order);
    return slots;
  } catch (const std::exception& error) {
    return std::unexpected(Error(Code::kDataLoss, std::string("QEMU's list of vCPU slots: ") + error.what()));
  }
}

std::expected<std::vector<pid_t>, Error> parse_cpu_threads(const std::string& answer) {
  try {
    std::vector<std::pair<int64_t, pid_t>> found;
    for (const json::value& entry : json::parse(answer).as_array()) {
      const json::object& object = entry.as_object();
      found.emplace_back(object.at("cpu-index").to_number<int64_t>(),
                         object.at("thread-id").to_number<pid_t>());
    }
    std::ranges::sort(found);
    std::vector<pid_t> threads;
    for (const auto& [index, thread] : found) threads.push_back(thread);
    return threads;
  } catch (const std::exception& error) {
    return std::unexpected(Error(Code::kDataLoss, std::string("QEMU's list of vCPUs: ") + error.what()));
  }
}

QemuCpuMemory::QemuCpuMemory(std::shared_ptr<Machine> machine, const VmSpec& spec, Accelerator accelerator)
    : machine_(std::move(machine)),
      later_cpus_(later_cpus(accelerator)),
      later_memory_(later_memory(spec)),
      shared_(spec.memory.shared),
      huge_pages_(spec.memory.huge_pages),
      balloon_(spec.memory.reclaim),
      first_{.vcpus = spec.cpu.boot, .memory_mib = spec.memory.mib},
      most_{.vcpus = most_vcpus(spec),
            .memory_mib = later_memory_ == LaterMemory::kNone ? spec.memory.mib : spec.memory.max_mib},
      now_(first_),
      plugged_mib_(spec.memory.mib),
      slots_left_(spec.memory.slots) {}

Awaitable<std::vector<CpuSlot>> QemuCpuMemory::slots() {
  const std::string answer = co_await with_deadline(machine_->qmp().execute("query-hotpluggable-cpus"),
                                                    kCommandLimit, "asking for vCPU slots");
  auto parsed = parse_cpu_slots(answer);
  if (!parsed) throw Error(parsed.error());
  co_return std::move(*parsed);
}

Awaitable<> QemuCpuMemory::plug_vcpu() {
  const std::vector<CpuSlot> all = co_await slots();
  const auto free = std::ranges::find_if(all, [](const CpuSlot& slot) { return slot.path.empty(); });
  if (free == all.end()) throw Error(Code::kResourceExhausted, "QEMU has no vCPU slot left");
  std::string id = "vcpu-" + std::to_string(next_id_++);
  const std::string arguments = R"({"driver":)" + json_quote(free->type) + R"(,"id":)" + json_quote(id) +
                                (free->properties.size() > 2 ? "," : "") + free->properties.substr(1);
  co_await with_deadline(machine_->qmp().execute("device_add", arguments), kCommandLimit, "plugging a vCPU");
  cpu_ids_.push_back(std::move(id));
  ++now_.vcpus;
}

Awaitable<> QemuCpuMemory::unplug_vcpu() {
  const std::string id = cpu_ids_.back();
  co_await machine_->remove_device(id, kGuestLimit, "taking back vCPU " + id);
  cpu_ids_.pop_back();
  --now_.vcpus;
}

Awaitable<> QemuCpuMemory::set_vcpus(uint32_t wanted) {
  if (wanted < first_.vcpus)
    throw Error(Code::kInvalidArgument, "a VM that was started with " + std::to_string(first_.vcpus) +
                                            " vCPUs cannot have " + std::to_string(wanted));
  if (wanted > most_.vcpus)
    throw Error(Code::kResourceExhausted, std::to_string(wanted) + " vCPUs wanted, the VM can have at most " +
                                              std::to_string(most_.vcpus) +
                                              " (hypervisor.qemu.default_maxvcpus)");
  if (later_cpus_ == LaterCpus::kOffline) {
    // They are all there: the guest sets them online.
    now_.vcpus = wanted;
    co_return;
  }
  while (now_.vcpus < wanted) co_await plug_vcpu();
  while (now_.vcpus > wanted && !cpu_ids_.empty()) co_await unplug_vcpu();
}

Awaitable<> QemuCpuMemory::plug_dimm(uint64_t mib) {
  if (slots_left_ == 0)
    throw Error(Code::kResourceExhausted, "no memory slot left for " + std::to_string(mib) +
                                              " MiB more (hypervisor.qemu.memory_slots)");
  const std::string number = std::to_string(next_id_++);
  const std::string backend = "memory-" + number, device = "dimm-" + number;
  const char* const type = shared_ || huge_pages_ ? "memory-backend-memfd" : "memory-backend-ram";
  std::string object = R"({"qom-type":")" + std::string(type) + R"(","id":")" + backend + R"(","size":)" +
                       std::to_string(mib * kMib);
  if (shared_) object += R"(,"share":true)";
  if (huge_pages_) object += R"(,"hugetlb":true)";
  object += "}";
  const std::string what = "plugging " + std::to_string(mib) + " MiB of memory";
  QmpClient& qmp = machine_->qmp();
  co_await with_deadline(qmp.execute("object-add", object), kCommandLimit, what);
  std::exception_ptr failure;
  const std::shared_ptr<Machine::GuestWord> word = machine_->guest_word(device);
  try {
    co_await with_deadline(qmp.execute("device_add", R"({"driver":"pc-dimm","id":")" + device +
                                                         R"(","memdev":")" + backend + R"("})"),
                           kCommandLimit, what);
  } catch (...) {
    failure = std::current_exception();
  }
  if (failure) {
    co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
    try {
      co_await with_deadline(qmp.execute("object-del", json_id(backend)), kCommandLimit, what);
    } catch (const Error& error) {
      log::warning("taking back memory that could not be plugged", {{"error", error.message()}});
    }
    std::rethrow_exception(failure);
  }
  --slots_left_;
  plugged_mib_ += mib;
  now_.memory_mib += mib;
  bool taken = true;
  try {
    co_await with_deadline(word->said.wait(), kGuestLimit, what);
    taken = word->status == 0;
  } catch (const Error&) {
    taken = false;
  }
  // It is the VM's now and would be once more if it were plugged again.
  if (!taken) log::warning("the guest has not taken memory that was plugged", {{"MiB", std::to_string(mib)}});
}

Awaitable<> QemuCpuMemory::request_virtio_mem(uint64_t mib) {
  const std::string arguments =
      R"({"path":"/machine/peripheral/virtiomem0","property":"requested-size","value":)" +
      std::to_string(mib * kMib) + "}";
  co_await with_deadline(
      machine_->qmp().execute("qom-set", arguments), kCommandLimit,
      "asking the guest to have " + std::to_string(mib) + " MiB more than it started with");
  plugged_mib_ = first_.memory_mib + mib;
  now_.memory_mib = plugged_mib_;
}

Awaitable<> QemuCpuMemory::inflate_to(uint64_t mib) {
  if (!balloon_) co_return;
  co_await with_deadline(
      machine_->qmp().execute("balloon", R"({"value":)" + std::to_string(mib * kMib) + "}"), kCommandLimit,
      "asking the guest to use only " + std::to_string(mib) + " MiB");
  now_.memory_mib = mib;
}

Awaitable<> QemuCpuMemory::set_memory(uint64_t wanted_mib) {
  const uint64_t step = later_memory_ == LaterMemory::kVirtioMem ? kVirtioMemStepMib : kDimmStepMib;
  const uint64_t base = first_.memory_mib;
  const uint64_t wanted = wanted_mib <= base ? base : base + round_up(wanted_mib - base, step);
  if (wanted > most_.memory_mib)
    throw Error(Code::kResourceExhausted,
                std::to_string(wanted) + " MiB of memory wanted, the VM can have at most " +
                    std::to_string(most_.memory_mib) + " (hypervisor.qemu.default_maxmemory)");
  if (wanted == now_.memory_mib) co_return;
  if (later_memory_ == LaterMemory::kVirtioMem) {
    co_await request_virtio_mem(wanted - base);
    co_return;
  }
  // DIMMs stay: the guest could not give them back whole. What is too much is left to the node by the
  // balloon.
  if (wanted > plugged_mib_) co_await plug_dimm(wanted - plugged_mib_);
  if (wanted != now_.memory_mib) co_await inflate_to(wanted);
}

Awaitable<std::vector<pid_t>> QemuCpuMemory::vcpu_threads() {
  const std::string answer = co_await with_deadline(machine_->qmp().execute("query-cpus-fast"), kCommandLimit,
                                                    "asking for the vCPUs' threads");
  auto parsed = parse_cpu_threads(answer);
  if (!parsed) throw Error(parsed.error());
  co_return std::move(*parsed);
}

}  // namespace kata::vmm::qemu
