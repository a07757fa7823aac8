// The promise that each key in use has a test that changes it: the test of each folder that acts on keys
// keeps a table of rows, each with a member `key` ("hypervisor.default_vcpus"), and expects
// keys_without_row(Use::kVm, rows) to be empty. A key becomes "in use" by the last column of keys/*.def;
// which Use belongs to which test is checked by key_rows_test.cpp.
#pragma once

#include <algorithm>
#include <iterator>
#include <string>
#include <vector>

#include "host/config/key_table.h"

namespace kata::config {

template <typename Rows>
std::vector<std::string> keys_without_row(Use use, const Rows& rows) {
  std::vector<std::string> names = keys_with(use);
  std::erase_if(names, [&](const std::string& name) {
    return std::any_of(std::begin(rows), std::end(rows), [&](const auto& row) { return row.key == name; });
  });
  return names;
}

}  // namespace kata::config
