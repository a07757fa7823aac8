// bpf(2), for which the C library has no wrapper.
#pragma once

#include <linux/bpf.h>

#include "lib/fd/unique_fd.h"

namespace kata::kernel {

// A command that answers with a descriptor. `tried` is for the error.
UniqueFd bpf_call(bpf_cmd command, bpf_attr& attributes, const char* tried);
// BPF_PROG_LOAD with our licence, which is filled in. The kernel's verifier gives up with EAGAIN when a
// signal comes, such as that of an ended child: then it is asked again.
UniqueFd load_bpf_program(bpf_attr& attributes, const char* tried);

}  // namespace kata::kernel
