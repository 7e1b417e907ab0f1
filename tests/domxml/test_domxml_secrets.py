"""Which bytes of domain XML count as secrets, and that no diff shows them."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from numaplan.domxml.diff import unified_diff
from numaplan.domxml.secrets import find_secrets
from numaplan.domxml.tree import parse
from tests.depth import draws

C = "canary"

SECRET = (
    f"<graphics type='vnc' port='-1' passwd='{C}' keymap='de'/>",
    f'<graphics type="rdp" username="{C}"\n  passwd="{C}"/>',
    f"<auth username='u'>\n<secret type='ceph' usage='{C}'/>\n</auth>",
    f"<encryption format='luks'><secret type='passphrase' uuid='{C}'/></encryption>",
    f"<source protocol='https' name='/i' query='{C}'/>",
    f"<cookies>\n<cookie name='s'>\n{C}\n</cookie></cookies>",
    f"<launchSecurity type='sev'><dhCert>{C}</dhCert>\n<session>\n{C}</session></launchSecurity>",
    f"<sysinfo type='fwcfg'><entry name='opt/x'>{C}</entry>\n<entry name='y'><![CDATA[\n{C}]]></entry></sysinfo>",
    f"<q:commandline xmlns:q='u'><q:arg value='{C}'/>\n<q:env name='X' value='{C}'/></q:commandline>",
    f"<description>the password:\n{C}</description>",
    f"<cmdline>root=/dev/vda token={C}</cmdline>",
    f"<metadata><a:apikey xmlns:a='u'>\n{C}</a:apikey><a:x xmlns:a='u' key='{C}'/></metadata>",
    f"<metadata><a:item xmlns:a='u' name='password' value='{C}'/></metadata>",
    f"<user-data encoding='base64'>{C}</user-data>",
    f"<!-- pw: {C} -->",
    f"<!-- password\n {C}\n-->",
    f"<!-- <graphics passwd='{C}'/> -->",
    f"<x><![CDATA[ <!-- secret {C} ]]></x>",
)
OPEN = (
    "<a b='1'/>",
    "<vcpu>2</vcpu>",
    "<name>fw1</name>",
    "<b>\n<c/>\n</b>",
    "<!-- nothing -->",
    "<graphics type='vnc' keymap='de'/>",
    "<memory unit='KiB'>1</memory>",
    "<x><![CDATA[ <!-- ]]></x>",
)


def masked(text: str) -> str:
    data = f"<domain>{text}</domain>".encode()
    return find_secrets(data, parse(data, "f").root).masked(data, 8, len(data) - 9).decode()


@pytest.mark.parametrize("text", SECRET)
def test_a_secret_is_masked_and_what_is_around_it_stays(text: str) -> None:
    shown = masked(text)
    assert C not in shown
    assert "***" in shown
    assert tags(shown) == tags(text)


def tags(text: str) -> list[str]:
    """The elements, without what stands in CDATA and comments."""
    return re.findall(r"</?[\w:-]+", re.sub(r"<!.*?(?:]]|--)>", "", text, flags=re.DOTALL))


@pytest.mark.parametrize("text", OPEN)
def test_what_is_no_secret_is_not_masked(text: str) -> None:
    assert masked(text) == text


def test_only_the_value_of_a_password_is_masked() -> None:
    assert masked("<graphics type='vnc' passwd='x' keymap='de'/>") == "<graphics type='vnc' passwd='***' keymap='de'/>"


@settings(max_examples=draws(30), deadline=None, derandomize=True)
@given(st.lists(st.sampled_from(SECRET + OPEN), max_size=12), st.data())
def test_no_diff_shows_a_secret_wherever_it_stands_and_whatever_changes(parts: list[str], data: st.DataObject) -> None:
    changed = list(parts)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(changed)))
        changed[at : at + data.draw(st.integers(0, 2))] = data.draw(st.lists(st.sampled_from(OPEN), max_size=2))
    glue = data.draw(st.sampled_from(["", "\n", " ", "\n  ", "\r\n"]))
    old, new = (f"<domain>{glue}{glue.join(each)}{glue}</domain>".encode() for each in (parts, changed))
    diff = unified_diff(old, new, "f.xml")
    assert C not in diff
    assert bool(diff) == (old != new)


def test_a_hostile_document_takes_no_long_time_to_look_through() -> None:
    # Each would be quadratic for a search that begins anew at every place.
    for text in ("<![CDATA[" + "<!--" * 100_000 + "]]>", "<!-- passwd -->" * 50_000, "<e passwd='x'/>" * 40_000):
        assert len(masked(text)) <= len(text) + 200_000
