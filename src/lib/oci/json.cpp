#include "lib/oci/json.h"

#include <algorithm>
#include <exception>
#include <utility>

#include <boost/json/stream_parser.hpp>

#include "lib/fd/io.h"
#include "lib/oci/json_reader.h"
#include "lib/oci/json_types.h"

namespace kata::oci {

namespace {

constexpr std::size_t kMaxInput = 16u << 20;
constexpr std::size_t kMaxDepth = 64;

boost::json::value parse_tree(std::string_view json) {
  if (json.size() > kMaxInput) {
    throw Error(Code::kInvalidArgument, "the JSON text has " + std::to_string(json.size()) +
                                            " bytes, more than the 16 MiB that are read");
  }
  boost::json::parse_options options;
  options.max_depth = kMaxDepth;
  boost::json::stream_parser parser({}, options);
  boost::json::error_code failure;
  const std::size_t consumed = parser.write_some(json.data(), json.size(), failure);
  if (!failure) parser.finish(failure);
  if (!failure && consumed < json.size()) failure = boost::json::error::extra_data;
  if (failure) {
    const auto lines = 1 + std::count(json.begin(), json.begin() + static_cast<long>(consumed), '\n');
    throw Error(Code::kInvalidArgument,
                "not valid JSON near line " + std::to_string(lines) + ": " + failure.message());
  }
  return parser.release();
}

template <typename T>
std::expected<T, Error> parse(std::string_view json) {
  try {
    const boost::json::value tree = parse_tree(json);
    T out;
    detail::read(detail::Node(tree), out);
    return out;
  } catch (const Error& error) {
    return std::unexpected(error);
  } catch (const std::exception& error) {
    return std::unexpected(Error(Code::kInvalidArgument, std::string("reading JSON: ") + error.what()));
  }
}

}  // namespace

std::expected<Spec, Error> parse_spec(std::string_view json) {
  return parse<Spec>(json);
}
std::expected<Process, Error> parse_process(std::string_view json) {
  return parse<Process>(json);
}
std::expected<Resources, Error> parse_resources(std::string_view json) {
  return parse<Resources>(json);
}
std::expected<CdiSpec, Error> parse_cdi_spec(std::string_view json) {
  return parse<CdiSpec>(json);
}

Spec load_spec(const std::string& bundle) {
  const std::string path = bundle + "/config.json";
  const std::string json = with_context("reading the container's configuration of bundle " + bundle,
                                        [&] { return read_file(path, kMaxInput); });
  std::expected<Spec, Error> spec = parse_spec(json);
  if (!spec) throw spec.error().within(path);
  return *std::move(spec);
}

}  // namespace kata::oci
