#!/bin/busybox sh
# pid 1 of the lab: makes this machine's root file system its own, writable in memory only, and runs one command in it.
# Words of the kernel command line: lab.cgroup=v1|v2 lab.hugepages=N lab.out=PATH
export PATH=/bin
bb=/bin/busybox
$bb mkdir -p /proc /sys /dev /ro /rw /r
$bb mount -t proc proc /proc
$bb mount -t sysfs sysfs /sys
$bb mount -t devtmpfs devtmpfs /dev
while read -r module; do $bb insmod "$module" 2>/dev/null; done </modules
# The host's modules load beside the mounts.
while read -r module; do $bb insmod "$module" 2>/dev/null || echo "lab: $module did not load" >/dev/hvc0; done </modules.later &
loader=$!

for word in $($bb cat /proc/cmdline); do
  case $word in
    lab.*=*) value=${word#*=}; name=${word%%=*}; eval "lab_${name#lab.}=\$value" ;;
  esac
done

fail() { echo "lab: $1" >/dev/hvc0; $bb poweroff -f; }
$bb mount -t virtiofs root /ro -o ro || fail "the root share cannot be mounted"
$bb mount -t tmpfs tmpfs /rw -o size=75%
$bb mkdir -p /rw/upper /rw/work
$bb mount -t overlay overlay /r -o lowerdir=/ro,upperdir=/rw/upper,workdir=/rw/work || fail "no overlay"
for folder in proc sys dev run tmp ctl; do $bb mkdir -p /r/$folder; done
$bb mount -t proc proc /r/proc
$bb mount -t sysfs sysfs /r/sys
$bb mount --move /dev /r/dev
$bb mkdir -p /r/dev/pts /r/dev/shm
$bb mount -t devpts devpts /r/dev/pts -o ptmxmode=0666
$bb mount -t tmpfs tmpfs /r/dev/shm
$bb mount -t tmpfs tmpfs /r/run -o mode=755
$bb mount -t tmpfs tmpfs /r/tmp -o mode=1777
$bb mount -t virtiofs ctl /r/ctl || fail "the control share cannot be mounted"
if [ -n "$lab_out" ]; then
  $bb mkdir -p "/r$lab_out"
  $bb mount -t virtiofs out "/r$lab_out" || fail "the output share cannot be mounted"
fi
$bb ifconfig lo 127.0.0.1 up
$bb hostname lab

if [ "$lab_cgroup" = v1 ]; then
  $bb mount -t tmpfs tmpfs /r/sys/fs/cgroup
  for controller in cpu cpuacct cpuset memory devices freezer blkio pids; do
    $bb mkdir -p /r/sys/fs/cgroup/$controller
    # A kernel may have been built without some of them.
    $bb mount -t cgroup -o $controller cgroup /r/sys/fs/cgroup/$controller || $bb rmdir /r/sys/fs/cgroup/$controller
  done
else
  $bb mount -t cgroup2 cgroup2 /r/sys/fs/cgroup
  # Everything of the lab itself goes into a child, so that the root may hand its controllers down.
  $bb mkdir -p /r/sys/fs/cgroup/lab
  echo $$ >/r/sys/fs/cgroup/lab/cgroup.procs
  # The kernel changes its own code for some of them. With a second CPU at work it does so through breakpoints, and an emulated CPU
  # may still run the translation of one that is gone: "Oops: int3" in one lab of some hundred.
  echo 0 >/sys/devices/system/cpu/cpu1/online
  for controller in $($bb cat /r/sys/fs/cgroup/cgroup.controllers); do
    echo "+$controller" >/r/sys/fs/cgroup/cgroup.subtree_control 2>/dev/null
  done
  echo 1 >/sys/devices/system/cpu/cpu1/online
fi
[ -z "$lab_hugepages" ] || echo "$lab_hugepages" >/proc/sys/vm/nr_hugepages
wait $loader
echo ready >/r/ctl/ready

exec </r/dev/hvc0 >/r/dev/hvc0 2>&1
$bb stty raw -echo </r/dev/hvc0 2>/dev/null
# What the kernel loads by itself when something asks for it; the module package is on the control share.
echo /ctl/modprobe >/proc/sys/kernel/modprobe
# Not chroot: paths that the kernel tells of processes in other mount namespaces would begin with /r.
exec $bb switch_root /r /bin/sh /ctl/main
