"""The lab: a virtual machine with this machine's own root file system, in which KVM, vhost, device-mapper and cgroup v2 are real."""
