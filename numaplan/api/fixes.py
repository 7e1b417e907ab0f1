"""Why not, and what would help: fixes of an infeasible request, each proven on the documents as they would then be."""

import copy
import json
from dataclasses import replace
from typing import Final

from numaplan.api.clock import ENDLESS, Clock
from numaplan.api.profiles import shipped_profiles
from numaplan.api.question import Question
from numaplan.errors import InputError
from numaplan.model.change import Proposal
from numaplan.model.plan import Document, Fix, Operation, Plan, Status
from numaplan.model.request import Request
from numaplan.model.snapshot import Snapshot
from numaplan.placement.fixes.proposals import Proposals, is_possible, proposals
from numaplan.records.inventory import inventory_json
from numaplan.records.read import read_inventory
from numaplan.records.revise import inventory_patch
from numaplan.spec.revise import VnfFile
from numaplan.spec.vnf import parse_vnf

MAX_FIXES: Final = 8
_LATE: Final = "the time ended before everything was looked for that would help"
_TIRED: Final = "the work for fixes ended before everything was looked for that would help"
_DEARER: Final = "there were too many choices of several changes to go through: another one may be cheaper"


def with_fixes(question: Question, plan: Plan, *, change_topology: bool = False, clock: Clock = ENDLESS) -> Plan:
    """An infeasible plan with the cheapest fixes of its conflict, proven to be enough; any other as it is.

    Where the clock or the limit of work ends that before all were looked for, a note says so.
    """
    if plan.status is not Status.INFEASIBLE or plan.conflict is None:
        return plan
    names = {member.vm for member in plan.conflict.members if member.vm is not None}
    asked = (question.request, question.snapshot, names)
    found = proposals(*asked, change_topology=change_topology, remaining=clock.remaining)
    documents = _Documents(question, clock, change_topology=change_topology)
    fixes: list[Fix] = []
    for proposal in found.found:
        if len(fixes) < MAX_FIXES and (patch := documents.proven(proposal)):
            fixes.append(Fix(proposal.sentence, proposal.cost, proposal.document, patch))
    notes = (*plan.notes, *_doubts(found, clock))
    return replace(plan, conflict=replace(plan.conflict, fixes=tuple(fixes)), notes=notes)


def _doubts(found: Proposals, clock: Clock) -> tuple[str, ...]:
    """What may be missing, in a note."""
    if clock.is_over:
        return (_LATE,)
    if not found.complete:
        return (_TIRED,)
    return () if found.cheapest else (_DEARER,)


class _Documents:
    """The documents of a question: makes patches for them, and reads them again with these applied."""

    def __init__(self, question: Question, clock: Clock, *, change_topology: bool) -> None:
        self._question = question
        self._clock = clock
        self._change_topology = change_topology
        self._profiles = shipped_profiles()
        self._vnf = VnfFile(question.text, profiles=self._profiles)

    def proven(self, proposal: Proposal) -> tuple[Operation, ...]:
        """The patch for a proposal; () where the patched document does not say what was proposed, or has no plan.

        Nor is there one where the time is over.
        """
        if self._clock.is_over:
            return ()
        request, snapshot = self._question.request, self._question.snapshot
        try:
            if proposal.document is Document.VNF:
                patch = self._vnf.patch(proposal.edits)
                request = self._read_vnf(patch)
            else:
                patch = inventory_patch(snapshot, proposal.snapshot)
                snapshot = self._read_inventory(patch)
        except InputError:
            return ()
        # What was read again and is the same was searched already.
        same = (request, snapshot) == (proposal.request, proposal.snapshot)
        if same:
            return patch
        change, remaining = self._change_topology, self._clock.remaining
        return patch if is_possible(request, snapshot, change_topology=change, remaining=remaining) else ()

    def _read_vnf(self, patch: tuple[Operation, ...]) -> Request:
        question = self._question
        return parse_vnf(
            # JSON is YAML.
            json.dumps(patched(self._vnf.data, patch), ensure_ascii=False),
            question.file,
            profiles=self._profiles,
            host_profile=question.host_profile,
            known_guests=frozenset(guest.name for guest in question.snapshot.guests),
        )

    def _read_inventory(self, patch: tuple[Operation, ...]) -> Snapshot:
        document = patched(json.loads(inventory_json(self._question.snapshot)), patch)
        snapshot = read_inventory(json.dumps(document), "inventory.json")
        # Domain XML is read beside the document again, and speaks louder.
        return replace(snapshot, guests=self._question.snapshot.guests)


def patched(document: object, patch: tuple[Operation, ...]) -> object:
    """The document after the operations of a patch (RFC 6902) that adds, replaces and removes."""
    document = copy.deepcopy(document)
    for operation in patch:
        *way, last = (step.replace("~1", "/").replace("~0", "~") for step in operation.path.split("/")[1:])
        at = document
        for step in way:
            at = at[int(step)] if isinstance(at, list) else at[step]  # type: ignore[index]  # patches of ours fit
        _apply(at, last, operation)
    return document


def _apply(at: object, key: str, operation: Operation) -> None:
    if isinstance(at, list):
        if operation.op == "add":
            at.insert(int(key), operation.value)
        elif operation.op == "replace":
            at[int(key)] = operation.value
        else:
            del at[int(key)]
    elif isinstance(at, dict):
        if operation.op == "remove":
            del at[key]
        else:
            at[key] = operation.value
