"""Laboratory for demo and end-to-end tests: a busybox image made here, a private containerd, a configuration for kata-cpp."""
