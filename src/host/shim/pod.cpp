#include "host/shim/pod.h"

#include <utility>

#include <boost/asio/redirect_error.hpp>

#include "host/config/derived.h"
#include "lib/error/error.h"
#include "lib/log/log.h"

namespace kata::shim {
namespace {

void apply_log_level(const config::Config& config) {
  log::Level level = log::Level::kInfo;
  log::parse_level(config::log_levels(config).runtime, level);
  // What containerd asked for with -debug stays.
  if (log::level() == log::Level::kInfo || level < log::level()) log::set_level(level);
}

// Counts an operation while it lives and tells who waits for the last one to end.
class Counted {
 public:
  Counted(size_t& count, asio::steady_timer& changed) : count_(count), changed_(changed) { ++count_; }
  Counted(const Counted&) = delete;
  Counted& operator=(const Counted&) = delete;
  ~Counted() {
    if (--count_ == 0) changed_.cancel();
  }

 private:
  size_t& count_;
  asio::steady_timer& changed_;
};

Awaitable<> until_zero(const size_t& count, asio::steady_timer& changed) {
  while (count != 0) {
    boost::system::error_code woken;
    co_await changed.async_wait(asio::redirect_error(asio::use_awaitable, woken));
    const auto state = co_await asio::this_coro::cancellation_state;
    if (state.cancelled() != asio::cancellation_type::none)
      throw Error(Code::kCancelled, "the call was cancelled");
  }
}

}  // namespace

Pod::Pod(Parts parts) : parts_(std::move(parts)), changed_(parts_.executor, TimePoint::max()) {}

std::shared_ptr<sandbox::Sandbox> Pod::make(const config::LoadRequest& where) {
  sandbox::SandboxConfig config;
  config.id = parts_.id;
  config.containerd_namespace = parts_.containerd_namespace;
  config.config = with_context("loading the configuration", [&] { return parts_.load_config(where); });
  apply_log_level(config.config);
  for (const std::string& warning : config.config.warnings) log::warning(warning);
  return parts_.make_sandbox(parts_.executor, std::move(config), parts_.events);
}

Awaitable<uint32_t> Pod::create_container(sandbox::ContainerRequest request, config::LoadRequest where) {
  const Counted counted(creating_, changed_);
  co_await until_zero(stopping_, changed_);
  if (!sandbox_) sandbox_ = make(where);
  const std::shared_ptr<sandbox::Sandbox> sandbox = sandbox_;
  std::exception_ptr failed;
  try {
    const uint32_t pid = co_await sandbox->create_container(std::move(request));
    if (sandbox == sandbox_) open_management();
    co_return pid;
  } catch (...) {
    failed = std::current_exception();
  }
  if (creating_ == 1 && sandbox == sandbox_ && empty()) co_await stop();
  std::rethrow_exception(failed);
}

Awaitable<uint32_t> Pod::boot(oci::Spec pod, config::LoadRequest where) {
  const Counted counted(creating_, changed_);
  co_await until_zero(stopping_, changed_);
  if (sandbox_) throw Error(Code::kAlreadyExists, "sandbox " + parts_.id + " runs already");
  sandbox_ = make(where);
  held_ = true;
  const std::shared_ptr<sandbox::Sandbox> sandbox = sandbox_;
  std::exception_ptr failed;
  try {
    const uint32_t pid = co_await sandbox->boot_empty(std::move(pod));
    if (sandbox == sandbox_) open_management();
    co_return pid;
  } catch (...) {
    failed = std::current_exception();
  }
  if (sandbox == sandbox_) co_await stop();
  std::rethrow_exception(failed);
}

Awaitable<> Pod::end() {
  const std::shared_ptr<sandbox::Sandbox> sandbox = sandbox_;
  if (sandbox) co_await sandbox->stop();
}

// The sandbox has made its run folder by now.
void Pod::open_management() {
  if (management_ || parts_.monitor_socket.empty()) return;
  try {
    management_ = std::make_shared<ManagementServer>(
        parts_.executor, parts_.monitor_socket,
        ManagementServer::Source{.sandbox = [weak = std::weak_ptr(sandbox_)] { return weak.lock(); },
                                 .own_metrics = parts_.own_metrics});
  } catch (const Error& error) {
    log::warning("the sandbox has no management socket", {{"error", error.message()}});
  }
}

std::shared_ptr<sandbox::Sandbox> Pod::sandbox_of(const std::string& container_id) const {
  if (!sandbox_) {
    throw Error(Code::kNotFound,
                "container " + container_id + " not found: sandbox " + parts_.id + " has no containers");
  }
  return sandbox_;
}

Awaitable<> Pod::creates_done() {
  co_await until_zero(creating_, changed_);
}

bool Pod::empty() const {
  return !sandbox_ || (!held_ && sandbox_->containers().empty());
}

Awaitable<> Pod::stop() {
  const std::shared_ptr<sandbox::Sandbox> sandbox = std::exchange(sandbox_, nullptr);
  if (!sandbox) {
    co_await until_zero(stopping_, changed_);
    co_return;
  }
  const Counted counted(stopping_, changed_);
  held_ = false;
  const std::shared_ptr<ManagementServer> management = std::exchange(management_, nullptr);
  try {
    if (management) co_await management->stop();
    co_await sandbox->stop();
  } catch (...) {
    log::warning("stopping the sandbox failed", {{"error", to_error(std::current_exception()).message()}});
  }
}

}  // namespace kata::shim
