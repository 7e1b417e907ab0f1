"""Plans, proves and audits the NUMA placement of VNFs on KVM hosts."""

__version__ = "0.1.0"
