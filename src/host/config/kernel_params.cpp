#include "host/config/kernel_params.h"

#include <algorithm>
#include <utility>

namespace kata::config {

std::vector<std::string> split_kernel_params(std::string_view text) {
  std::vector<std::string> params;
  std::string current;
  bool quoted = false;
  for (const char c : text) {
    if (c == '"') quoted = !quoted;
    const bool blank = c == ' ' || c == '\t' || c == '\n' || c == '\r';
    if (!blank || quoted) {
      current += c;
    } else if (!current.empty()) {
      params.push_back(std::exchange(current, {}));
    }
  }
  if (!current.empty()) params.push_back(std::move(current));
  return params;
}

std::string_view kernel_param_name(std::string_view param) {
  if (param.starts_with('"')) param.remove_prefix(1);
  std::string_view name = param.substr(0, param.find('='));
  if (name.ends_with('"')) name.remove_suffix(1);
  return name;
}

std::string join_kernel_params(const std::vector<std::string>& params) {
  std::string line;
  for (const std::string& param : params) {
    if (!line.empty()) line += ' ';
    line += param;
  }
  return line;
}

std::string merge_kernel_params(std::string_view base, std::string_view changes) {
  std::vector<std::string> params = split_kernel_params(base);
  const std::vector<std::string> added = split_kernel_params(changes);
  std::erase_if(params, [&](const std::string& param) {
    return std::ranges::any_of(
        added, [&](const std::string& one) { return kernel_param_name(one) == kernel_param_name(param); });
  });
  params.insert(params.end(), added.begin(), added.end());
  return join_kernel_params(params);
}

}  // namespace kata::config
