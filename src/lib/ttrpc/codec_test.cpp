#include "lib/ttrpc/codec.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lib/ttrpc/test_frames.h"

namespace kata::ttrpc {
namespace {

using testing_frames::drain;
using testing_frames::frame;
using testing_frames::hex;

TEST(HeaderTest, GoldenBytes) {
  struct Row {
    const char* name;
    FrameHeader header;
    const char* bytes;
  };
  const std::vector<Row> rows = {
      {"unary request", {5, 1, FrameType::kRequest, 0}, "00000005 00000001 01 00"},
      {"response", {0x010203, 3, FrameType::kResponse, 0}, "00010203 00000003 02 00"},
      {"half close", {0, 7, FrameType::kData, 5}, "00000000 00000007 03 05"},
      {"limit", {4194304, 0x7fffffff, FrameType::kData, 0}, "00400000 7fffffff 03 00"},
      {"largest numbers",
       {0xffffffff, 0xfffffffe, static_cast<FrameType>(0xff), 0xff},
       "ffffffff fffffffe ff ff"},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(row.name);
    std::array<char, kHeaderSize> bytes{};
    encode_header(row.header, bytes);
    EXPECT_EQ(std::string(bytes.data(), bytes.size()), hex(row.bytes));
    EXPECT_EQ(decode_header(bytes), row.header);
  }
}

// Every division of the bytes into reads gives the same frames.
TEST(FrameReaderTest, ChunksOfAnySize) {
  const std::string large(100'000, 'L');
  const std::string bytes = frame(1, 0, 1, "one") + frame(3, 5, 3, "") + frame(2, 0, 5, large) +
                            frame(9, 0xf0, 7, "odd type") + frame(1, 0, 9, std::string(20'000, 'm'));
  for (const size_t chunk :
       {size_t{1}, size_t{3}, size_t{9}, size_t{10}, size_t{11}, size_t{16384}, bytes.size()}) {
    SCOPED_TRACE(chunk);
    FrameReader reader;
    std::vector<Frame> found;
    for (size_t at = 0; at < bytes.size(); at += chunk) {
      std::string_view rest = std::string_view(bytes).substr(at, chunk);
      while (!rest.empty()) {
        rest.remove_prefix(reader.feed(rest));
        while (auto next = reader.next()) found.push_back(std::move(*next));
      }
    }
    ASSERT_EQ(found.size(), 5U);
    EXPECT_EQ(found[0].data, "one");
    EXPECT_EQ(found[1].header, (FrameHeader{0, 3, FrameType::kData, 5}));
    EXPECT_EQ(found[2].data, large);
    EXPECT_EQ(found[3].header.flags, 0xf0);
    EXPECT_EQ(found[4].data.size(), 20'000U);
    EXPECT_FALSE(reader.inside_frame());
  }
}

TEST(FrameReaderTest, LargePayloadIsReadIntoItsOwnMemory) {
  FrameReader reader;
  const std::string payload(65536, 'p');
  const std::string head = frame(1, 0, 1, "", 65536) + payload.substr(0, 100);
  ASSERT_EQ(reader.feed(head), head.size());
  EXPECT_FALSE(reader.next());
  const auto pieces = reader.prepare();
  EXPECT_EQ(pieces[0].size(), 65436U);
  EXPECT_EQ(pieces[1].size(), FrameReader::kBufferSize);
  const char* const memory = pieces[0].data();
  reader.feed(payload.substr(100));
  const auto done = reader.next();
  ASSERT_TRUE(done);
  EXPECT_EQ(done->data, payload);
  EXPECT_EQ(done->data.data() + 100, memory);
}

TEST(FrameReaderTest, OversizeIsSkippedExactly) {
  struct Row {
    const char* name;
    size_t length;
    bool oversize;
  };
  for (const Row& row :
       {Row{"at the limit", kMaxDataLength, false}, Row{"one above", kMaxDataLength + 1, true},
        Row{"far above", kMaxDataLength * 3 + 7, true}}) {
    SCOPED_TRACE(row.name);
    const auto found =
        testing_frames::frames(frame(1, 0, 11, std::string(row.length, 'x')) + frame(1, 0, 13, "after"));
    ASSERT_EQ(found.size(), 2U);
    EXPECT_EQ(found[0].oversize(), row.oversize);
    EXPECT_EQ(found[0].header.stream, 11U);
    EXPECT_EQ(found[0].data.size(), row.oversize ? 0 : row.length);
    EXPECT_EQ(found[1].data, "after");
  }
}

TEST(FrameReaderTest, KnowsWhetherItIsInsideAFrame) {
  const std::string bytes = frame(1, 0, 1, "abc");
  FrameReader reader;
  EXPECT_FALSE(reader.inside_frame());
  for (size_t i = 0; i < bytes.size(); ++i) {
    reader.feed(std::string_view(bytes).substr(i, 1));
    const bool complete = reader.next().has_value();
    EXPECT_EQ(complete, i + 1 == bytes.size());
    EXPECT_EQ(reader.inside_frame(), !complete) << i;
  }
}

OutFrame out_frame(uint32_t stream, std::string head, std::string body, std::string tail) {
  return {stream, std::move(head), std::move(body), std::move(tail)};
}

TEST(OutQueueTest, WritesInOrderWhateverTheSocketTakes) {
  for (const size_t step : {size_t{1}, size_t{2}, size_t{5}, size_t{1000}}) {
    SCOPED_TRACE(step);
    OutQueue queue;
    std::string expected;
    for (uint32_t i = 0; i < 60; ++i) {
      queue.push(out_frame(i, "h" + std::to_string(i), i % 2 == 0 ? "" : "body", i % 3 == 0 ? "t" : ""));
      expected += "h" + std::to_string(i) + (i % 2 == 0 ? "" : "body") + (i % 3 == 0 ? "t" : "");
    }
    EXPECT_EQ(queue.bytes(), expected.size());
    EXPECT_EQ(drain(queue, step), expected);
    EXPECT_EQ(queue.bytes(), 0U);
  }
}

TEST(OutQueueTest, TakesBackOnlyWhatIsUnsent) {
  OutQueue queue;
  queue.push(out_frame(1, "one", "", ""));
  queue.push(out_frame(3, "three", "", ""));
  queue.push(out_frame(5, "five", "", ""));
  queue.consume(1);
  queue.drop_unsent(1);
  queue.drop_unsent(3);
  EXPECT_EQ(queue.bytes(), 6U);
  EXPECT_EQ(drain(queue), "nefive");
}

}  // namespace
}  // namespace kata::ttrpc
