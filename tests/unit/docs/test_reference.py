"""Pages that are made from the code say what the code says; pages that people wrote link to what is there."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
SPEC = importlib.util.spec_from_file_location("pages", ROOT / "docs" / "pages.py")
assert SPEC is not None
assert SPEC.loader is not None
pages = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(pages)
WRITTEN = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), *sorted(ROOT.glob("[CS]*.md"))]


@pytest.mark.parametrize("page", sorted(pages.PAGES))
def test_the_page_is_current_or_make_docs_was_forgotten(page: str) -> None:
    assert (pages.REFERENCE / page).read_text(encoding="utf-8") == pages.PAGES[page]()


@pytest.mark.parametrize("page", WRITTEN, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_of_a_page_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    missing = [target for target in targets if "://" not in target and not (page.parent / target).exists()]
    assert not missing


@pytest.mark.parametrize("page", WRITTEN, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_metric_that_a_page_names_exists(page: Path) -> None:
    known = set(re.findall(r"`(holdgate_[a-z_]+)`", pages.metrics()))
    named = set(re.findall(r"\b(holdgate_[a-z_]+)\b", page.read_text(encoding="utf-8")))
    assert named <= known
