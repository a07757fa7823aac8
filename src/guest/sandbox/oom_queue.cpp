#include "guest/sandbox/oom_queue.h"

#include <algorithm>

#include "lib/error/error.h"

namespace kata::sandbox {
namespace {

constexpr size_t kLimit = 1024;

struct Asking {
  explicit Asking(size_t& number) : count(number) { ++count; }
  ~Asking() { --count; }
  Asking(const Asking&) = delete;
  Asking& operator=(const Asking&) = delete;
  size_t& count;
};

}  // namespace

OomQueue::OomQueue(asio::any_io_executor executor)
    : executor_(std::move(executor)), changed_(std::make_shared<Event>(executor_)) {}

void OomQueue::wake() {
  const auto before = std::exchange(changed_, std::make_shared<Event>(executor_));
  before->set();
}

void OomQueue::push(const std::string& container_id) {
  if (events_.size() >= kLimit && std::ranges::find(events_, container_id) != events_.end()) return;
  events_.push_back(container_id);
  wake();
}

Awaitable<std::string> OomQueue::next() {
  const Asking asking(asking_);
  while (events_.empty()) {
    if (closed_) throw Error(Code::kUnavailable, "waiting for an OOM event: the sandbox ends");
    const auto changed = changed_;
    co_await changed->wait();
  }
  std::string id = std::move(events_.front());
  events_.pop_front();
  wake();
  co_return id;
}

Awaitable<> OomQueue::handed_over() {
  while (!events_.empty() && asking_ > 0 && !closed_) {
    const auto changed = changed_;
    co_await changed->wait();
  }
}

void OomQueue::close() {
  closed_ = true;
  wake();
}

}  // namespace kata::sandbox
