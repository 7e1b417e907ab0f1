"""A domain of a few elements, as it is read and as it is refused."""

import pytest

from numaplan.domxml.read import read_guest
from numaplan.errors import InputError
from numaplan.model.guest import Guest
from tests.domxml.plans import domain


def read(*inside: str, devices: tuple[str, ...] = ()) -> Guest:
    return read_guest(domain(*inside, devices=devices), "fw1.xml")


def refusal(*inside: str, devices: tuple[str, ...] = ()) -> str:
    with pytest.raises(InputError) as caught:
        read(*inside, devices=devices)
    return str(caught.value)
