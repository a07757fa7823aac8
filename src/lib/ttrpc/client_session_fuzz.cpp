// A client session with open calls and streams, fed with arbitrary bytes in arbitrary pieces.
#include <cstdlib>
#include <string_view>
#include <unordered_set>
#include <variant>

#include "lib/ttrpc/client_session.h"

namespace kata::ttrpc {
namespace {

void require(bool truth) {
  if (!truth) std::abort();
}

}  // namespace
}  // namespace kata::ttrpc

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace kata::ttrpc;
  if (size < 2) return 0;
  ClientSession session;
  std::unordered_set<uint32_t> waiting;
  for (int i = 0; i < 4; ++i) {
    for (const auto kind : {ClientSession::Kind::kUnary, ClientSession::Kind::kBidirectional,
                            ClientSession::Kind::kServerStream})
      waiting.insert(*session.start(kind, RequestHead{"s", "m", {}, {}}, "p"));
  }
  const size_t written = session.output().bytes();
  if (data[0] % 8 == 7) {
    session.forget(data[0] / 8U);
    waiting.erase(data[0] / 8U);
  }
  const size_t chunk = data[1] % 64 + 1U;
  std::string_view bytes(reinterpret_cast<const char*>(data) + 2, size - 2);
  while (!bytes.empty()) {
    std::string_view part = bytes.substr(0, chunk);
    bytes.remove_prefix(part.size());
    while (!part.empty()) {
      part.remove_prefix(session.input().feed(part));
      while (const auto event = session.next()) {
        const uint32_t stream = std::visit([](const auto& value) { return value.stream; }, *event);
        require(waiting.contains(stream));
        // Nothing comes after an answer or an end.
        if (!std::holds_alternative<ClientSession::Message>(*event)) waiting.erase(stream);
      }
    }
  }
  require(session.active() == waiting.size());
  require(session.output().bytes() <= written);
  return 0;
}
