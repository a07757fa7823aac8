// Ordered, best-effort clean-up: every step runs even when an earlier one failed.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace kata {

// Runs clean-up steps in the order of the calls. A step that throws is remembered and reported to the sink at
// once, and the steps after it still run: nobody needs a chain of try blocks, and nothing is left behind
// because something else failed.
class Teardown {
 public:
  // Gets "<subject>: <step>: <error>"; the caller logs it as a warning. Must not throw.
  using Sink = std::function<void(std::string_view warning)>;

  // `subject` names what is torn down, like "sandbox 1f2e".
  Teardown(std::string subject, Sink sink);

  // Runs one step now. Returns whether it succeeded.
  bool step(std::string_view name, const std::function<void()>& body) noexcept;
  // Records a failure that a caller caught itself (a step that had to be awaited).
  void failed(std::string_view name, std::string_view reason) noexcept;

  // What failed so far, in order; empty means that all is gone.
  [[nodiscard]] const std::vector<std::string>& failures() const { return failures_; }

 private:
  std::string subject_;
  Sink sink_;
  std::vector<std::string> failures_;
};

}  // namespace kata
