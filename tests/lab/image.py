"""The lab host's disk, made of Debian packages alone; built when the cache has none for this recipe.

Debian 12 with QEMU, libvirt and Linux of its backports, as one tree: the lab host's root, and the QEMU that runs it.
"""

import gzip
import hashlib
import lzma
import os
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
REQUIREMENTS = ROOT / "requirements" / "run.txt"

SUITE = "bookworm"
BACKPORTS = f"{SUITE}-backports"
PACKAGES = (  # noqa: SIM905 - a list of 15 lines tells no more
    "linux-image-amd64 qemu-system-x86 libvirt-daemon-system libvirt-clients python3 python3-libvirt udev kmod iproute2"
    " pciutils numactl hwloc-nox busybox-static openvswitch-switch procps"
).split()
# What the initramfs loads before it can mount the root.
MODULES = ("virtio_pci", "virtio_blk", "ext4")
WHEELS = ("manylinux_2_28_x86_64", "manylinux_2_27_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64")
DISK_MIB = 3072

INITRAMFS = """\
#!/bin/busybox sh
/bin/busybox mkdir -p /proc /dev /root
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t devtmpfs dev /dev
for module in $(/bin/busybox cat /order); do /bin/busybox insmod "/modules/$module"; done
/bin/busybox mount -t ext4 /dev/vda /root
exec /bin/busybox switch_root /root /lab/init
"""
# All but this comes from the checkout, so that a change of it costs no new disk.
INIT = """\
#!/bin/sh
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
mount -t proc proc /proc
mount -t sysfs sys /sys
modprobe -a 9pnet_virtio 9p
mkdir -p /mnt/project
mount -t 9p -o trans=virtio,version=9p2000.L,msize=512000,cache=loose project /mnt/project
exec sh /mnt/project/tests/lab/init.sh
"""


class LabError(Exception):
    """The lab cannot be built or run here; the text says what to do."""


def cache() -> Path:
    """Where trees and disks are kept between runs: NUMAPLAN_LAB_CACHE, else the user's cache."""
    named = os.environ.get("NUMAPLAN_LAB_CACHE")
    if named:
        return Path(named)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "numaplan-lab"


def built() -> Path:
    """The folder with `tree`, `disk.img`, `initramfs.gz` and `python`; builds what is not there yet."""
    folder = cache() / _recipe()
    if (folder / "complete").exists():
        return folder
    for tool in ("mmdebstrap", "mkfs.ext4", "apt-get", "unshare"):
        if shutil.which(tool) is None:
            raise LabError(f"{tool} is missing: apt-get install mmdebstrap e2fsprogs")
    _discard(folder)
    folder.mkdir(parents=True)
    _make_tree(folder / "tree")
    _install_python(folder / "python")
    _finish_tree(folder / "tree")
    _make_initramfs(folder)
    _make_disk(folder)
    (folder / "complete").touch()
    return folder


def _discard(folder: Path) -> None:
    """What an interrupted build left; never through what it had mounted there, which is the machine's own."""
    mounts = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    if any(Path(mount).is_relative_to(folder) for mount in mounts):
        raise LabError(f"something is still mounted below {folder}: unmount it first")
    _run("rm", "-rf", "--one-file-system", folder)


def _recipe() -> str:
    """A name for what is built: another recipe, another folder."""
    parts = [SUITE, *PACKAGES, *MODULES, INITRAMFS, INIT, REQUIREMENTS.read_text()]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def _run(*command: object) -> str:
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    if done.returncode:
        raise LabError(f"{command[0]} failed:\n{done.stdout[-2000:]}{done.stderr[-4000:]}")
    return done.stdout


def _make_tree(tree: Path) -> None:
    """mmdebstrap from the mirror that apt uses here."""
    mirrors = _run("apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages").split()
    mirror = next((mirror for mirror in mirrors if "security" not in mirror), None)
    if mirror is None:
        raise LabError("apt knows no mirror: run apt-get update first")
    sources = tree.with_name("sources.list")
    sources.write_text("".join(f"deb {mirror} {suite} main\n" for suite in (SUITE, BACKPORTS)))
    words = (f'APT::Default-Release "{BACKPORTS}"', 'APT::Install-Recommends "false"', 'Acquire::Retries "5"')
    options = [f"--aptopt={word}" for word in words]
    # What it mounts in the tree goes with it, however it ends.
    mmdebstrap = ("unshare", "--mount", "mmdebstrap", "--variant=minbase", f"--include={','.join(PACKAGES)}")
    _run(*mmdebstrap, *options, SUITE, tree, sources)


def _install_python(folder: Path) -> None:
    """What numaplan needs, as locked, for the tree's own Python, which is 3.11 whatever runs this."""
    platforms = [word for wheel in WHEELS for word in ("--platform", wheel)]
    _run(
        sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--require-hashes", "--only-binary=:all:",
        "--python-version", "3.11", "--implementation", "cp", "--abi", "cp311", "--abi", "abi3", "--abi", "none",
        *platforms, "--target", folder, "-r", REQUIREMENTS,
    )  # fmt: skip


def _finish_tree(tree: Path) -> None:
    """Our init in place of systemd, and a libvirt that needs neither AppArmor nor a user of its own."""
    lab = tree / "lab"
    lab.mkdir()
    (lab / "init").write_text(INIT)
    (lab / "init").chmod(0o755)
    (tree / "etc/hostname").write_text("lab\n")
    conf = tree / "etc/libvirt/qemu.conf"
    conf.write_text('stdio_handler = "file"\nsecurity_driver = "none"\nuser = "root"\ngroup = "root"\n')


def _make_initramfs(folder: Path) -> None:
    tree = folder / "tree"
    kernel = next((tree / "lib/modules").iterdir()).name
    work = folder / "initramfs"
    (work / "bin").mkdir(parents=True)
    (work / "modules").mkdir()
    shutil.copy(tree / "bin/busybox", work / "bin/busybox")
    _run("chroot", tree, "depmod", kernel)
    order: list[str] = []
    for module in MODULES:
        shown = _run("chroot", tree, "modprobe", "-S", kernel, "--show-depends", module)
        for line in shown.splitlines():
            word, _, path = line.partition(" ")
            source = tree / path.split()[0].lstrip("/") if path else tree
            if word != "insmod" or source.name in order:
                continue
            order.append(source.name)
            data = source.read_bytes()
            # busybox takes none that is compressed.
            (work / "modules" / source.name).write_bytes(lzma.decompress(data) if source.suffix == ".xz" else data)
    (work / "order").write_text("\n".join(order) + "\n")
    (work / "init").write_text(INITRAMFS)
    (work / "init").chmod(0o755)
    names = "\n".join(str(path.relative_to(work)) for path in sorted(work.rglob("*")))
    cpio = subprocess.run(
        [tree / "bin/busybox", "cpio", "-o", "-H", "newc"],
        cwd=work,
        input=names.encode(),
        capture_output=True,
        check=True,
    ).stdout
    (folder / "initramfs.gz").write_bytes(gzip.compress(cpio, 1))


def _make_disk(folder: Path) -> None:
    disk = folder / "disk.img"
    with disk.open("wb") as file:
        file.truncate(DISK_MIB << 20)
    _run("mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=1", "-O", "^has_journal", "-d", folder / "tree", disk)
