"""The bundle of the load, as data beside this file, built and signed while a torture runs."""

from __future__ import annotations

import shutil
import tempfile
from importlib import resources
from pathlib import Path

from holdgate.bundles.format import build_bundle, sign_bundle
from holdgate.kernel.permits import Signer

NAME = "torture"
FIRST_VERSION = "version: 1\n"
EXPIRES = '"2040-01-01T00:00:00Z"'


def signed_bundle(version: int, author: Signer, *, expires: str | None = None) -> bytes:
    """Version `version` of the bundle, signed by `author`. `expires`: RFC 3339, where it is to end soon."""
    with tempfile.TemporaryDirectory() as folder, resources.as_file(resources.files(__package__)) as source:
        copy = Path(folder) / NAME
        shutil.copytree(source, copy, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
        manifest = copy / "bundle.yaml"
        text = manifest.read_text().replace(FIRST_VERSION, f"version: {version}\n")
        manifest.write_text(text if expires is None else text.replace(EXPIRES, f'"{expires}"'))
        return sign_bundle(build_bundle(copy), author)
