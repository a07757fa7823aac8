#include "lib/text/split.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace kata {
namespace {

TEST(SplitWords, LeavesOutWhatIsEmpty) {
  struct Row {
    std::string_view text;
    std::vector<std::string> words;
  };
  for (const Row& row : {Row{"", {}}, Row{",", {}}, Row{"a", {"a"}}, Row{"a,b", {"a", "b"}},
                         Row{",a,", {"a"}}, Row{"a,,b,,", {"a", "b"}}, Row{"a b", {"a b"}}}) {
    EXPECT_THAT(split_words(row.text, ','), testing::ElementsAreArray(row.words)) << row.text;
  }
}

}  // namespace
}  // namespace kata
