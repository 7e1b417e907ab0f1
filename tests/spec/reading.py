"""Short ways to read a vnf.yaml in a test."""

from pathlib import Path

import pytest

from numaplan.errors import ExitCode, InputError
from numaplan.model.request import GuestRequest, InterfaceRequest, Request
from numaplan.spec.vnf import parse_vnf

PROFILES = Path(__file__).resolve().parents[2] / "profiles"

TINY = """\
apiVersion: numaplan/v1
host:
  physnets: {phys0: [ens1f0, ens2f0]}
vms:
  - name: fw1
    vcpus: 8
    memory: 16GiB
"""


def read(
    text: str,
    *,
    profiles: dict[str, str] | None = None,
    host_profile: str | None = None,
    known_guests: tuple[str, ...] = (),
) -> Request:
    return parse_vnf(
        text,
        "vnf.yaml",
        profiles=profiles or {},
        host_profile=host_profile,
        known_guests=frozenset(known_guests),
    )


def refused(text: str, **options: object) -> str:
    """What the user reads; fails where the text is accepted."""
    with pytest.raises(InputError) as caught:
        read(text, **options)  # type: ignore[arg-type]  # passed on as they are
    assert caught.value.exit_code == ExitCode.BAD_INPUT
    return str(caught.value)


def vm(keys: str = "", *, host: str = "{}", defaults: str = "{}") -> str:
    """A file with one vm, fw1, of 8 vCPUs and 16 GiB; `keys` are lines of its own."""
    body = "".join(f"    {line}\n" for line in keys.splitlines())
    given = {line.split(":")[0] for line in keys.splitlines()}
    size = "".join(f"    {key}: {value}\n" for key, value in (("vcpus", "8"), ("memory", "16GiB")) if key not in given)
    return f"apiVersion: numaplan/v1\nhost: {host}\ndefaults: {defaults}\nvms:\n  - name: fw1\n{size}{body}"


def guest(keys: str = "", *, host: str = "{}", defaults: str = "{}") -> GuestRequest:
    (request,) = read(vm(keys, host=host, defaults=defaults)).guests
    return request


def interface(keys: str) -> InterfaceRequest:
    (request,) = guest(f"interfaces: [{{name: data, {keys}}}]", host="{physnets: {phys0: [ens1f0]}}").interfaces
    return request
