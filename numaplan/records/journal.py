"""Journals of transactions to JSON (schema ``numaplan/journal/1``) and back."""

import hashlib

from numaplan.errors import InputError
from numaplan.model.journal import Journal, JournalStep, StepState
from numaplan.records.document import load
from numaplan.records.journal_form import JOURNAL_SCHEMA, JournalForm
from numaplan.records.text import dump


def journal_json(journal: Journal) -> str:
    """The document of a journal."""
    document = _document(journal)
    return dump(document | {"checksum": _checksum(document)})


def read_journal(text: str, file: str) -> Journal:
    """The journal in a document; raises InputError for one that is not, to the letter, what numaplan wrote."""
    form = load(text, file, form=JournalForm, schema=JOURNAL_SCHEMA)
    journal = Journal(
        form.id,
        form.target,
        form.undoes,
        tuple(
            JournalStep(step.guest, step.kind, step.file, step.state, step.old, step.new, step.written)
            for step in form.steps
        ),
    )
    if _checksum(_document(journal)) != form.checksum:
        raise InputError("the checksum does not fit what stands in it", file)
    for step in journal.steps:
        if (step.state is StepState.WRITTEN) != (step.written is not None):
            raise InputError("a step is written exactly where what was read back is there", file)
    return journal


def _checksum(document: dict[str, object]) -> str:
    return hashlib.sha256(dump(document).encode()).hexdigest()


def _document(journal: Journal) -> dict[str, object]:
    return {
        "schema": JOURNAL_SCHEMA,
        "id": journal.id,
        "target": journal.target,
        "undoes": journal.undoes,
        "steps": [
            {
                "guest": step.guest,
                "kind": step.kind,
                "file": step.file,
                "state": step.state.value,
                "old": step.old,
                "new": step.new,
                "written": step.written,
            }
            for step in journal.steps
        ],
    }
