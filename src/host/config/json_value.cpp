#include <boost/json/parse.hpp>

#include "host/config/document.h"

namespace kata::config {

namespace {

Value convert(const boost::json::value& from, const std::string& where) {
  Value out{.data = DateOrTime{}, .where = where};
  if (const auto* object = from.if_object()) {
    Table& table = out.data.emplace<Table>();
    for (const auto& entry : *object) {
      table.insert_or_assign(std::string(entry.key().data(), entry.key().size()),
                             convert(entry.value(), where));
    }
  } else if (const auto* array = from.if_array()) {
    Array& items = out.data.emplace<Array>();
    for (const auto& item : *array) items.push_back(convert(item, where));
  } else if (const auto* text = from.if_string()) {
    out.data = std::string(text->data(), text->size());
  } else if (const auto* flag = from.if_bool()) {
    out.data = *flag;
  } else if (const auto* number = from.if_int64()) {
    out.data = *number;
  } else if (const auto* real = from.if_double()) {
    out.data = *real;
  }
  return out;
}

}  // namespace

std::expected<Value, Error> parse_json_value(std::string_view text, const std::string& where) {
  boost::json::error_code failure;
  const boost::json::value tree = boost::json::parse({text.data(), text.size()}, failure);
  if (failure)
    return std::unexpected(Error(Code::kInvalidArgument, where + ": not valid JSON: " + failure.message()));
  return convert(tree, where);
}

}  // namespace kata::config
