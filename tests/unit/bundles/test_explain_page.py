"""The page about explain and diff shows what the commands print."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from support.blocks import ALONE, ROOT, blocks, tools_path, write_files

PAGE = ROOT / "docs" / "how-to" / "explain-a-decision.md"


def test_the_output_that_the_page_shows_is_what_its_commands_print(tmp_path: Path) -> None:
    write_files(PAGE, tmp_path)
    printed = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", "\n".join(blocks(PAGE, "bash", marked=True, mark=ALONE))],
        env={"PATH": tools_path(f"{Path(sys.executable).parent}:/usr/bin:/bin")},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    ).stdout
    shown = blocks(PAGE, "text")
    assert len(shown) == 3
    for block in shown:
        assert block in printed
