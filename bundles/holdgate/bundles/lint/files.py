"""Lint of files: bundles read from disk, and findings that know where their rule stands. No IO."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from holdgate.bundles.documents import load_rules_file, parse_document
from holdgate.bundles.format import SOURCE_FILE, BundleFile
from holdgate.bundles.lint.catalog import finding
from holdgate.bundles.lint.findings import Finding, LintContext
from holdgate.bundles.lint.run import lint
from holdgate.bundles.manifest import Vocabulary
from holdgate.bundles.trusted import parse_bundle_rules
from holdgate.kernel.rules import BundleRules


@dataclass(frozen=True, slots=True)
class Source:
    """The rules of a bundle, and where each stands: file and line by id. `""` is the bundle itself."""

    rules: BundleRules
    vocabulary: Vocabulary
    places: Mapping[str, tuple[str, int]]
    is_untested: bool = False

    @property
    def name(self) -> str:
        """Of the bundle."""
        return self.rules.name


def source_of_bundle(file: BundleFile, prefix: str = "") -> Source:
    """The rules of a bundle; DocumentInvalid. `prefix` is put before the paths of its files."""
    places = {"": (prefix + SOURCE_FILE, 1)}
    for path, data in file.rules.items():
        places.update(_places(prefix + path, data))
    manifest = file.manifest
    return Source(parse_bundle_rules(file), manifest.vocabulary, places, is_untested=not manifest.tests)


def source_of_rules(name: str, path: str, data: bytes) -> Source:
    """The rules of a bare rules file, as those of a bundle `name`; DocumentInvalid."""
    rules = load_rules_file(path, data, name)
    return Source(rules, Vocabulary(), {"": (path, 1), **_places(path, data)})


def lint_sources(own: Sequence[Source], beside: Sequence[Source], people: LintContext) -> list[Finding]:
    """What is worth a look in the bundles `own`, each by its own vocabulary, and what of `beside` is so only with them.

    All of them are taken as being in force together. `people`: who may approve; its vocabulary is not looked at.
    """
    together = [source.rules for source in (*own, *beside)]
    found = [item for source in own for item in _of_one(source, together, people)]
    if beside:
        bare = replace(people, vocabulary=Vocabulary())
        known = set(lint([source.rules for source in beside], bare))
        names = {source.name for source in beside}
        found += [item for item in lint(together, bare) if item.bundle in names and item not in known]
    places = {source.name: source.places for source in (*beside, *own)}
    return [_placed(item, places[item.bundle]) for item in found]


def _of_one(source: Source, together: Sequence[BundleRules], people: LintContext) -> Iterator[Finding]:
    if source.is_untested:
        message = "has no tests; write cases, and name their file in `tests` of bundle.yaml"
        yield finding("bundle-untested", source.name, "", message)
    context = replace(people, vocabulary=source.vocabulary)
    yield from (item for item in lint(together, context) if item.bundle == source.name)


def _placed(item: Finding, places: Mapping[str, tuple[str, int]]) -> Finding:
    file, line = places.get(item.rule, places[""])
    return replace(item, file=file, line=line)


def _places(path: str, data: bytes) -> dict[str, tuple[str, int]]:
    """Where the rules of a file stand, by their ids. The file has been loaded before."""
    document = parse_document(path, data)
    content: Any = document.data
    places = {
        rule["id"]: (path, document.line((kind, position)))
        for kind in ("rules", "output_rules", "allow_findings", "detectors")
        for position, rule in enumerate(content.get(kind) or ())
    }
    for position, mode in enumerate(content.get("detector_modes") or ()):
        places[f"mode of {mode['detector']}"] = (path, document.line(("detector_modes", position)))
    return places
