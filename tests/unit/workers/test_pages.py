"""What the pages about secrets and files show is what the worker takes."""

from __future__ import annotations

from pathlib import Path

from holdgate.workers import Worker
from holdgate.workers.secretsfile import load_secret_sources
from support.blocks import ROOT, blocks

SECRETS, ARTIFACTS = ROOT / "docs/how-to/worker-secrets.md", ROOT / "docs/how-to/artifacts.md"


def test_the_file_of_secrets_on_the_page_loads(tmp_path: Path) -> None:
    (text,) = blocks(SECRETS, "yaml")
    file = tmp_path / "secrets.yaml"
    file.write_text(text)
    file.chmod(0o600)
    assert load_secret_sources(file).variables == {"DB_PASSWORD"}


def test_the_handlers_on_the_pages_are_handlers() -> None:
    for page, topic in ((SECRETS, "job.report.daily"), (ARTIFACTS, "job.report.build")):
        (text,) = blocks(page, "python")
        made: dict[str, object] = {"__name__": "page"}
        exec(text, made)  # noqa: S102  a page of ours
        worker = made["worker"]
        assert isinstance(worker, Worker)
        assert worker.handlers.patterns == [topic]
