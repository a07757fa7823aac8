#include "lib/error/error.h"

#include <array>
#include <cerrno>
#include <cstring>
#include <new>
#include <utility>

#include <boost/system/system_error.hpp>

namespace kata {

std::string code_name(Code code) {
  static constexpr std::array<std::string_view, 17> kNames = {
      "OK",        "CANCELLED",      "UNKNOWN",           "INVALID_ARGUMENT",   "DEADLINE_EXCEEDED",
      "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION",
      "ABORTED",   "OUT_OF_RANGE",   "UNIMPLEMENTED",     "INTERNAL",           "UNAVAILABLE",
      "DATA_LOSS", "UNAUTHENTICATED"};
  const auto index = static_cast<size_t>(code);
  return index < kNames.size() ? std::string(kNames[index])
                               : "CODE_" + std::to_string(static_cast<int>(code));
}

Error::Error(Code code, std::string message) : code_(code), message_(std::move(message)) {}

Error Error::from_errno(int errno_value, std::string_view tried) {
  Error error(errno_code(errno_value),
              std::string(tried) + ": " + std::generic_category().message(errno_value));
  error.errno_ = errno_value;
  return error;
}

Error Error::within(std::string_view context) const {
  Error error(code_, std::string(context) + ": " + message_);
  error.errno_ = errno_;
  return error;
}

Error Error::as(Code code) const {
  Error error = *this;
  error.code_ = code;
  return error;
}

Code errno_code(int errno_value) noexcept {
  switch (errno_value) {
    case 0:
      return Code::kOk;
    case ENOENT:
    case ESRCH:
      return Code::kNotFound;
    case EEXIST:
      return Code::kAlreadyExists;
    case EPERM:
    case EACCES:
      return Code::kPermissionDenied;
    case EINVAL:
    case ENAMETOOLONG:
    case ENOTDIR:
    case EISDIR:
    case ELOOP:
      return Code::kInvalidArgument;
    case ENOMEM:
    case ENOSPC:
    case EMFILE:
    case ENFILE:
    case EDQUOT:
      return Code::kResourceExhausted;
    case EBUSY:
    case ENOTEMPTY:
      return Code::kFailedPrecondition;
    case ETIMEDOUT:
    case ETIME:
      return Code::kDeadlineExceeded;
    case ECANCELED:
      return Code::kCancelled;
    case ENOSYS:
    case EOPNOTSUPP:
      return Code::kUnimplemented;
    case ECONNREFUSED:
    case ECONNRESET:
    case EPIPE:
    case ENOTCONN:
      return Code::kUnavailable;
    default:
      return Code::kInternal;
  }
}

void throw_errno(std::string_view tried) {
  throw Error::from_errno(errno, tried);
}

Error to_error(std::exception_ptr exception) {
  try {
    std::rethrow_exception(std::move(exception));
  } catch (const Error& error) {
    return error;
  } catch (const std::system_error& error) {
    const auto& category = error.code().category();
    if (category == std::system_category() || category == std::generic_category()) {
      Error converted = Error::from_errno(error.code().value(), "system call");
      return converted;
    }
    return {Code::kInternal, error.what()};
  } catch (const boost::system::system_error& error) {
    // Its own text names a line of Boost's, too.
    if (error.code().category() == boost::system::system_category())
      return Error::from_errno(error.code().value(), "system call");
    return {Code::kInternal, error.code().message()};
  } catch (const std::bad_alloc&) {
    return {Code::kResourceExhausted, "out of memory"};
  } catch (const std::exception& error) {
    return {Code::kInternal, error.what()};
  } catch (...) {
    return {Code::kInternal, "exception of an unknown type"};
  }
}

}  // namespace kata
