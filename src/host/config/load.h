// The steps of load() after the file has been read, for tests and the fuzz target.
#pragma once

#include "host/config/document.h"

namespace kata::config {

// Tables, annotations, fix-ups and checks. Throws kInvalidArgument with every problem found.
Config resolve(Document document, const LoadRequest& request);

}  // namespace kata::config
