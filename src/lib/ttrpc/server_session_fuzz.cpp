// A server session fed with arbitrary bytes in arbitrary pieces, by a shell that answers in arbitrary ways.
#include <cstdlib>
#include <string_view>
#include <unordered_set>
#include <variant>

#include "lib/ttrpc/server_session.h"
#include "lib/ttrpc/test_frames.h"

namespace kata::ttrpc {
namespace {

using MethodKind = ServerSession::MethodKind;

void require(bool truth) {
  if (!truth) std::abort();
}

MethodKind lookup(std::string_view service, std::string_view method) {
  if (service != "s") return MethodKind::kUnknownService;
  if (method == "u") return MethodKind::kUnary;
  return method == "t" ? MethodKind::kStream : MethodKind::kUnknownMethod;
}

// Reacts to an action; `choice` picks how.
class Shell {
 public:
  explicit Shell(ServerSession& session) : session_(session) {}
  void react(const ServerSession::Action& action, unsigned choice) {
    const uint32_t stream = std::visit([](const auto& value) { return value.stream; }, action);
    require(stream % 2 == 1);
    if (std::holds_alternative<ServerSession::Call>(action) ||
        std::holds_alternative<ServerSession::Open>(action)) {
      require(open_.insert(stream).second);
    } else {
      require(open_.contains(stream));
    }
    if (std::holds_alternative<ServerSession::Abort>(action)) open_.erase(stream);
    switch (choice % 6) {
      case 0:
        return ended(stream, session_.respond(stream, "answer"));
      case 1:
        return ended(stream, session_.fail(stream, Error(Code::kNotFound, "no")));
      case 2:
        return ended(stream, session_.end(stream));
      case 3:
        require(session_.send(stream, "message") == open_.contains(stream));
        return;
      default:
        return;
    }
  }

 private:
  void ended(uint32_t stream, bool done) { require(done == (open_.erase(stream) == 1)); }

  ServerSession& session_;
  std::unordered_set<uint32_t> open_;
};

}  // namespace
}  // namespace kata::ttrpc

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace kata::ttrpc;
  if (size < 2) return 0;
  ServerSession session(lookup);
  Shell shell(session);
  unsigned choice = data[0];
  const size_t chunk = data[1] % 64 + 1U;
  std::string_view bytes(reinterpret_cast<const char*>(data) + 2, size - 2);
  std::string written;
  while (!bytes.empty()) {
    std::string_view part = bytes.substr(0, chunk);
    bytes.remove_prefix(part.size());
    while (!part.empty()) {
      part.remove_prefix(session.input().feed(part));
      while (auto action = session.next()) shell.react(*action, choice = choice * 5 + 3);
    }
    written += testing_frames::drain(session.output(), data[1] + 1U);
  }
  for (const Frame& frame : testing_frames::frames(written))
    require(frame.header.type == FrameType::kResponse || frame.header.type == FrameType::kData);
  return 0;
}
