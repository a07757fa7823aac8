#include "lib/ttrpc/envelope.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lib/ttrpc/test_frames.h"

namespace kata::ttrpc {
namespace {

using testing::ElementsAre;
using testing::Pair;
using testing_frames::hex;

std::string bytes_of(const OutFrame& frame) {
  return frame.head + frame.body + frame.tail;
}

// Service "a.B", method "C", payload "xy", 1 s, metadata K=v and k=w.
const char* const kRequestBytes =
    "00000027 00000001 01 00  0a03612e42 120143 1a027879 208094ebdc03 2a060a016b120176 2a060a016b120177";

TEST(EnvelopeTest, RequestGoldenBytes) {
  RequestHead head{"a.B", "C", std::chrono::seconds(1), {{"K", "v"}, {"k", "w"}}};
  std::string expected = hex(kRequestBytes);
  expected[3] = static_cast<char>(expected.size() - kHeaderSize);
  const auto frame = encode_request(1, 0, head, "xy");
  ASSERT_TRUE(frame);
  EXPECT_EQ(bytes_of(*frame), expected);
  EXPECT_EQ(frame->body, "xy") << "the payload is a piece of its own";

  const auto request = decode_request(expected.substr(kHeaderSize));
  ASSERT_TRUE(request);
  EXPECT_EQ(request->head.service, "a.B");
  EXPECT_EQ(request->head.method, "C");
  EXPECT_EQ(request->payload, "xy");
  EXPECT_EQ(request->head.timeout, std::chrono::seconds(1));
  EXPECT_THAT(request->head.metadata, ElementsAre(Pair("k", "v"), Pair("k", "w")));
}

TEST(EnvelopeTest, ResponseGoldenBytes) {
  EXPECT_EQ(bytes_of(encode_response(3, "xy")), hex("00000004 00000003 02 00 12027879"));
  EXPECT_EQ(bytes_of(encode_response(3, "")), hex("00000000 00000003 02 00"));
  EXPECT_EQ(bytes_of(encode_status(5, Error(Code::kNotFound, "no"))),
            hex("00000008 00000005 02 00 0a06 0805 12026e6f"));
  EXPECT_EQ(bytes_of(*encode_data(7, 5, "")), hex("00000000 00000007 03 05"));
  EXPECT_EQ(bytes_of(*encode_data(7, 0, "m")), hex("00000001 00000007 03 00 6d"));
}

TEST(EnvelopeTest, ResponsesOfOtherImplementations) {
  struct Row {
    const char* name;
    const char* bytes;
    // Payload, or "CODE|message".
    std::string result;
  };
  const std::vector<Row> rows = {
      {"no status", "1202 7879", "xy"},
      {"empty", "", ""},
      {"empty status", "0a00 1202 7879", "xy"},
      {"explicit code 0", "0a02 0800 1202 7879", "xy"},
      {"code 0 with a message", "0a06 0800 12026f6b 1202 7879", "xy"},
      {"payload before status", "1202 7879 0a02 0800", "xy"},
      {"unknown fields", "1801 2203616263 1202 7879 3d01020304", "xy"},
      {"error", "0a06 0805 12026e6f", "NOT_FOUND|no"},
      {"error with details", "0a0a 0805 12026e6f 1a02 1200", "NOT_FOUND|no"},
      {"error without text", "0a02 080c", "UNIMPLEMENTED|"},
      {"code that does not exist", "0a02 0863", "UNKNOWN|"},
      {"negative code", "0a0b 08ffffffffffffffffff01", "UNKNOWN|"},
      {"last payload counts", "1201 61 1201 62", "b"},
      {"truncated payload", "1205 7879", "DATA_LOSS|response envelope does not parse"},
      {"broken status", "0a02 08ff", "DATA_LOSS|response envelope does not parse"},
      {"tag 0", "00", "DATA_LOSS|response envelope does not parse"},
      {"huge length", "12ffffffffffffffff7f", "DATA_LOSS|response envelope does not parse"},
      {"end of a group that never began", "0c", "DATA_LOSS|response envelope does not parse"},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(row.name);
    const auto result = decode_response(hex(row.bytes));
    EXPECT_EQ(result ? *result : code_name(result.error().code()) + "|" + result.error().message(),
              row.result);
  }
}

TEST(EnvelopeTest, RequestsOfOtherImplementations) {
  struct Row {
    const char* name;
    const char* bytes;
    bool parses;
    int64_t timeout;
    std::string payload;
  };
  const std::vector<Row> rows = {
      {"empty", "", true, 0, ""},
      {"fields in another order", "2005 1a0161 120143 0a0161", true, 5, "a"},
      {"negative time-out is none", "20ffffffffffffffffff01 1a0161", true, 0, "a"},
      {"huge time-out is bounded", "20ffffffffffffffff7f", true, 31556952'000'000'000, ""},
      {"known field of another type is skipped", "0801 1a0161", true, 0, "a"},
      {"truncated method", "1205 43", false, 0, ""},
      {"broken metadata", "2a02 0aff", false, 0, ""},
      {"varint without an end", "20ffffffffffffffffffffff", false, 0, ""},
      {"half a tag", "1a016180", false, 0, ""},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(row.name);
    const auto request = decode_request(hex(row.bytes));
    EXPECT_EQ(request.has_value(), row.parses);
    if (!request) {
      EXPECT_EQ(request.error().code(), Code::kInvalidArgument);
      continue;
    }
    EXPECT_EQ(request->head.timeout.count(), row.timeout);
    EXPECT_EQ(request->payload, row.payload);
  }
}

TEST(EnvelopeTest, LimitOfFourMebibytes) {
  const RequestHead head{"a.B", "C", {}, {}};
  // Service 5, method 3, tag and length of the payload 5 bytes.
  EXPECT_TRUE(encode_request(1, 0, head, std::string(kMaxDataLength - 13, 'x')));
  const auto refused = encode_request(1, 0, head, std::string(kMaxDataLength - 12, 'x'));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), Code::kResourceExhausted);
  EXPECT_TRUE(encode_data(1, 0, std::string(kMaxDataLength, 'x')));
  EXPECT_FALSE(encode_data(1, 0, std::string(kMaxDataLength + 1, 'x')));

