"""The proof shares nothing with the search: what it imports is read off its source."""

import ast
from pathlib import Path

import numaplan.placement.verify as door

ALLOWED = ("numaplan.cpuset", "numaplan.units", "numaplan.model.", "numaplan.placement.verification.")


def test_verify_imports_the_model_and_itself_alone() -> None:
    file = Path(str(door.__file__))
    sources = [file, *sorted((file.parent / "verification").glob("*.py"))]
    found = {
        name
        for source in sources
        for node in ast.walk(ast.parse(source.read_text(encoding="utf-8")))
        for name in (
            [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else []
        )
        if name.startswith("numaplan")
    }
    assert len(sources) > 10
    assert {name for name in found if not name.startswith(ALLOWED)} == set()
