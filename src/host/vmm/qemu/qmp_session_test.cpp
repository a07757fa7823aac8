#include "host/vmm/qemu/qmp_session.h"

#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace kata::vmm::qemu {
namespace {

using testing::HasSubstr;

constexpr const char* kGreeting =
    R"({"QMP": {"version": {"qemu": {"micro": 22, "minor": 2, "major": 7}, "package": "Debian"}, "capabilities": ["oob"]}})"
    "\r\n";

// One text per message, for comparing.
std::string text(const QmpMessage& message) {
  if (const auto* greeting = std::get_if<QmpGreeting>(&message)) return "greeting " + greeting->version;
  if (const auto* event = std::get_if<QmpEvent>(&message)) return "event " + event->name + " " + event->data;
  const auto& reply = std::get<QmpReply>(message);
  const std::string id = "reply " + std::to_string(reply.id) + " ";
  if (reply.result) return id + *reply.result;
  return id + code_name(reply.result.error().code()) + ": " + reply.result.error().message();
}

struct Row {
  const char* name;
  std::string input;
  std::vector<std::string> expected;
};

const std::vector<Row>& rows() {
  static const std::vector<Row> table = {
      {"greeting", kGreeting, {"greeting 7.2.22"}},
      {"greeting without version", "{\"QMP\": 3}\n", {"greeting unknown"}},
      {"reply", "{\"return\": {\"a\": [1, 2]}, \"id\": 5}\r\n", {"reply 5 {\"a\":[1,2]}"}},
      {"reply without id", "{\"return\": {}}\n", {"reply 0 {}"}},
      {"reply with a foreign id", "{\"return\": {}, \"id\": \"x\"}\n", {"reply 0 {}"}},
      {"error",
       R"({"error": {"class": "DeviceNotFound", "desc": "Device 'd' not found"}, "id": 2})"
       "\n",
       {"reply 2 NOT_FOUND: Device 'd' not found"}},
      {"unknown command",
       R"({"error": {"class": "CommandNotFound", "desc": "no"}, "id": 2})"
       "\n",
       {"reply 2 UNIMPLEMENTED: no"}},
      {"error of another class",
       R"({"error": {"class": "GenericError"}, "id": 2})"
       "\n",
       {"reply 2 INTERNAL: "}},
      {"event",
       R"({"event": "SHUTDOWN", "data": {"guest": true}, "timestamp": {"seconds": 1}})"
       "\n",
       {"event SHUTDOWN {\"guest\":true}"}},
      {"event without data", "{\"event\": \"STOP\"}\n", {"event STOP {}"}},
      {"three in a row",
       "{\"return\": 1, \"id\": 1}\n\n{\"event\": \"A\"}\n  \r\n{\"return\": 2, \"id\": 2}\n",
       {"reply 1 1", "event A {}", "reply 2 2"}},
      {"half a line", "{\"return\": 1", {}},
      {"something of a later QEMU", "{\"banner\": 1}\n", {}},
  };
  return table;
}

TEST(QmpSessionTest, Messages) {
  for (const Row& row : rows()) {
    SCOPED_TRACE(row.name);
    QmpSession whole, split;
    std::vector<std::string> seen, seen_split;
    const auto at_once = whole.feed(row.input);
    ASSERT_TRUE(at_once);
    for (const QmpMessage& message : *at_once) seen.push_back(text(message));
    EXPECT_EQ(seen, row.expected);
    for (const char c : row.input) {
      const auto some = split.feed({&c, 1});
      ASSERT_TRUE(some);
      for (const QmpMessage& message : *some) seen_split.push_back(text(message));
    }
    EXPECT_EQ(seen_split, row.expected);
  }
}

TEST(QmpSessionTest, BrokenPeers) {
  std::string deep(200, '[');
  struct BadRow {
    const char* name;
    std::string input;
  };
  for (const BadRow& row :
       {BadRow{"no JSON", "hello\n"}, BadRow{"an array", "[1]\n"}, BadRow{"two objects in a line", "{} {}\n"},
        BadRow{"too deep", "{\"return\": " + deep + "\n"},
        BadRow{"endless line", std::string(QmpSession::kMaxLine + 1, ' ')}}) {
    SCOPED_TRACE(row.name);
    QmpSession session;
    const auto result = session.feed(row.input);
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().code(), Code::kDataLoss);
    EXPECT_FALSE(session.feed("{\"return\": 1}\n")) << "stays broken";
  }
}

TEST(QmpSessionTest, Commands) {
  EXPECT_EQ(QmpSession::command(1, "quit", ""), "{\"execute\":\"quit\",\"id\":1}\n");
  EXPECT_EQ(QmpSession::command(2, "getfd", R"({"fdname":"a"})"),
            "{\"execute\":\"getfd\",\"id\":2,\"arguments\":{\"fdname\":\"a\"}}\n");
  EXPECT_EQ(json_quote("a\"\n"), R"("a\"\n")");
  EXPECT_EQ(json_string_member(R"({"status":"running","n":1})", "status"), "running");
  EXPECT_EQ(json_string_member(R"({"status":"running","n":1})", "n"), "");
  EXPECT_EQ(json_string_member("no object", "n"), "");
}

}  // namespace
}  // namespace kata::vmm::qemu
