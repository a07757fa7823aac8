#include "lib/error/teardown.h"

#include <exception>
#include <utility>

#include "lib/error/error.h"

namespace kata {

Teardown::Teardown(std::string subject, Sink sink) : subject_(std::move(subject)), sink_(std::move(sink)) {}

bool Teardown::step(std::string_view name, const std::function<void()>& body) noexcept {
  try {
    body();
    return true;
  } catch (...) {
    failed(name, to_error(std::current_exception()).message());
    return false;
  }
}

void Teardown::failed(std::string_view name, std::string_view reason) noexcept {
  try {
    std::string warning = subject_;
    warning.append(": ").append(name).append(": ").append(reason);
    if (sink_) sink_(warning);
    failures_.push_back(std::move(warning));
  } catch (...) {
    // Only memory can fail here, and the remaining steps matter more than their report.
    return;
  }
}

}  // namespace kata