  EXPECT_EQ(encode_response(1, std::string(kMaxDataLength - 5, 'x')).size(), kMaxDataLength + kHeaderSize);
  const std::string replaced = bytes_of(encode_response(1, std::string(kMaxDataLength - 4, 'x')));
  EXPECT_LT(replaced.size(), 200U);
  const auto result = decode_response(replaced.substr(kHeaderSize));
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code(), Code::kResourceExhausted);
}

// Go rejects a whole Response whose text is no valid UTF-8, so texts from file names and guests are cleaned.
TEST(EnvelopeTest, StatusTextIsValidUtf8AndBounded) {
  struct Row {
    const char* name;
    std::string text;
    std::string sent;
  };
  const std::vector<Row> rows = {
      {"ASCII", "plain", "plain"},
      {"valid", "é€\xf0\x9f\x98\x80", "é€\xf0\x9f\x98\x80"},
      {"lone byte",
       "a\xff"
       "b",
       "a?b"},
      {"cut character", "a\xe2\x82", "a??"},
      {"overlong", "\xc0\xaf", "??"},
      {"surrogate", "\xed\xa0\x80", "???"},
      {"above the last code point", "\xf4\x90\x80\x80", "????"},
      {"long", std::string(100'000, 'x'), std::string(16384, 'x')},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(row.name);
    const auto result =
        decode_response(bytes_of(encode_status(1, Error(Code::kInternal, row.text))).substr(kHeaderSize));
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().message(), row.sent);
  }
  const auto ok = decode_response(bytes_of(encode_status(1, Error(Code::kOk, "odd"))).substr(kHeaderSize));
  ASSERT_FALSE(ok) << "an error must never read as success";
  EXPECT_EQ(ok.error().code(), Code::kUnknown);
}

}  // namespace
}  // namespace kata::ttrpc
