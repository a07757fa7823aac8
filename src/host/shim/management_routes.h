// What the management socket answers, apart from HTTP itself (facts: containerd-shim-api, section 16).
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "host/sandbox/sandbox.h"
#include "lib/async/awaitable.h"

namespace kata::shim {

struct ManagementRequest {
  std::string method;
  // As it stands in the request line.
  std::string target;
  std::string body;
};

struct HttpAnswer {
  unsigned status = 200;
  std::string body;
  std::string type = "text/plain; charset=utf-8";
};

// The shim's own part of /metrics besides what /proc tells; empty = none.
using OwnMetrics = std::function<std::string()>;

// Never throws: a failure is an answer. A null sandbox has no VM yet.
Awaitable<HttpAnswer> answer_management(std::shared_ptr<sandbox::Sandbox> sandbox, ManagementRequest request,
                                        OwnMetrics own_metrics = nullptr);

}  // namespace kata::shim
