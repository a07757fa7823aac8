// Reads the files of the Container Device Interface.
#include "lib/oci/json_types.h"

namespace kata::oci::detail {

// Static, not in an unnamed namespace: the templates of json_reader.h find these by their argument Node.

static void read(const Node& node, CdiNode& out) {
  get(node, "path", out.path);
  get(node, "hostPath", out.host_path);
  get(node, "type", out.type);
  get(node, "major", out.major);
  get(node, "minor", out.minor);
  get(node, "fileMode", out.file_mode);
  get(node, "uid", out.uid);
  get(node, "gid", out.gid);
  get(node, "permissions", out.permissions);
}

static void read(const Node& node, CdiMount& out) {
  get(node, "hostPath", out.host_path);
  get(node, "containerPath", out.container_path);
  get(node, "type", out.type);
  get(node, "options", out.options);
}

static void read(const Node& node, CdiHook& out) {
  get(node, "hookName", out.hook_name);
  get(node, "path", out.path);
  get(node, "args", out.args);
  get(node, "env", out.env);
  get(node, "timeout", out.timeout);
}

static void read(const Node& node, CdiEdits& out) {
  get(node, "env", out.env);
  get(node, "deviceNodes", out.device_nodes);
  get(node, "mounts", out.mounts);
  get(node, "hooks", out.hooks);
  get(node, "additionalGids", out.additional_gids);
}

static void read(const Node& node, CdiDevice& out) {
  get(node, "name", out.name);
  get(node, "containerEdits", out.edits);
}

void read(const Node& node, CdiSpec& out) {
  get(node, "cdiVersion", out.version);
  get(node, "kind", out.kind);
  get(node, "devices", out.devices);
  get(node, "containerEdits", out.edits);
}

}  // namespace kata::oci::detail
