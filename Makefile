# A thin front to CMake for those who only want to build and install.
#   make                              release binaries and the guest
#   make install DESTDIR= PREFIX=     binaries, guest and default configuration, so that an existing containerd finds the runtime by
#                                     its name io.containerd.kata.v2 alone (PREFIX/bin has to be in containerd's PATH)
#   make check                        set-up and all tests that this machine can run
PREFIX ?= /usr
DESTDIR ?=
BUILD = build/release
GUEST = build/guest
PROGRAMS = containerd-shim-kata-v2 kata-vsock-device
BINDIR = $(DESTDIR)$(PREFIX)/bin
DATADIR = $(DESTDIR)$(PREFIX)/share/kata-containers
CONFDIR = $(PREFIX)/share/defaults/kata-containers/runtime-rs
GUEST_FILES = vmlinux.container vmlinux.container.first-stage kata-containers-initrd.img kata-containers.img kata-containers.verity
ETC = $(DESTDIR)/etc/kata-containers/runtime-rs

.PHONY: all build install uninstall check demo clean

all: build
	image/build --out $(GUEST)

build:
	cmake --preset release -DCMAKE_INSTALL_PREFIX=$(PREFIX)
	ninja -C $(BUILD)

install: all
	install -d $(BINDIR) $(DATADIR)
	install -m 755 $(addprefix $(BUILD)/bin/,$(PROGRAMS)) $(BINDIR)
	install -m 644 $(GUEST)/vmlinux $(DATADIR)/vmlinux.container
	install -m 644 $(GUEST)/vmlinux.first-stage $(DATADIR)/vmlinux.container.first-stage
	install -m 644 $(GUEST)/kata-initrd.img $(DATADIR)/kata-containers-initrd.img
	install -m 644 $(GUEST)/kata-ext4.img $(DATADIR)/kata-containers.img
	install -m 644 $(GUEST)/kata-ext4.verity $(DATADIR)/kata-containers.verity
	DESTDIR=$(DESTDIR) cmake --install $(BUILD)
# The configuration is looked for in /etc and below /usr/share; from another prefix a link in /etc leads to it.
ifneq ($(PREFIX),/usr)
	install -d $(ETC)
	test -e $(ETC)/configuration.toml || ln -s $(CONFDIR)/configuration-qemu.toml $(ETC)/configuration.toml
endif

uninstall:
	rm -f $(addprefix $(BINDIR)/,$(PROGRAMS)) $(addprefix $(DATADIR)/,$(GUEST_FILES))
	rm -f $(DESTDIR)$(CONFDIR)/configuration-qemu.toml $(DESTDIR)$(CONFDIR)/configuration.toml
	test "$$(readlink $(ETC)/configuration.toml)" != $(CONFDIR)/configuration-qemu.toml || rm $(ETC)/configuration.toml

check:
	tools/check

demo:
	tools/demo

clean:
	rm -rf build
