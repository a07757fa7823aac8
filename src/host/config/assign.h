// Puts one value into the member that a row of the key table describes, with the row's checks.
#pragma once

#include <string>
#include <string_view>

#include "host/config/document.h"
#include "host/config/key_table.h"

namespace kata::config {

// Answers what is wrong, "" when nothing: "expected true or false, found a string". On an error the member is
// untouched or holds the refused value: the load ends in an error anyway. Not for kTable and kTableArray.
std::string assign_value(const KeyInfo& key, void* object, const Value& value);

// The same from an annotation's text: numbers and booleans are trimmed first, strings are taken as they are.
std::string assign_text(const KeyInfo& key, void* object, std::string_view text);

std::string_view trimmed(std::string_view text);

// "io_uring, native, threads (or empty)" for the words of a kOneOf check.
std::string allowed_words(const Check& check);

template <typename T>
T& member(const KeyInfo& key, void* object) {
  return *reinterpret_cast<T*>(static_cast<char*>(object) + key.offset);
}

}  // namespace kata::config
