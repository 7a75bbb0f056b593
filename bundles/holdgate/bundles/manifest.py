"""What a bundle says of itself: `bundle.yaml` as its author writes it, and the manifest that signatures cover. No IO.

name: house
version: 3
description: "Who may do what to production"
scope: {tenants: ["*"], topics: ["job.deploy.>"]}
valid_from: "2026-01-01T00:00:00Z"     # optional
expires: "2027-01-01T00:00:00Z"
grace: 7d                              # optional: how much longer it decides, with a warning
rules: [rules/deploy.yaml]
tests: [tests/deploy.yaml]             # optional
vocabulary: {…}                        # optional, for `holdgate bundle lint`
"""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from holdgate.bundles.root import Name, Pattern, Scope, parse_time_ms
from holdgate.kernel import limits
from holdgate.kernel.canonical import canonical_bytes
from holdgate.kernel.clock import parse_rfc3339
from holdgate.kernel.errors import InvalidInput
from holdgate.kernel.ruletypes import LabelKey, Tag, parse_duration_s
from holdgate.kernel.topics import is_pattern

FORMAT = "holdgate-bundle/1"
FILES_MAX = 100
"""Rules files in a bundle, and as many files of tests."""
GRACE_S_MAX = 90 * 86_400

FILE_PATH_CHARS_MAX = 200
FILE_PATH = r"^[a-z0-9][a-z0-9_-]*(/[a-z0-9][a-z0-9_-]*){0,4}\.yaml$"
FilePath = Annotated[str, StringConstraints(max_length=FILE_PATH_CHARS_MAX, pattern=FILE_PATH)]
Sha256 = Annotated[str, StringConstraints(pattern=r"^sha256:[0-9a-f]{64}$")]


def is_file_path(path: str) -> bool:
    """Whether a file of a bundle may be called so: below it, in small letters, and YAML."""
    return len(path) <= FILE_PATH_CHARS_MAX and re.fullmatch(FILE_PATH, path) is not None


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class TopicVocabulary(_Strict):
    """What jobs of a topic say of themselves."""

    labels: list[LabelKey] = Field(default=[], max_length=limits.LABELS_MAX)
    capabilities: list[Tag] = Field(default=[], max_length=limits.TAGS_MAX)


class Vocabulary(_Strict):
    """The words that jobs, workers and people use, by which a linter finds words that nobody uses.

    `topics`: by pattern, the labels and capabilities of jobs there. `write_capabilities`: those that change something.
    `roles`: approver roles that somebody holds. An empty one says nothing.
    """

    topics: dict[Pattern, TopicVocabulary] = Field(default={}, max_length=1000)
    write_capabilities: list[Tag] = Field(default=[], max_length=1000)
    roles: list[Name] = Field(default=[], max_length=1000)

    @model_validator(mode="after")
    def _are_patterns(self) -> Self:
        if not all(map(is_pattern, self.topics)):
            msg = "`topics` of the vocabulary are topic patterns"
            raise ValueError(msg)
        return self


class BundleSource(_Strict):
    """`bundle.yaml`. Times are RFC 3339, `grace` a duration such as `7d`; files stand beside it, in this order."""

    name: Name
    version: int = Field(ge=1, le=2**53 - 1)
    description: str = Field(default="", max_length=2000)
    scope: Scope = Scope()
    valid_from: str | None = None
    expires: str
    grace: str | None = None
    rules: list[FilePath] = Field(min_length=1, max_length=FILES_MAX)
    tests: list[FilePath] = Field(default=[], max_length=FILES_MAX)
    vocabulary: Vocabulary = Vocabulary()

    @model_validator(mode="after")
    def _relations(self) -> Self:
        expires_ms = parse_time_ms(self.expires)
        if self.valid_from is not None and parse_time_ms(self.valid_from) >= expires_ms:
            msg = "`valid_from` is not before `expires`"
            raise ValueError(msg)
        if self.grace is not None and _grace_s(self.grace) > GRACE_S_MAX:
            msg = "`grace` is longer than 90 days"
            raise ValueError(msg)
        if len(set(self.paths)) != len(self.paths):
            msg = "a file is named twice"
            raise ValueError(msg)
        return self

    @property
    def paths(self) -> list[str]:
        """Every file of the bundle, rules first."""
        return [*self.rules, *self.tests]

    @property
    def valid_from_ms(self) -> int:
        """From when on it may be in force; 0 without a time."""
        return 0 if self.valid_from is None else parse_rfc3339(self.valid_from)

    @property
    def expires_ms(self) -> int:
        """From when on it is refused, and one that is in force decides in its grace only."""
        return parse_rfc3339(self.expires)

    @property
    def ends_ms(self) -> int:
        """The end of its grace: from then on nothing is decided under it but deny."""
        return self.expires_ms + (0 if self.grace is None else parse_duration_s(self.grace) * 1000)


def _grace_s(text: str) -> int:
    # Of errors, pydantic takes only those of its own kind for a document that is not valid.
    try:
        return parse_duration_s(text)
    except InvalidInput as error:
        msg = f"`grace`: {error}"
        raise ValueError(msg) from error


class FileEntry(_Strict):
    """One file of the bundle: SHA-256 and length of its raw bytes."""

    path: FilePath
    sha256: Sha256
    bytes: int = Field(ge=0, le=limits.RULES_FILE_BYTES_MAX)


class Manifest(BundleSource):
    """What the signatures cover."""

    format: Literal["holdgate-bundle/1"] = "holdgate-bundle/1"
    files: list[FileEntry] = Field(min_length=1, max_length=2 * FILES_MAX)

    @model_validator(mode="after")
    def _files(self) -> Self:
        if [entry.path for entry in self.files] != self.paths:
            msg = "`files` are not the files named in `rules` and `tests`"
            raise ValueError(msg)
        return self

    def signed_bytes(self) -> bytes:
        """Canonical bytes: what signatures are made over, and what names the bundle's content."""
        return canonical_bytes(self.model_dump(mode="json"))
