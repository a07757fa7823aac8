#include "lib/log/log.h"

#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace kata::log {
namespace {

class VectorSink : public Sink {
 public:
  explicit VectorSink(std::vector<std::string>& lines) : lines_(lines) {}
  void write(const Record& record) override { lines_.push_back(format_text(record)); }

 private:
  std::vector<std::string>& lines_;
};

TEST(LogTest, JsonEscapesWhatWouldBreakTheLine) {
  struct Row {
    std::string text;
    std::string escaped;
  };
  const Row rows[] = {{"plain", "plain"},
                      {"a\"b\\c", "a\\\"b\\\\c"},
                      {"two\nlines", "two\\nlines"},
                      {"\x01\x7f", "\\u0001\\u007f"},
                      {"gr\xc3\xbc\xc3\x9f", "gr\xc3\xbc\xc3\x9f"},
                      {"\xff\xc3", "\\u00ff\\u00c3"},
                      {"\xed\xa0\x80", "\\u00ed\\u00a0\\u0080"},
                      {std::string("\0", 1), "\\u0000"}};
  for (const Row& row : rows) {
    const Record record{
        .level = Level::kInfo, .message = row.text, .fields = {{"k", row.text}}, .time_ns = 1'000'000'001};
    EXPECT_EQ(format_json(record), "{\"level\":\"info\",\"msg\":\"" + row.escaped +
                                       "\",\"time\":\"1970-01-01T00:00:01.000000001Z\",\"k\":\"" +
                                       row.escaped + "\"}\n");
  }
}

TEST(LogTest, LevelFiltersAndIdentityIsAdded) {
  std::vector<std::string> lines;
  set_sink(std::make_unique<VectorSink>(lines));
  set_identity({{"sandbox", "s1"}});
  set_level(Level::kInfo);
  debug("hidden");
  info("shown", {{"container", "c1"}});
  set_sink(nullptr);
  error("nobody hears this");
  set_identity({});
  ASSERT_EQ(lines.size(), 1U);
  EXPECT_NE(lines[0].find("level=info msg=\"shown\" sandbox=\"s1\" container=\"c1\""), std::string::npos)
      << lines[0];
}

TEST(LogTest, LevelNames) {
  Level level = Level::kInfo;
  EXPECT_TRUE(parse_level("warn", level));
  EXPECT_EQ(level, Level::kWarning);
  EXPECT_TRUE(parse_level("panic", level));
  EXPECT_EQ(level, Level::kError);
  EXPECT_FALSE(parse_level("loud", level));
}

}  // namespace
}  // namespace kata::log
