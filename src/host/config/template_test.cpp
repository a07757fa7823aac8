// The shipped file: loads without a warning, and says what the reference documents.
#include <map>
#include <sstream>
#include <string>

#include <gmock/gmock.h>

#include "host/config/document.h"
#include "host/config/key_table.h"
#include "host/config/testing.h"

namespace kata::config {
namespace {

using testing::IsEmpty;

class TemplateTest : public testing::Test {
 protected:
  // The template with the prefix and the QEMU path moved into the folder.
  [[nodiscard]] std::string text() const {
    std::string text = read_file("config/configuration-qemu.toml.in");
    const auto replace = [&](const std::string& from, const std::string& to) {
      for (std::size_t at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size()))
        text.replace(at, from.size(), to);
    };
    replace("@PREFIX@", folder_.file("prefix"));
    replace("path = \"/usr/bin/qemu-system-x86_64\"", "path = \"" + folder_.file("qemu") + "\"");
    return text;
  }

  ConfigFolder folder_;
};

TEST_F(TemplateTest, LoadsWithoutAWarning) {
  folder_.write("prefix/share/kata-containers/vmlinux.container", "");
  folder_.write("prefix/share/kata-containers/kata-containers-initrd.img", "");
  const Config config = folder_.load_text(text());
  EXPECT_THAT(config.warnings, IsEmpty());
  EXPECT_EQ(config.hypervisor_name, "qemu");
  EXPECT_EQ(config.hypervisor.kernel, folder_.file("prefix/share/kata-containers/vmlinux.container"));
  EXPECT_EQ(config.hypervisor.initrd,
            folder_.file("prefix/share/kata-containers/kata-containers-initrd.img"));
}

// The rows of config/deviations.toml by key.
std::map<std::string, Table> read_deviations() {
  std::map<std::string, Table> rows;
  const auto root = parse_toml(read_file("config/deviations.toml"), "deviations.toml");
  if (!root) return rows;
  for (const Value& row : *root->at("deviation").array()) {
    const Table& table = *row.table();
    EXPECT_FALSE(std::get<std::string>(table.at("reason").data).empty());
    rows.emplace(std::get<std::string>(table.at("key").data), table);
  }
  return rows;
}

// Where the shipped file differs from what the original ships, on purpose: everything else is in Documented.
TEST_F(TemplateTest, DocumentedValues) {
  const auto root = parse_toml(text(), "t");
  ASSERT_TRUE(root);
  const std::map<std::string, Table> deviations = read_deviations();
  EXPECT_FALSE(deviations.empty());
  const std::string reference = read_file("src/host/config/documented_values.txt");
  std::istringstream lines(reference);
  std::size_t count = 0;
  for (std::string line; std::getline(lines, line);) {
    if (line.empty() || line.starts_with('#')) continue;
    const auto expected = parse_toml("v" + line.substr(line.find(' ')), "documented_values.txt");
    ASSERT_TRUE(expected) << line;
    const std::string key = line.substr(0, line.find(' '));
    const Table* table = &*root;
    std::string_view rest = key;
    for (std::size_t dot = rest.find('.'); dot != std::string_view::npos; dot = rest.find('.')) {
      ASSERT_TRUE(table->contains(rest.substr(0, dot))) << key;
      table = table->find(rest.substr(0, dot))->second.table();
      rest.remove_prefix(dot + 1);
    }
    const auto found = table->find(rest);
    ASSERT_NE(found, table->end()) << key << " is not in the template";
    const auto same = [](const auto& self, const Value& a, const Value& b) -> bool {
      if (a.data.index() != b.data.index()) return false;
      if (const Array* list = a.array()) {
        return std::equal(list->begin(), list->end(), b.array()->begin(), b.array()->end(),
                          [&](const Value& x, const Value& y) { return self(self, x, y); });
      }
      if (const auto* text = std::get_if<std::string>(&a.data)) return *text == std::get<std::string>(b.data);
      if (const auto* whole = std::get_if<int64_t>(&a.data)) return *whole == std::get<int64_t>(b.data);
      if (const auto* real = std::get_if<double>(&a.data)) return *real == std::get<double>(b.data);
      if (const auto* flag = std::get_if<bool>(&a.data)) return *flag == std::get<bool>(b.data);
      return false;
    };
    ++count;
    const auto deviation = deviations.find(key);
    if (deviation == deviations.end()) {
      EXPECT_TRUE(same(same, found->second, expected->at("v"))) << key;
      continue;
    }
    EXPECT_TRUE(same(same, deviation->second.at("original"), expected->at("v"))) << key;
    EXPECT_TRUE(same(same, deviation->second.at("value"), found->second)) << key;
    EXPECT_FALSE(same(same, found->second, expected->at("v"))) << key << " is no deviation";
  }
  EXPECT_GT(count, 100u);
}

// A setting that is mentioned as "# key = value" shows the value that an absent key has.
TEST_F(TemplateTest, CommentedKeysAreKnown) {
  std::istringstream lines(text());
  for (std::string line; std::getline(lines, line);) {
    if (!line.starts_with("# ") || line.find(" = ") == std::string::npos ||
        line.find(' ', 2) != line.find(" = "))
      continue;
    const std::string key = line.substr(2, line.find(" = ") - 2);
    if (key == "default_memory" || key == "key")
      continue;  // the drop-in example and the explanation at the top
    const bool known = kHypervisorTable.find(key) != nullptr || kAgentTable.find(key) != nullptr ||
                       kRuntimeTable.find(key) != nullptr;
    EXPECT_TRUE(known) << line;
  }
}

}  // namespace
}  // namespace kata::config
