"""A connection that leads to another host than the one that was planned for, from a capture, is refused."""

import pytest

from numaplan.api.apply import refuse_other_host
from numaplan.apply.libvirt import LibvirtTarget
from numaplan.errors import ExitCode, StaleError
from numaplan.sources.definitions import Definitions
from tests.apply.made_libvirt import MadeLibvirt, any_library


def target(uri: str = "qemu+ssh://made/system") -> LibvirtTarget:
    """Its host calls itself "made"."""
    return LibvirtTarget(Definitions(uri, any_library(MadeLibvirt())))


def test_another_host_is_refused_by_name() -> None:
    with pytest.raises(StaleError, match="was made for the host atlas7, this connection leads to made") as refused:
        refuse_other_host("atlas7", target())
    assert refused.value.exit_code is ExitCode.STALE


@pytest.mark.parametrize("planned", ["made", "MADE", "made.example.net", None])
def test_the_same_host_is_not_with_or_without_its_domain(planned: str | None) -> None:
    refuse_other_host(planned, target())


def test_the_test_driver_stands_for_any_host() -> None:
    refuse_other_host("atlas7", target("test:///default"))
