"""Connection URIs: what is let through to libvirt."""

import pytest

from numaplan.errors import InputError
from numaplan.sources.uri import check_uri, is_local, redact


@pytest.mark.parametrize(
    "uri",
    [
        "qemu:///system",
        "qemu:///session",
        "qemu+unix:///system?socket=/run/libvirt/virtqemud-sock",
        "qemu+ssh://kvm1/system",
        "qemu+ssh://root@kvm1.example.org:2222/system?keyfile=/etc/kvm/id_ed25519&no_tty=1",
        "qemu+ssh://[fe80::1%eth0]/system",
        "qemu+tls://10.0.0.1/system",
        "test:///default",
        "test:////srv/hosts/kvm1.xml",
    ],
)
def test_a_plain_uri_is_let_through_as_it_stands(uri: str) -> None:
    assert check_uri(uri) == uri


@pytest.mark.parametrize(
    ("uri", "text"),
    [
        ("", "--connect: the connection URI is empty"),
        ("-x", "a connection of this kind is not made"),
        ("myalias", "a connection of this kind is not made"),
        ("QEMU:///system", "expected qemu://, qemu+ssh://, qemu+unix://, qemu+tls://, test://"),
        ("xen:///system", "a connection of this kind is not made"),
        ("qemu+tcp://kvm1/system", "a connection of this kind is not made"),
        ("qemu+ext://kvm1/system?command=/bin/x", "a connection of this kind is not made"),
        ("qemu:/system", "a connection of this kind is not made"),
        ("qemu:///embed?root=/tmp", "the path is '/embed'; expected /system or /session"),
        ("qemu+ssh://kvm1/system;x=1", "the path is '/system;x=1'"),
        ("qemu://kvm1/system", "names a host, but no way there"),
        ("qemu+unix://kvm1/system", "names a host, but no way there"),
        ("qemu+ssh:///system", "names no host"),
        ("qemu+ssh://-oProxyCommand=x/system", "no host name"),
        ("qemu+ssh://-l@kvm1/system", "no user name"),
        ("qemu+ssh://a%0ab@kvm1/system", "no user name"),
        ("qemu+ssh://a@b@kvm1/system", "no user name"),
        ("qemu+ssh://kvm1:99999/system", "no connection URI"),
        ("qemu+ssh://[::1/system", "no connection URI"),
        ("qemu+ssh://kvm1/system\n", "no connection URI"),
        ("qemu+ssh://kvm1/sys tem", "no connection URI"),
        ("qemu+ssh://kvм1/system", "no connection URI"),
        ("qemu+ssh://kvm1/system#x", "has no fragment"),
        ("qemu+ssh://kvm1/system?command=/tmp/x", "the parameter 'command' is not let through; allowed are keyfile"),
        ("qemu+ssh://kvm1/system?c%6fmmand=/tmp/x", "the parameter 'command' is not let through"),
        ("qemu+ssh://kvm1/system?no_tty=1&netcat=/tmp/x", "the parameter 'netcat' is not let through"),
        ("qemu+ssh://kvm1/system?sshauth=none", "the parameter 'sshauth' is not let through"),
        ("qemu+ssh://kvm1/system?no_verify=1", "the parameter 'no_verify' is not let through"),
        ("qemu+tls://kvm1/system?pkipath=/tmp", "the parameter 'pkipath' is not let through"),
        ("qemu+ssh://kvm1/system?keyfile=/k;command=/tmp/x", "the parameter keyfile has no plain value"),
        ("qemu+ssh://kvm1/system?keyfile=/k%3bcommand=/tmp/x", "the parameter keyfile has no plain value"),
        ("qemu+ssh://kvm1/system?socket=-x", "the parameter socket has no plain value"),
        ("qemu+ssh://kvm1/system?socket=$(x)", "the parameter socket has no plain value"),
        ("test:///default?x=1", "no URI of libvirt's test driver"),
        ("test://kvm1/default", "names a host, but no way there"),
        ("qemu+ssh://kvm1/" + "x" * 5000, "no connection URI"),
    ],
)
def test_a_uri_that_could_do_more_than_connect_is_refused(uri: str, text: str) -> None:
    with pytest.raises(InputError) as caught:
        check_uri(uri)
    assert text in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("uri", ["qemu+ssh://root:s3cret@kvm1/system", "qemu+ssh://root:s3cret@kvm1:x/system"])
def test_a_password_is_refused_and_never_repeated(uri: str) -> None:
    with pytest.raises(InputError) as caught:
        check_uri(uri)
    assert "s3cret" not in str(caught.value)
    assert "s3cret" not in redact(uri)


def test_a_redacted_uri_keeps_the_way_and_the_host() -> None:
    assert redact("qemu+ssh://root@kvm1:22/system?keyfile=/etc/kvm/k") == "qemu+ssh://kvm1:22/system"


def test_a_uri_is_local_where_it_names_no_host() -> None:
    assert is_local("qemu:///system")
    assert is_local("qemu+unix:///system?socket=/run/x")
    assert not is_local("qemu+ssh://localhost/system")
