"""Builders of the guest: kernel from Debian's package, initrd with the agent and the modules it needs."""
