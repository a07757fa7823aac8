// One reader per type of spec.h, in the order of the specification. Private to lib/oci.
#pragma once

#include "lib/oci/cdi.h"
#include "lib/oci/json_reader.h"
#include "lib/oci/spec.h"

namespace kata::oci::detail {

void read(const Node& node, Process& out);
void read(const Node& node, Hooks& out);
void read(const Node& node, Resources& out);
void read(const Node& node, IdMapping& out);
void read(const Node& node, Linux& out);
void read(const Node& node, Spec& out);
void read(const Node& node, CdiSpec& out);

}  // namespace kata::oci::detail
