// What the libraries of the agent bring along and the agent never uses, replaced at link time: a definition
// here keeps theirs out of the static program. Together they are a sixth of the file, and the standard
// streams with their locales would be built at each start of the agent and of each container's init stage.
// The linker reports a duplicate symbol should a library need more of its own object than is replaced here.
#include <cstdint>
#include <cstdlib>
#include <exception>
#include <ios>
#include <string>

#include <google/protobuf/stubs/common.h>
#include <google/protobuf/stubs/logging.h>
#include <netdb.h>
#include <unistd.h>

// Headers of protobuf include <iostream>, whose every user would construct std::cin, std::cout and their
// like.
std::ios_base::Init::Init() {}
std::ios_base::Init::~Init() {}

// The default prints the demangled name of the exception's type; main() lets none out.
namespace __gnu_cxx {
void __verbose_terminate_handler();
void __verbose_terminate_handler() {
  constexpr char kText[] = "kata-agent: terminate called\n";
  [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, kText, sizeof kText - 1);
  std::abort();
}
}  // namespace __gnu_cxx

// The agent resolves no names; Asio's code for it would bring NSS, DNS and the loader of shared libraries.
extern "C" {
int getaddrinfo(const char* /*node*/, const char* /*service*/, const addrinfo* /*hints*/,
                addrinfo** /*out*/) {
  return EAI_FAIL;
}
void freeaddrinfo(addrinfo* /*list*/) noexcept {}
int getnameinfo(const sockaddr* /*address*/, socklen_t /*length*/, char* /*node*/, socklen_t /*node_size*/,
                char* /*service*/, socklen_t /*service_size*/, int /*flags*/) {
  return EAI_FAIL;
}
}

// protobuf's log prints to stderr through string streams. Only broken invariants of the library reach it:
// said, and for the fatal ones the end.
namespace google::protobuf {

uint32_t ghtonl(uint32_t value) {
  return __builtin_bswap32(value);
}

namespace internal {

LogMessage::LogMessage(LogLevel level, const char* file, int line)
    : level_(level), filename_(file), line_(line) {}
LogMessage::~LogMessage() = default;
LogMessage& LogMessage::operator<<(const std::string& value) {
  message_ += value;
  return *this;
}
LogMessage& LogMessage::operator<<(const char* value) {
  return *this << std::string(value);
}
LogMessage& LogMessage::operator<<(const StringPiece& value) {
  return *this << std::string(value.data(), value.size());
}
LogMessage& LogMessage::operator<<(char value) {
  return *this << std::string(1, value);
}
LogMessage& LogMessage::operator<<(int value) {
  return *this << std::to_string(value);
}
LogMessage& LogMessage::operator<<(unsigned int value) {
  return *this << std::to_string(value);
}
LogMessage& LogMessage::operator<<(long value) {
  return *this << std::to_string(value);
}
LogMessage& LogMessage::operator<<(unsigned long value) {
  return *this << std::to_string(value);
}
LogMessage& LogMessage::operator<<(long long value) {
  return *this << std::to_string(value);
}
LogMessage& LogMessage::operator<<(unsigned long long value) {
  return *this << std::to_string(value);
}
LogMessage& LogMessage::operator<<(double value) {
  return *this << std::to_string(static_cast<long long>(value));
}
LogMessage& LogMessage::operator<<(void* /*value*/) {
  return *this << "a pointer";
}
LogMessage& LogMessage::operator<<(const uint128& /*value*/) {
  return *this << "a large number";
}
LogMessage& LogMessage::operator<<(const util::Status& /*value*/) {
  return *this << "a status";
}
void LogMessage::Finish() {
  const std::string text =
      "protobuf " + std::string(filename_) + ":" + std::to_string(line_) + ": " + message_ + "\n";
  [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, text.data(), text.size());
  if (level_ == LOGLEVEL_FATAL) std::abort();
}
void LogFinisher::operator=(LogMessage& message) {
  message.Finish();
}
// Headers and archive are of one package, linked statically.
void VerifyVersion(int /*header*/, int /*minimum*/, const char* /*file*/) {}

}  // namespace internal
}  // namespace google::protobuf
