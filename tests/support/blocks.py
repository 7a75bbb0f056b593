"""Code blocks of a Markdown page, as a reader would copy them."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
RUN = "<!-- test: run -->"
ALONE = "<!-- test: alone -->"
"""Before a block that needs no system; the marked blocks of a page are one walk."""
SYSTEM = "<!-- test: system -->"
"""Before a block that needs a running system of its own; the marked blocks of a page are one walk."""
SHARED = "<!-- test: shared -->"
"""Before a block that leaves a running system as it was; the marked blocks of a page are one walk."""
FILE = re.compile(r"<!-- file: ([a-z0-9/._-]+) -->\n```[a-z]*\n(.*?)^```$", re.DOTALL | re.MULTILINE)
"""A block that is a file: written before the page's commands run."""
STAND_INS = Path(__file__).parent / "bin"
"""Small stand-ins for `curl` and `jq` where a machine has neither; they know only what our pages use."""


def blocks(page: Path, language: str, *, marked: bool = False, mark: str = RUN) -> list[str]:
    """The blocks of `language`; with `marked` only those that follow the line `mark`."""
    before = re.escape(mark) + r"\n" if marked else ""
    return re.findall(rf"{before}```{language}\n(.*?)^```$", page.read_text(), flags=re.DOTALL | re.MULTILINE)


def write_files(page: Path, folder: Path) -> None:
    """The files that the page shows, in `folder`."""
    for name, text in FILE.findall(page.read_text()):
        place = folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)


def tools_path(path: str) -> str:
    """PATH with stand-ins for the tools that are missing."""
    missing = [tool for tool in ("curl", "jq") if shutil.which(tool, path=path) is None]
    return f"{path}:{STAND_INS}" if missing else path
