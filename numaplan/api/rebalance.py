"""Finds the moves of guests that are there which make room for others, or mend what lies badly; proves the outcome."""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Final

from numaplan.api.inventory import take_inventory
from numaplan.api.profiles import shipped_profiles
from numaplan.api.proof import demand_proof
from numaplan.api.question import read_question
from numaplan.api.where import Where
from numaplan.errors import InputError, Problem
from numaplan.model.moves import Moves
from numaplan.model.request import HostPolicy, Request
from numaplan.model.snapshot import Snapshot
from numaplan.placement.adopt import keep_guest_topology
from numaplan.placement.rebalance.moves import rebalance
from numaplan.spec.vnf import parse_vnf

_NO_GUEST: Final = "apiVersion: numaplan/v1\nvms: []\n"


def rebalance_host(vnf: Path | None, where: Where, *, host_profile: str | None, keep: Sequence[str] = ()) -> Moves:
    """Moves that let all guests of `vnf` be placed; where there are none, moves after which no guest lies badly.

    Guests in `keep` stay as they are. Raises InputError, BackendError, and UnprovenPlanError where the verifier does
    not agree.
    """
    if vnf is None:
        snapshot = take_inventory(where)
        request = Request(_policy(host_profile), ())
    else:
        question = read_question(vnf, where, host_profile=host_profile, may_ask_for_none=True)
        snapshot = question.snapshot
        request, _ = keep_guest_topology(question.request, snapshot)
    _check_kept(keep, request, snapshot)
    moves = rebalance(request, snapshot, keep=keep)
    demand_proof(moves.request, snapshot, moves.plan)
    return moves


def _policy(host_profile: str | None) -> HostPolicy:
    known = parse_vnf(
        _NO_GUEST,
        "--host-profile",
        profiles=shipped_profiles(),
        host_profile=host_profile,
        known_guests=frozenset(),
        may_ask_for_none=True,
    )
    return known.policy


def _check_kept(keep: Collection[str], request: Request, snapshot: Snapshot) -> None:
    there = {guest.name for guest in snapshot.guests}
    asked = {guest.name for guest in request.guests}
    problems = []
    for name in keep:
        if name in asked:
            problems.append(Problem(f'guest "{name}" is to be placed', "--keep", "take it out of vnf.yaml to keep it"))
        elif name not in there:
            problems.append(
                Problem(f'there is no guest "{name}" on this host', "--keep", "`numaplan inventory` lists them")
            )
    if problems:
        raise InputError.of(tuple(problems))
