"""The image: built from locked files, run as nobody in particular."""

from __future__ import annotations

import re

from support.blocks import ROOT

FILE = (ROOT / "deploy" / "Dockerfile").read_text()
LAST = FILE.rpartition("\nFROM ")[2]


def test_it_runs_as_a_user_of_its_own_and_is_looked_at() -> None:
    """By number, since `runAsNonRoot` does not believe names; the one that the chart names."""
    chart = (ROOT / "deploy" / "helm" / "holdgate" / "values.yaml").read_text()
    (user,) = re.findall(r"^USER (\d+):\1$", LAST, re.MULTILINE)
    assert f"runAsUser: {user}" in chart
    assert "/healthz" in re.findall(r"^HEALTHCHECK .*\\\n.*$", LAST, re.MULTILINE)[0]
    assert re.findall(r"^ENTRYPOINT (.*)$", LAST, re.MULTILINE) == ['["holdgate"]']


def test_every_package_in_it_is_named_with_its_hash() -> None:
    """And what traces is among them."""
    for install in re.findall(r"pip install (.*)", FILE):
        assert "--require-hashes" in install or install.startswith("--no-deps /wheel/")
    assert "opentelemetry-sdk==" in (ROOT / "requirements" / "image.txt").read_text()


def test_nothing_private_can_come_into_it() -> None:
    """What is sent to the build is a list of what is needed, not everything but."""
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert ignored[0] == "*"
    assert {line.removeprefix("!") for line in ignored if line.startswith("!")} == {
        "requirements", "pyproject.toml", "README.md", "LICENSE", "kernel", "bundles", "workers", "scheduler",
    }  # fmt: skip
