"""The bundle of the load, as data beside this file, built and signed while a torture runs."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Mapping
from importlib import resources
from pathlib import Path

from holdgate.bundles.format import build_bundle, sign_bundle
from holdgate.kernel.permits import Signer

PREFIX = "torture"
FIRST_VERSION = "version: 1\n"
TENANT = '"alpha"'
EXPIRES = '"2040-01-01T00:00:00Z"'


def name_of(tenant: str) -> str:
    """What the bundle is called that rules on the load of `tenant`."""
    return f"{PREFIX}-{tenant}"


def signed_bundle(tenant: str, version: int, author: Signer, *, expires: str | None = None) -> bytes:
    """Version `version` of the bundle of `tenant`, signed by `author`. `expires`: RFC 3339, where it is to end soon.

    An API takes bundles that reach into its caller's tenant only; names of bundles and rules are shared by all.
    """
    changes = {
        f"name: {PREFIX}\n": f"name: {name_of(tenant)}\n",
        FIRST_VERSION: f"version: {version}\n",
        TENANT: f'"{tenant}"',
        EXPIRES: EXPIRES if expires is None else f'"{expires}"',
        f"{PREFIX}-": f"{name_of(tenant)}-",
    }
    with tempfile.TemporaryDirectory() as folder, resources.as_file(resources.files(__package__)) as source:
        copy = Path(folder) / PREFIX
        shutil.copytree(source, copy, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
        for file in copy.rglob("*.yaml"):
            file.write_text(_changed(file.read_text(), changes))
        return sign_bundle(build_bundle(copy), author)


def _changed(text: str, changes: Mapping[str, str]) -> str:
    pattern = re.compile("|".join(map(re.escape, changes)))
    return pattern.sub(lambda match: changes[match[0]], text)
