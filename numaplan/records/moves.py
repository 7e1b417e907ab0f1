"""Moves to JSON (schema ``numaplan/moves/1``)."""

from typing import Final

from numaplan.model.moves import Move, Moves, Spot
from numaplan.records.plan import plan_document
from numaplan.records.text import dump

MOVES_SCHEMA: Final = "numaplan/moves/1"


def moves_json(moves: Moves) -> str:
    """The document of moves; its plan is a plan document as it would stand by itself."""
    plan = plan_document(moves.plan)
    return dump(
        {
            "schema": MOVES_SCHEMA,
            "status": moves.status.value,
            "cost": moves.cost,
            "bound": moves.bound,
            "moves": [_move(move) for move in moves.moves],
            "unmovable": [{"vm": each.vm, "reason": each.reason} for each in moves.unmovable],
            "plan": plan,
            "conflict": plan["conflict"],
        }
    )


def _move(move: Move) -> dict[str, object]:
    return {
        "step": move.step,
        "vm": move.vm,
        "kind": move.kind.value,
        "cost": move.cost,
        "from": _spot(move.before),
        "to": _spot(move.after),
        "sentence": move.sentence,
    }


def _spot(spot: Spot | None) -> dict[str, object] | None:
    if spot is None:
        return None
    return {
        "cells": [
            {
                "id": cell.id,
                "numa_nodes": list(cell.numa_nodes),
                "cpus": str(cell.cpus),
                "memory_node": cell.memory_node,
                "memory_nodes": list(cell.memory_nodes),
            }
            for cell in spot.cells
        ],
        "devices": [str(address) for address in spot.devices],
    }
