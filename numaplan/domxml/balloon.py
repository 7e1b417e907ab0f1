"""``<memballoon>``: pages that are huge, or held for good, are not given back through a balloon."""

from typing import Final

from numaplan.domxml.devices import device_elements
from numaplan.domxml.element import New
from numaplan.domxml.task import Task

NAME: Final = "memballoon"
NO_BALLOON: Final = "none"
# Attributes that say how a balloon works.
_OF_A_BALLOON: Final = ("autodeflate", "freePageReporting")


def patch_memballoon(task: Task) -> None:
    """``<memballoon model='none'/>`` where the guest is to have none; QEMU guests without the element get a balloon."""
    if not task.takes_balloon:
        return
    there = device_elements(task.document, NAME)
    for element in there:
        task.edits.set_attribute(element, "model", NO_BALLOON)
        for name in _OF_A_BALLOON:
            task.edits.drop_attribute(element, name)
        if element.children:
            task.edits.empty(element)
    if not there:
        task.add_device(New(NAME, (("model", NO_BALLOON),)))
