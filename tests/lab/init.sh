#!/bin/sh
# The lab host's init: of all that systemd would do, what a scenario needs. The work is in the last lines.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 HOME=/root
mount -t devtmpfs dev /dev 2>/dev/null
mkdir -p /dev/pts /dev/shm /dev/hugepages-2M /dev/hugepages-1G /mnt/python /mnt/results
mount -t devpts devpts /dev/pts
mount -t tmpfs shm /dev/shm
mount -t tmpfs run /run
mount -t tmpfs tmp /tmp
mount -t cgroup2 cgroup /sys/fs/cgroup
mount -t hugetlbfs -o pagesize=2M none /dev/hugepages-2M
mount -t hugetlbfs -o pagesize=1G none /dev/hugepages-1G 2>/dev/null
echo "+cpuset +memory +cpu" > /sys/fs/cgroup/cgroup.subtree_control
# So that no guest's cpuset is the first one: the kernel patches its page allocator then (cpusets_enabled_key).
mkdir /sys/fs/cgroup/held
hostname lab
ip link set lo up

# Only what scenarios look at: all devices take udev a minute of emulated time.
/lib/systemd/systemd-udevd --daemon 2>/dev/null
udevadm trigger --type=devices --action=add --subsystem-match=pci --subsystem-match=net --subsystem-match=block
udevadm settle --timeout=60
modprobe -a vfio_pci kvm_amd igb tun vhost_net bridge
udevadm settle --timeout=60

mount -t 9p -o trans=virtio,version=9p2000.L,msize=512000,cache=loose python /mnt/python
mount -t 9p -o trans=virtio,version=9p2000.L,msize=512000 results /mnt/results

export PYTHONPATH=/mnt/project:/mnt/python PYTHONDONTWRITEBYTECODE=1
cd /mnt/project
python3 -m tests.lab.inside > /mnt/results/output 2>&1
echo "$?" > /mnt/results/code
sync
echo o > /proc/sysrq-trigger
sleep 60
