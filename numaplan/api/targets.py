"""The plan in the words of another tool: virsh, virt-install, QEMU, Nova, ESXi."""

from collections.abc import Callable
from typing import Final

from numaplan.api.place import Answer
from numaplan.model.guest import Guest
from numaplan.model.plan import Placement
from numaplan.model.request import GuestRequest
from numaplan.model.snapshot import Snapshot
from numaplan.model.target import Rendered
from numaplan.targets import nova, qemu, virsh, virt_install, vmx
from numaplan.targets.shell import comment
from numaplan.units import format_few

_Renderer = Callable[[GuestRequest, Placement, Snapshot, Guest | None], Rendered]
_RENDERERS: Final[dict[str, _Renderer]] = {
    "virsh": virsh.render,
    "virt-install": virt_install.render,
    "qemu": qemu.render,
    "nova": nova.render,
    "vmx": vmx.render,
}
# What runs from its first line to its last stops where a line fails.
_HEADS: Final = dict.fromkeys(("virsh", "nova"), "#!/bin/sh\nset -eu\n")
_MOST_NAMES: Final = 4


def render_plan(answer: Answer, target: str) -> Rendered:
    """Every placed guest in the order of vnf.yaml, below a comment with its name; nothing where there is no plan.

    A sentence of `cannot` that holds for several guests stands there once, with their names before it.
    """
    request = answer.plan.request
    if request is None or not answer.plan.placements:
        return Rendered("")
    existing = {guest.name: guest for guest in answer.snapshot.guests}
    texts = []
    sentences: dict[str, list[str]] = {}
    for guest in request.guests:
        placement = answer.plan.placement(guest.name)
        if placement is None:
            continue
        rendered = _RENDERERS[target](guest, placement, answer.snapshot, existing.get(guest.name))
        texts.append(f"{comment(guest.name)}\n{rendered.text}")
        for sentence in rendered.cannot:
            sentences.setdefault(sentence, []).append(guest.name)
    cannot = tuple(f"{format_few(names, _MOST_NAMES)}: {sentence}" for sentence, names in sentences.items())
    return Rendered(_HEADS.get(target, "") + "\n".join(texts), cannot)
