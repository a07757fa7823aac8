#include "host/shim/management_routes.h"

#include <array>
#include <exception>
#include <optional>
#include <string_view>
#include <utility>

#include <unistd.h>

#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>

#include "host/shim/process_metrics.h"
#include "lib/async/deadline.h"
#include "lib/error/error.h"
#include "lib/log/log.h"

namespace kata::shim {
namespace {

namespace json = boost::json;
using IpVersion = sandbox::Sandbox::IpVersion;
using SandboxPtr = std::shared_ptr<sandbox::Sandbox>;

// The guest's share of /metrics.
constexpr Duration kGuestLimit = std::chrono::seconds(2);
// What is asked of the guest otherwise: below the limit of a whole request.
constexpr Duration kCallLimit = std::chrono::seconds(8);
constexpr size_t kLongestPath = 4096;

// Empty when the guest does not answer: the host's own figures are worth having then all the more.
Awaitable<std::string> guest_metrics(const std::shared_ptr<sandbox::Sandbox>& sandbox) {
  std::exception_ptr failed;
  try {
    co_return co_await with_deadline(sandbox->agent_metrics(), kGuestLimit, "metrics of the guest");
  } catch (...) {
    failed = std::current_exception();
  }
  log::debug("the guest's metrics are left out", {{"error", to_error(failed).message()}});
  co_return std::string();
}

Awaitable<HttpAnswer> metrics(std::shared_ptr<sandbox::Sandbox> sandbox, OwnMetrics own_metrics) {
  HttpAnswer answer;
  if (sandbox) {
    answer.body = co_await guest_metrics(sandbox);
    if (!answer.body.empty() && !answer.body.ends_with('\n')) answer.body.push_back('\n');
    if (sandbox->pid() != 0)
      answer.body += process_metrics("kata_hypervisor", static_cast<pid_t>(sandbox->pid()));
  }
  answer.body += process_metrics("kata_shim", ::getpid());
  if (own_metrics) answer.body += own_metrics();
  if (sandbox) answer.body += sandbox->agent_latencies();
  co_return answer;
}

HttpAnswer agent_url(const std::shared_ptr<sandbox::Sandbox>& sandbox) {
  std::string url = sandbox ? sandbox->agent_url() : std::string();
  if (url.empty()) return {503, "the sandbox has no VM yet\n"};
  return {200, std::move(url)};
}

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

std::optional<std::string> percent_decoded(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out.push_back(text[i] == '+' ? ' ' : text[i]);
      continue;
    }
    const int high = i + 2 < text.size() ? hex_digit(text[i + 1]) : -1;
    const int low = i + 2 < text.size() ? hex_digit(text[i + 2]) : -1;
    if (high < 0 || low < 0) return std::nullopt;
    out.push_back(static_cast<char>(high * 16 + low));
    i += 2;
  }
  return out;
}

// The value of a parameter of the target; kInvalidArgument when it is missing or not encoded.
std::string parameter(std::string_view target, std::string_view name) {
  const size_t query = target.find('?');
  std::string_view rest = query == std::string_view::npos ? std::string_view() : target.substr(query + 1);
  while (!rest.empty()) {
    const std::string_view part = rest.substr(0, rest.find('&'));
    rest.remove_prefix(std::min(part.size() + 1, rest.size()));
    if (!part.starts_with(name) || part.substr(name.size(), 1) != "=") continue;
    if (auto value = percent_decoded(part.substr(name.size() + 1))) return *std::move(value);
  }
  throw Error(Code::kInvalidArgument, "the parameter " + std::string(name) + " is missing");
}

// A volume's path goes to the guest: nothing but an absolute path that stays where it says.
std::string checked_path(std::string path) {
  const std::string framed = path + "/";
  if (!path.starts_with('/') || path.size() > kLongestPath || path.find('\0') != std::string::npos ||
      framed.find("/../") != std::string::npos)
    throw Error(Code::kInvalidArgument, "the volume's path is not an absolute path without ..");
  return path;
}

std::string not_empty(std::string body, std::string_view what) {
  if (body.empty()) throw Error(Code::kInvalidArgument, "the request has no body: " + std::string(what));
  return body;
}

// --- the routes: each is called with a sandbox that has been made

Awaitable<HttpAnswer> get_tables(SandboxPtr sandbox, IpVersion version) {
  HttpAnswer answer;
  answer.body = co_await sandbox->ip_tables(version);
  co_return answer;
}

Awaitable<HttpAnswer> set_tables(SandboxPtr sandbox, IpVersion version, std::string rules) {
  HttpAnswer answer;
  answer.body = co_await sandbox->set_ip_tables(version, not_empty(std::move(rules), "the rules"));
  co_return answer;
}

Awaitable<HttpAnswer> set_policy(SandboxPtr sandbox, std::string policy) {
  co_await sandbox->set_policy(not_empty(std::move(policy), "the policy"));
  co_return HttpAnswer{};
}

