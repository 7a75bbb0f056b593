"""Bundles with tests, made of text."""

from __future__ import annotations

from holdgate.bundles.format import BundleFile
from holdgate.bundles.manifest import FileEntry, Manifest
from holdgate.kernel.canonical import digest_bytes

RULES = "rules.yaml"
TESTS = "tests.yaml"


def bundle_of(rules: str, *tests: str) -> BundleFile:
    """A bundle `probe` with these rules and files of tests: `tests.yaml`, then `tests1.yaml` and so on."""
    texts = {RULES: rules} | {TESTS if not number else f"tests{number}.yaml": text for number, text in enumerate(tests)}
    files = {path: text.encode() for path, text in texts.items()}
    manifest = Manifest(
        name="probe",
        version=1,
        expires="2040-01-01T00:00:00Z",
        rules=[RULES],
        tests=[path for path in files if path != RULES],
        files=[FileEntry(path=path, sha256=digest_bytes(data), bytes=len(data)) for path, data in files.items()],
    )
    return BundleFile(manifest, files, ())
