"""Guests whose XML holds a canary in every place where people keep secrets."""

import re
import shutil
from pathlib import Path
from typing import Final

from tests.cli.running import DOMAINS

CANARY: Final = "KANARIE"
_NUMBERED: Final = re.compile(rf"{CANARY}-\w+")

# What is tuned stands between them, so that each is near a change in one guest or another.
_XML: Final = """\
<domain type='kvm' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
  <name>{name}</name>
  <uuid>3f1d0c0e-6a3b-4c0b-9a65-0d6a5ae0a{number:03}</uuid>
  <!-- the vendor's login is admin, its password:
       {canary}-comment
  -->
  <!-- password={canary}-line --><!-- <graphics passwd='{canary}-was'/> -->
  <title>the token is {canary}-title</title>
  <description>console: password={canary}-description
     passphrase:
     {canary}-description-lines</description>
  <metadata>
    <site:access xmlns:site='urn:site'>
      <site:token>
        {canary}-token
      </site:token>
      <site:api key='{canary}-key'/>
      <site:credentials user='a' value='{canary}-credentials'/>
    </site:access>
  </metadata>
  <memory unit='GiB'>1</memory>
  <vcpu>{vcpus}</vcpu>
  <sysinfo type='smbios'>
    <system>
      <entry name='serial'>ds=nocloud;h={canary}-serial</entry>
      <entry
        name='family'>
        {canary}-family
      </entry>
    </system>
    <oemStrings>
      <entry>{canary}-oem</entry>
    </oemStrings>
  </sysinfo>
  <sysinfo type='fwcfg'>
    <entry name='opt/com.example/userdata'>{canary}-fwcfg</entry>
    <entry name='opt/com.coreos/config'><![CDATA[
      {canary}-cdata <!-- ]]></entry>
  </sysinfo>
  <os>
    <type arch='x86_64' machine='q35'>hvm</type>
    <cmdline>console=ttyS0 password={canary}-cmdline</cmdline>
    <boot dev='hd'/>
  </os>
  <features>
    <acpi/>
    <apic/>
  </features>
  <cpu mode='host-passthrough' check='none'/>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
    <graphics type='vnc' port='-1' passwd='{canary}-vnc' keymap='de'/>
    <graphics type='spice' autoport='yes'
              passwd="{canary}-spice" passwdValidTo='2030-01-01T00:00:00'>
      <listen type='address' address='127.0.0.1'/>
    </graphics>
    <graphics type='rdp' autoport='yes' username='{canary}-rdp-user' passwd='{canary}-rdp'/>
    <disk type='network' device='disk'>
      <driver name='qemu' type='raw'/>
      <auth username='cephx'>
        <secret type='ceph' usage='{canary}-ceph'/>
      </auth>
      <source protocol='iscsi' name='iqn.2026-11.com.example:storage/1'>
        <auth username='u'>
          <secret type='iscsi' usage='{canary}-iscsi'/>
        </auth>
        <encryption format='luks'>
          <secret type='passphrase' uuid='{canary}-luks'/>
        </encryption>
      </source>
      <target dev='vda' bus='virtio'/>
    </disk>
    <disk type='network' device='cdrom'>
      <driver name='qemu' type='raw'/>
      <source protocol='https' name='/image' query='sig={canary}-query'>
        <host name='h' port='443'/>
        <cookies>
          <cookie name='session'>{canary}-cookie</cookie>
          <cookie name='more'>
            {canary}-cookie-lines
          </cookie>
        </cookies>
        <ssl verify='no'/>
      </source>
      <target dev='sda' bus='sata'/>
    </disk>
    <interface type='bridge'>
      <source bridge='br-mgmt'/>
      <model type='virtio'/>
    </interface>
    <memballoon model='none'/>
  </devices>
  <launchSecurity type='sev'>
    <policy>0x0001</policy>
    <dhCert>{canary}-dh</dhCert>
    <session>
      {canary}-session
    </session>
  </launchSecurity>
  <qemu:commandline>
    <qemu:arg value='-object'/>
    <qemu:arg value='secret,id=s0,data={canary}-arg'/>
    <qemu:env name='TOKEN' value='{canary}-env'/>
  </qemu:commandline>
</domain>
"""
PLACES: Final = len(set(_NUMBERED.findall(_XML.replace("{canary}", CANARY))))


def as_written(xml: str) -> str:
    return xml


def in_one_line(xml: str) -> str:
    return re.sub(r"\s*\n\s*", " ", xml)


def without_spaces(xml: str) -> str:
    return re.sub(r">\s*\n\s*<", "><", xml)


LAYOUTS: Final = (as_written, in_one_line, without_spaces)


def planted(name: str, number: int, vcpus: int) -> str:
    """The XML of one guest."""
    return _XML.format(name=name, number=number, vcpus=vcpus, canary=CANARY)


def plant(folder: Path) -> Path:
    """The example's guests, three of them with canaries, each laid out in another way."""
    shutil.copytree(DOMAINS, folder)
    for number, (name, vcpus) in enumerate((("router", 4), ("firewall", 4), ("control", 2))):
        (folder / f"{name}.xml").write_text(LAYOUTS[number](planted(name, number, vcpus)))
    return folder


def found(*texts: str) -> list[str]:
    """The canaries in some outputs, none twice."""
    return sorted({canary for text in texts for canary in _NUMBERED.findall(text)} | _bare(texts))


def _bare(texts: tuple[str, ...]) -> set[str]:
    return {CANARY} if any(CANARY in text for text in texts) else set()