Awaitable<HttpAnswer> volume_stats(SandboxPtr sandbox, std::string target) {
  const auto usage = co_await sandbox->volume_stats(checked_path(parameter(target, "path")));
  json::array entries;
  for (const agent::VolumeUsage& entry : usage) {
    entries.push_back(json::object{{"available", entry.available},
                                   {"total", entry.total},
                                   {"used", entry.used},
                                   {"unit", static_cast<int>(entry.unit)}});
  }
  const json::object root{{"usage", std::move(entries)},
                          {"volume_condition", json::object{{"abnormal", false}, {"message", ""}}}};
  HttpAnswer answer;
  answer.body = json::serialize(root);
  answer.type = "application/json";
  co_return answer;
}

Awaitable<HttpAnswer> resize_volume(SandboxPtr sandbox, std::string body) {
  boost::system::error_code failed;
  const json::value value = json::parse(body, failed);
  const json::object* const root = failed ? nullptr : value.if_object();
  const json::value* const path = root != nullptr ? root->if_contains("volume_guest_path") : nullptr;
  const json::value* const size = root != nullptr ? root->if_contains("size") : nullptr;
  const bool sized = size != nullptr && (size->is_uint64() || (size->is_int64() && size->get_int64() > 0));
  if (path == nullptr || !path->is_string() || !sized)
    throw Error(Code::kInvalidArgument,
                R"(the body is not {"volume_guest_path": "/...", "size": a number of bytes})");
  std::string volume = checked_path(std::string(path->get_string()));
  co_await sandbox->resize_volume(std::move(volume), size->to_number<uint64_t>());
  co_return HttpAnswer{};
}

struct Route {
  std::string_view path;
  // Methods that it takes, between spaces.
  std::string_view methods;
  // Null: answered without asking the guest.
  Awaitable<HttpAnswer> (*answer)(SandboxPtr, ManagementRequest);
};

Awaitable<HttpAnswer> tables(SandboxPtr sandbox, ManagementRequest request) {
  const IpVersion version = request.target.starts_with("/ip6") ? IpVersion::kV6 : IpVersion::kV4;
  return request.method == "GET" ? get_tables(std::move(sandbox), version)
                                 : set_tables(std::move(sandbox), version, std::move(request.body));
}

constexpr std::array kRoutes = {
    Route{"/metrics", " GET ", nullptr},
    Route{"/agent-url", " GET ", nullptr},
    Route{"/iptables", " GET PUT ", tables},
    Route{"/ip6tables", " GET PUT ", tables},
    Route{"/policy", " PUT ",
          [](SandboxPtr sandbox, ManagementRequest request) {
            return set_policy(std::move(sandbox), std::move(request.body));
          }},
    // Clients are at odds about the method.
    Route{"/direct-volume/stats", " GET POST ",
          [](SandboxPtr sandbox, ManagementRequest request) {
            return volume_stats(std::move(sandbox), std::move(request.target));
          }},
    Route{"/direct-volume/resize", " POST ",
          [](SandboxPtr sandbox, ManagementRequest request) {
            return resize_volume(std::move(sandbox), std::move(request.body));
          }},
};

unsigned status_of(Code code) {
  switch (code) {
    case Code::kInvalidArgument:
    case Code::kOutOfRange:
      return 400;
    case Code::kPermissionDenied:
      return 403;
    case Code::kNotFound:
      return 404;
    case Code::kAlreadyExists:
    case Code::kFailedPrecondition:
      return 409;
    case Code::kUnimplemented:
      return 501;
    case Code::kUnavailable:
      return 503;
    case Code::kDeadlineExceeded:
      return 504;
    default:
      return 500;
  }
}

}  // namespace

Awaitable<HttpAnswer> answer_management(SandboxPtr sandbox, ManagementRequest request,
                                        OwnMetrics own_metrics) {
  const std::string path = request.target.substr(0, request.target.find('?'));
  const auto* const route = std::ranges::find(kRoutes, path, &Route::path);
  if (route == kRoutes.end()) co_return HttpAnswer{.status = 404, .body = "URL NOT FOUND"};
  if (request.method.empty() || route->methods.find(" " + request.method + " ") == std::string_view::npos)
    co_return HttpAnswer{.status = 405, .body = "possible here:" + std::string(route->methods) + "\n"};
  if (path == "/agent-url") co_return agent_url(sandbox);
  if (path == "/metrics") co_return co_await metrics(std::move(sandbox), std::move(own_metrics));
  if (!sandbox) co_return HttpAnswer{.status = 503, .body = "the sandbox has no VM yet\n"};
  std::exception_ptr failed;
  try {
    co_return co_await with_deadline(route->answer(std::move(sandbox), std::move(request)), kCallLimit,
                                     "the guest's answer");
  } catch (...) {
    failed = std::current_exception();
  }
  const Error error = to_error(failed);
  log::info("a management request failed", {{"path", path}, {"error", error.message()}});
  co_return HttpAnswer{.status = status_of(error.code()), .body = error.message() + "\n"};
}

}  // namespace kata::shim
