// Checks of generated message classes against the published wire format: each field is coded by its number
// with the few lines below, apart from the .proto files, so that a wrong number or type there fails.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

#include <google/protobuf/map.h>
#include <gtest/gtest.h>

namespace kata::proto_wire {

inline std::string varint(uint64_t value) {
  std::string out;
  for (; value >= 0x80; value >>= 7) out.push_back(static_cast<char>(value | 0x80));
  out.push_back(static_cast<char>(value));
  return out;
}
inline std::string varint_field(int number, uint64_t value) {
  return varint(static_cast<uint64_t>(number) << 3) + varint(value);
}
inline std::string length_field(int number, std::string_view bytes) {
  return varint(static_cast<uint64_t>(number) << 3 | 2) + varint(bytes.size()) + std::string(bytes);
}
inline std::string double_field(int number, double value) {
  std::string bytes(sizeof value, '\0');
  std::memcpy(bytes.data(), &value, sizeof value);
  return varint(static_cast<uint64_t>(number) << 3 | 1) + bytes;
}

template <typename Enum>
int number(Enum value) {
  return static_cast<int>(value);
}

// One call a field: its number, and the accessor whose type is that of the field. Values are at the ends of
// their range, so that a field that is too narrow, or zigzag coded, does not pass. What was read is also
// written again: the bytes must be the same, and nothing may have gone to the unknown fields.
template <typename M>
class Fields {
 public:
  Fields& text(int number, const std::string& (M::*get)() const) {
    return check(number, length_field(number, "text"), [&](const M& m) { return (m.*get)() == "text"; });
  }
  Fields& texts(int number, const std::string& (M::*get)(int) const) {
    return check(number, length_field(number, "one") + length_field(number, "two"),
                 [&](const M& m) { return (m.*get)(0) == "one" && (m.*get)(1) == "two"; });
  }
  Fields& u32(int number, uint32_t (M::*get)() const) { return scalar(number, get, UINT32_MAX); }
  Fields& u64(int number, uint64_t (M::*get)() const) { return scalar(number, get, UINT64_MAX); }
  Fields& i32(int number, int32_t (M::*get)() const) { return scalar(number, get, INT32_MIN); }
  Fields& i64(int number, int64_t (M::*get)() const) { return scalar(number, get, INT64_MIN); }
  Fields& flag(int number, bool (M::*get)() const) { return scalar(number, get, true); }
  Fields& real(int number, double (M::*get)() const) {
    return check(number, double_field(number, 2.5), [&](const M& m) { return (m.*get)() == 2.5; });
  }
  template <typename Enum>
  Fields& choice(int number, Enum (M::*get)() const) {
    return scalar(number, get, static_cast<Enum>(1));
  }
  // Repeated numbers are packed in proto3.
  Fields& u32s(int number, uint32_t (M::*get)(int) const) { return packed(number, get, UINT32_MAX); }
  Fields& u64s(int number, uint64_t (M::*get)(int) const) { return packed(number, get, UINT64_MAX); }
  Fields& i64s(int number, int64_t (M::*get)(int) const) { return packed(number, get, INT64_MIN); }
  template <typename Enum>
  Fields& choices(int number, Enum (M::*get)(int) const) {
    return packed(number, get, static_cast<Enum>(1));
  }
  // The type of a sub-message is in its accessor; that its content gets there is checked by its own test.
  template <typename Sub>
  Fields& sub(int number, const Sub& (M::*)() const, bool (M::*has)() const) {
    return check(number, length_field(number, ""), [&](const M& m) { return (m.*has)(); });
  }
  template <typename Sub>
  Fields& subs(int number, const Sub& (M::*get)(int) const) {
    return check(number, length_field(number, "") + length_field(number, ""),
                 [&](const M& m) { return &(m.*get)(0) != &(m.*get)(1); });
  }
  Fields& text_map(int number, const google::protobuf::Map<std::string, std::string>& (M::*get)() const) {
    return check(number, length_field(number, length_field(1, "key") + length_field(2, "value")),
                 [&](const M& m) { return (m.*get)().at("key") == "value"; });
  }
  Fields& u64_map(int number, const google::protobuf::Map<std::string, uint64_t>& (M::*get)() const) {
    return check(number, length_field(number, length_field(1, "key") + varint_field(2, UINT64_MAX)),
                 [&](const M& m) { return (m.*get)().at("key") == UINT64_MAX; });
  }
  template <typename Sub>
  Fields& sub_map(int number, const google::protobuf::Map<std::string, Sub>& (M::*get)() const) {
    return check(number, length_field(number, length_field(1, "key") + length_field(2, "")),
                 [&](const M& m) { return (m.*get)().contains("key"); });
  }

 private:
  template <typename Value>
  Fields& scalar(int number, Value (M::*get)() const, Value value) {
    return check(number, varint_field(number, static_cast<uint64_t>(value)),
                 [&](const M& m) { return (m.*get)() == value; });
  }
  template <typename Value>
  Fields& packed(int number, Value (M::*get)(int) const, Value value) {
    return check(number, length_field(number, varint(1) + varint(static_cast<uint64_t>(value))),
                 [&](const M& m) { return (m.*get)(0) == static_cast<Value>(1) && (m.*get)(1) == value; });
  }
  template <typename Holds>
  Fields& check(int number, const std::string& bytes, Holds holds) {
    M message;
    EXPECT_TRUE(message.ParseFromString(bytes))
        << message.GetTypeName() << " field " << number << " does not parse";
    EXPECT_TRUE(holds(message)) << message.GetTypeName() << " field " << number << " reads otherwise";
    EXPECT_EQ(message.SerializeAsString(), bytes) << message.GetTypeName() << " field " << number;
    return *this;
  }
};

}  // namespace kata::proto_wire
