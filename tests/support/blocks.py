"""Code blocks of a Markdown page, as a reader would copy them."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
RUN = "<!-- test: run -->"
STAND_INS = Path(__file__).parent / "bin"
"""Small stand-ins for `curl` and `jq` where a machine has neither; they know only what our pages use."""


def blocks(page: Path, language: str, *, marked: bool = False) -> list[str]:
    """The blocks of `language`; with `marked` only those that follow the line RUN."""
    before = re.escape(RUN) + r"\n" if marked else ""
    return re.findall(rf"{before}```{language}\n(.*?)^```$", page.read_text(), flags=re.DOTALL | re.MULTILINE)


def tools_path(path: str) -> str:
    """PATH with stand-ins for the tools that are missing."""
    missing = [tool for tool in ("curl", "jq") if shutil.which(tool, path=path) is None]
    return f"{path}:{STAND_INS}" if missing else path
