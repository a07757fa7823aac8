// The project's one exception type and the codes it carries.
//
// A code is a gRPC status code (ttrpc-wire facts, section 2), because every error of ours ends at an RPC
// boundary: containerd decides by the code, people by the message. Layers that know more add what they tried
// and on which id.
#pragma once

#include <exception>
#include <string>
#include <string_view>
#include <system_error>

namespace kata {

enum class Code : int {
  kOk = 0,
  kCancelled = 1,
  kUnknown = 2,
  kInvalidArgument = 3,
  kDeadlineExceeded = 4,
  kNotFound = 5,
  kAlreadyExists = 6,
  kPermissionDenied = 7,
  kResourceExhausted = 8,
  kFailedPrecondition = 9,
  kAborted = 10,
  kOutOfRange = 11,
  kUnimplemented = 12,
  kInternal = 13,
  kUnavailable = 14,
  kDataLoss = 15,
  kUnauthenticated = 16,
};

// "NOT_FOUND" for kNotFound; "CODE_99" for a number that is no status code.
std::string code_name(Code code);

class Error : public std::exception {
 public:
  // The message says what was tried, on what, and what came of it; no trailing period.
  Error(Code code, std::string message);

  // An operating system error: the code follows from errno (errno_code), the message ends with its text.
  // `tried` reads like "mounting tmpfs on /run/x".
  static Error from_errno(int errno_value, std::string_view tried);

  [[nodiscard]] Code code() const noexcept { return code_; }
  [[nodiscard]] const std::string& message() const noexcept { return message_; }
  // errno of the operating system call at the root, 0 if there was none. Kept through every added context.
  [[nodiscard]] int errno_value() const noexcept { return errno_; }
  [[nodiscard]] const char* what() const noexcept override { return message_.c_str(); }

  // The same error with "context: " in front of its message.
  [[nodiscard]] Error within(std::string_view context) const;
  // The same error under another code.
  [[nodiscard]] Error as(Code code) const;

 private:
  Code code_;
  int errno_ = 0;
  std::string message_;
};

// ENOENT → kNotFound, EEXIST → kAlreadyExists, EPERM and EACCES → kPermissionDenied, and so on; anything else
// kInternal.
Code errno_code(int errno_value) noexcept;

// Throws from_errno(errno, tried): call it directly after the failed call.
[[noreturn]] void throw_errno(std::string_view tried);

// Any exception as an Error: an Error stays, a std::system_error keeps its errno, anything else becomes
// kInternal.
Error to_error(std::exception_ptr exception);

// Runs `body`; an exception that leaves it gets "context: " in front and stays the same error otherwise.
template <typename Body>
decltype(auto) with_context(std::string_view context, Body&& body) {
  try {
    return body();
  } catch (...) {
    throw to_error(std::current_exception()).within(context);
  }
}

}  // namespace kata
