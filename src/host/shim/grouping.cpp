#include "host/shim/grouping.h"

#include <unistd.h>

#include "host/config/cri_annotations.h"
#include "host/shim/flags.h"
#include "lib/error/error.h"
#include "lib/fd/io.h"
#include "lib/oci/json.h"

namespace kata::shim {
namespace {

constexpr size_t kMaxIdFile = 4096;

bool exists(const std::string& path) {
  return ::access(path.c_str(), F_OK) == 0;
}

// The id becomes part of paths.
std::string checked(std::string id, const std::string& where) {
  if (valid_id(id)) return id;
  throw Error(Code::kInvalidArgument, "sandbox id '" + id.substr(0, 100) + "' in " + where + " is not valid");
}

}  // namespace

std::string sandbox_id_of_bundle(const std::string& bundle, const std::string& id) {
  const std::string config = bundle + "/config.json";
  if (exists(config)) {
    const oci::Spec spec = oci::load_spec(bundle);
    return checked(config::read_cri_annotations(spec.annotations, id).sandbox_id, config);
  }
  const std::string file = bundle + "/sandbox";
  if (!exists(file)) return id;
  std::string sandbox_id = read_file(file, kMaxIdFile);
  while (sandbox_id.ends_with('\n')) sandbox_id.pop_back();
  return sandbox_id.empty() ? id : checked(sandbox_id, file);
}

}  // namespace kata::shim
