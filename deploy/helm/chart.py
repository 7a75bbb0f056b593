"""What the chart renders to, kept in the repository: `python deploy/helm/chart.py` writes it anew, and needs helm.

The first line of each rendered file holds a digest of the chart and the values, so that a test without helm sees when
it is old.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
CHART = HERE / "holdgate"
RENDERED = HERE / "rendered"
VALUES = tuple(sorted((HERE / "values").glob("*.yaml")))
KUBERNETES = "1.31"
MADE = "# Made by `make chart` from the chart and deploy/helm/values/{name}, {digest}\n"


def digest(values: Path) -> str:
    """Of every file of the chart, by name and content, and of the values."""
    hashed = hashlib.sha256()
    for file in (*sorted(file for file in CHART.rglob("*") if file.is_file()), values):
        content = hashlib.sha256(file.read_bytes()).hexdigest()
        hashed.update(f"{file.relative_to(HERE)} {content}\n".encode())
    return f"sha256:{hashed.hexdigest()}"


def helm(*arguments: str) -> str:
    """What helm prints; CalledProcessError when it fails."""
    command = ("helm", *arguments)
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=60, check=True).stdout


def render(values: Path) -> str:
    """The manifests with these values, below a line that says what they were made from."""
    shown = helm("template", "holdgate", str(CHART), "--values", str(values), "--kube-version", KUBERNETES)
    return MADE.format(name=values.name, digest=digest(values)) + shown


def main() -> int:
    """Write all."""
    if shutil.which("helm") is None:
        print("chart: no helm on the PATH: go install helm.sh/helm/v3/cmd/helm@latest", file=sys.stderr)
        return 1
    for values in VALUES:
        helm("lint", str(CHART), "--strict", "--values", str(values), "--kube-version", KUBERNETES)
        (RENDERED / values.name).write_text(render(values), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
