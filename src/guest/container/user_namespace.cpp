#include "guest/container/user_namespace.h"

#include <string>

#include "lib/error/error.h"
#include "lib/fd/io.h"

namespace kata::container {
namespace {

std::string text_of(const std::vector<oci::IdMapping>& mappings, const char* field) {
  if (mappings.empty())
    throw Error(Code::kInvalidArgument,
                std::string("linux.") + field + " is empty: a user namespace needs it");
  std::string text;
  for (const oci::IdMapping& mapping : mappings) {
    text += std::to_string(mapping.container_id) + " " + std::to_string(mapping.host_id) + " " +
            std::to_string(mapping.size) + "\n";
  }
  return text;
}

}  // namespace

void map_user_namespace(pid_t pid, const std::vector<oci::IdMapping>& uids,
                        const std::vector<oci::IdMapping>& gids) {
  const std::string folder = "/proc/" + std::to_string(pid);
  write_existing(folder + "/uid_map", text_of(uids, "uidMappings"));
  write_existing(folder + "/gid_map", text_of(gids, "gidMappings"));
}

}  // namespace kata::container
