// The guest kernel's command line as a list of parameters (Documentation/admin-guide/kernel-parameters.rst).
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace kata::config {

// Splits at blanks outside double quotes; the quotes stay. A quote left open ends at the end of the text.
std::vector<std::string> split_kernel_params(std::string_view text);

// The part before "=", without quotes ("" never comes from split_kernel_params).
std::string_view kernel_param_name(std::string_view param);

std::string join_kernel_params(const std::vector<std::string>& params);

// `base` without the parameters that `changes` names too, then `changes`.
std::string merge_kernel_params(std::string_view base, std::string_view changes);

}  // namespace kata::config
