"""The same plan in the words of other tools: virsh, virt-install, QEMU, Nova, ESXi; each with what it cannot say."""
