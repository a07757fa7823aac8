#include "lib/ttrpc/server_session.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lib/ttrpc/test_frames.h"

namespace kata::ttrpc {
namespace {

using testing_frames::drain;
using testing_frames::frame;
using testing_frames::request;
using MethodKind = ServerSession::MethodKind;
using Strings = std::vector<std::string>;

MethodKind lookup(std::string_view service, std::string_view method) {
  if (service != "test.S") return MethodKind::kUnknownService;
  if (method == "U") return MethodKind::kUnary;
  return method == "T" ? MethodKind::kStream : MethodKind::kUnknownMethod;
}

std::string text_of(const ServerSession::Action& action) {
  struct Visitor {
    std::string operator()(const ServerSession::Call& call) const {
      return std::to_string(call.stream) + " call " + call.request.payload;
    }
    std::string operator()(const ServerSession::Open& open) const {
      return std::to_string(open.stream) + " open" + open.request.payload;
    }
    std::string operator()(const ServerSession::Message& message) const {
      return std::to_string(message.stream) + " message " + message.data;
    }
    std::string operator()(const ServerSession::RemoteClosed& closed) const {
      return std::to_string(closed.stream) + " closed";
    }
    std::string operator()(const ServerSession::Abort& abort) const {
      return std::to_string(abort.stream) + " abort";
    }
  };
  return std::visit(Visitor{}, action);
}

Strings receive(ServerSession& session, std::string_view bytes) {
  Strings actions;
  while (!bytes.empty()) {
    bytes.remove_prefix(session.input().feed(bytes));
    while (auto action = session.next()) actions.push_back(text_of(*action));
  }
  return actions;
}

// What the session wrote: "3 NOT_FOUND", "3 answer xy", "3 data xy", "3 end".
Strings written(ServerSession& session) {
  Strings texts;
  for (Frame& frame : testing_frames::frames(drain(session.output()))) {
    std::string text = std::to_string(frame.header.stream) + " ";
    if (frame.header.type == FrameType::kData) {
      text += frame.header.flags == 5 ? "end" : "data " + frame.data;
    } else {
      EXPECT_EQ(frame.header.type, FrameType::kResponse);
      const auto result = decode_response(std::move(frame.data));
      text += result ? "answer " + *result : code_name(result.error().code());
    }
    texts.push_back(std::move(text));
  }
  return texts;
}

struct Row {
  const char* name;
  std::string bytes;
  Strings actions;
  Strings answers;
};

void check(const std::vector<Row>& rows) {
  for (const Row& row : rows) {
    SCOPED_TRACE(row.name);
    ServerSession session(lookup);
    EXPECT_EQ(receive(session, row.bytes), row.actions);
    EXPECT_EQ(written(session), row.answers);
    // Whatever came before, the connection works.
    EXPECT_EQ(receive(session, frame(1, 0, 1001, request("U", "z"))), Strings{"1001 call z"});
    EXPECT_TRUE(session.respond(1001, "fine"));
    EXPECT_EQ(written(session), Strings{"1001 answer fine"});
  }
}

const std::string kTooLarge(kMaxDataLength + 1, 'x');

TEST(ServerSessionTest, UnaryAndBadPeers) {
  check({
      {"call", frame(1, 0, 1, request("U", "a")), {"1 call a"}, {}},
      {"empty payload", frame(1, 0, 1, request("U", "")), {"1 call "}, {}},
      {"odd ids in any order",
       frame(1, 0, 9, request("U", "a")) + frame(1, 0, 3, request("U", "b")),
       {"9 call a", "3 call b"},
       {}},
      {"largest id", frame(1, 0, 0xffffffff, request("U", "a")), {"4294967295 call a"}, {}},
      {"unary with streaming flags", frame(1, 2, 1, request("U", "a")), {"1 call a"}, {}},
      {"unknown method", frame(1, 0, 1, request("X", "")), {}, {"1 UNIMPLEMENTED"}},
      {"unknown service", frame(1, 0, 1, "\x0a\x01x"), {}, {"1 UNIMPLEMENTED"}},
      {"empty request", frame(1, 0, 1, ""), {}, {"1 UNIMPLEMENTED"}},
      {"envelope does not parse", frame(1, 0, 1, "\x0a\x7fx"), {}, {"1 INVALID_ARGUMENT"}},
      {"even id", frame(1, 0, 2, request("U", "a")), {}, {"2 INVALID_ARGUMENT"}},
      {"id 0", frame(1, 0, 0, request("U", "a")), {}, {"0 INVALID_ARGUMENT"}},
      {"id in use",
       frame(1, 0, 1, request("U", "a")) + frame(1, 0, 1, request("U", "b")),
       {"1 call a"},
       {"1 INVALID_ARGUMENT"}},
      {"unknown type", frame(9, 0, 1, "x"), {}, {}},
      {"type 0", frame(0, 0, 1, "x"), {}, {}},
      {"response from a client", frame(2, 0, 1, "x"), {}, {}},
      {"oversize request", frame(1, 0, 1, kTooLarge), {}, {"1 RESOURCE_EXHAUSTED"}},
      {"oversize of an unknown type", frame(9, 0, 5, kTooLarge), {}, {"5 RESOURCE_EXHAUSTED"}},
      {"data without a stream", frame(3, 0, 1, "x"), {}, {"1 INVALID_ARGUMENT"}},
      {"data on an even id", frame(3, 0, 2, "x"), {}, {"2 INVALID_ARGUMENT"}},
      {"data for a unary call",
       frame(1, 0, 1, request("U", "a")) + frame(3, 0, 1, "x"),
       {"1 call a"},
       {"1 INVALID_ARGUMENT"}},
  });
}

TEST(ServerSessionTest, StreamsAndBadPeers) {
  const std::string open = frame(1, 2, 1, request("T", ""));
  check({
      {"bidirectional",
       open + frame(3, 0, 1, "a") + frame(3, 0, 1, "") + frame(3, 5, 1, ""),
       {"1 open", "1 message a", "1 message ", "1 closed"},
       {}},
      {"opened without data", frame(1, 6, 1, request("T", "")), {"1 open"}, {}},
      {"payload with the opening", frame(1, 2, 1, request("T", "p")), {"1 open", "1 message p"}, {}},
      {"server stream", frame(1, 1, 1, request("T", "p")), {"1 open", "1 message p", "1 closed"}, {}},
      {"server stream, empty request",
       frame(1, 1, 1, request("T", "")),
       {"1 open", "1 message ", "1 closed"},
       {}},
      {"server stream without a message", frame(1, 5, 1, request("T", "")), {"1 open", "1 closed"}, {}},
      {"opened by a peer without streams",
       frame(1, 0, 1, request("T", "p")),
       {"1 open", "1 message p", "1 closed"},
       {}},
      {"close with a message", open + frame(3, 1, 1, "last"), {"1 open", "1 message last", "1 closed"}, {}},
      {"no data and not closed", open + frame(3, 4, 1, ""), {"1 open"}, {}},
      {"data after the close",
       open + frame(3, 5, 1, "") + frame(3, 0, 1, "x"),
       {"1 open", "1 closed"},
       {"1 INVALID_ARGUMENT"}},
      {"request on an open stream", open + open, {"1 open"}, {"1 INVALID_ARGUMENT"}},
      {"oversize message",
       open + frame(3, 0, 1, kTooLarge) + frame(3, 0, 1, "x"),
       {"1 open", "1 abort"},
       {"1 RESOURCE_EXHAUSTED", "1 INVALID_ARGUMENT"}},
  });
}

TEST(ServerSessionTest, AnswersEndStreams) {
  ServerSession session(lookup);
  receive(session, frame(1, 0, 1, request("U", "")) + frame(1, 0, 3, request("U", "")) +
                       frame(1, 2, 5, request("T", "")) + frame(1, 2, 7, request("T", "")));
  EXPECT_EQ(session.active(), 4U);
  EXPECT_TRUE(session.respond(1, "a"));
  EXPECT_FALSE(session.respond(1, "again"));
  EXPECT_FALSE(session.fail(1, Error(Code::kInternal, "again")));
  EXPECT_TRUE(session.fail(3, Error(Code::kNotFound, "b")));
  EXPECT_TRUE(session.send(5, "m"));
  EXPECT_TRUE(session.send(5, ""));
  EXPECT_TRUE(session.end(5));
  EXPECT_FALSE(session.send(5, "late"));
  EXPECT_FALSE(session.end(5));
  EXPECT_FALSE(session.send(7, kTooLarge));
  EXPECT_EQ(written(session),
            (Strings{"1 answer a", "3 NOT_FOUND", "5 data m", "5 data ", "5 end", "7 RESOURCE_EXHAUSTED"}));
  EXPECT_EQ(session.active(), 0U);
  EXPECT_EQ(receive(session, frame(1, 0, 1, request("U", "reused"))), Strings{"1 call reused"});
}

TEST(ServerSessionTest, NothingFollowsAnAnswerWithinOneFrame) {
  ServerSession session(lookup);
  session.input().feed(frame(1, 1, 1, request("T", "p")));
  ASSERT_EQ(text_of(*session.next()), "1 open");
  session.fail(1, Error(Code::kNotFound, "no"));
  EXPECT_FALSE(session.next());
}

TEST(ServerSessionTest, OversizeAnswerBecomesAnError) {
  ServerSession session(lookup);
  receive(session, frame(1, 0, 1, request("U", "")));
  EXPECT_TRUE(session.respond(1, kTooLarge));
  EXPECT_EQ(written(session), Strings{"1 RESOURCE_EXHAUSTED"});
}

TEST(ServerSessionTest, UnfinishedCallsAreBounded) {
  ServerSession session(lookup);
  for (uint32_t i = 0; i < ServerSession::kMaxActive; ++i)
    receive(session, frame(1, 0, 2 * i + 1, request("U", "")));
  const uint32_t next = 2 * ServerSession::kMaxActive + 1;
  EXPECT_EQ(receive(session, frame(1, 0, next, request("U", "")) + frame(1, 2, next + 2, request("T", ""))),
            Strings{});
  EXPECT_EQ(written(session), (Strings{std::to_string(next) + " RESOURCE_EXHAUSTED",
                                       std::to_string(next + 2) + " RESOURCE_EXHAUSTED"}));
}

}  // namespace
}  // namespace kata::ttrpc
