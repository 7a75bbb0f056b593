"""What can go wrong with bundles, keys and roots.

HoldgateError (holdgate.kernel.errors)
├── InvalidInput
│   ├── PolicyInvalid                 rules do not load (holdgate.kernel.errors)
│   │   └── DocumentInvalid           a file does not load; names file and line of each problem
│   ├── KeyUnusable                   not a key file
│   │   ├── KeyUnsafe                 a private key that others can read
│   │   └── KeyPassphrase             a sealed key, and no passphrase that opens it
│   ├── BundleNotFound                nothing was published under that name, or no such version
│   └── BundleRefused                 a bundle or a root is not accepted; `code` says which check
│       ├── BundleMalformed           not the one form that a bundle or root file has
│       ├── BundleUnsigned            signatures of fewer authors than the root wants, or one that does not hold
│       ├── BundleOutOfScope          reaches where its signers, or it itself, may not rule
│       ├── BundleSetRefused          does not fit beside the other bundles in force
│       ├── BundleOutdated            a version that is not higher than the highest seen
│       ├── BundleExpired             its time is over
│       ├── BundleNotYet              its time has not come
│       ├── StampRefused              not a stamp, or not of an API of the root
│       ├── BundleConflict            somebody else published at the same time
│       ├── BundleFaulty              holds, and is still not to be published as it is; `problems` says why
│       │   ├── BundleTestsFailed     its own tests fail
│       │   ├── BundleLintFailed      a finding of the linter that is an error
│       │   └── BundleWidens          allows more than what is in force, and nobody said that this is meant
│       └── RootRefused               a root that the pinned keys did not sign, or an older one
│           └── RootUnreadable        its file could not be read; says nothing about what is in it
└── Unavailable
    ├── StoreUnavailable              the bundle store did not answer
    ├── RootUnavailable               the root of whoever should check a bundle does not hold
    └── ShelfUnusable                 the kernel's directory cannot be read or written
"""

from __future__ import annotations

from collections.abc import Sequence

from holdgate.kernel.errors import InvalidInput, PolicyInvalid, Unavailable


class DocumentInvalid(PolicyInvalid):
    """a file does not load

    `file`, and `found` as `(line, place, reason)`; lines count from 1. `code` is `policy_invalid` where rules are
    wrong, and one of `documents.CODES` where the file is not the YAML that is read here.
    """

    code = "policy_invalid"

    def __init__(
        self, file: str, found: Sequence[tuple[int, tuple[str | int, ...], str]], *, code: str | None = None
    ) -> None:
        if code is not None:
            self.code = code
        self.file = file
        self.found = sorted(found, key=lambda problem: problem[0])
        super().__init__([(place, f"line {line}: {why}") for line, place, why in self.found])

    def __str__(self) -> str:
        """A line for each problem: `file:line: place: reason`."""
        return "\n".join(
            f"{self.file}:{line}: {'.'.join(map(str, place))}{': ' if place else ''}{why}"
            for line, place, why in self.found
        )


class KeyUnusable(InvalidInput):
    """not a usable key file"""

    code = "key_unusable"


class KeyUnsafe(KeyUnusable):
    """a private key file that others can read"""

    code = "key_unsafe"


class KeyPassphrase(KeyUnusable):
    """the passphrase of the key is missing or wrong"""

    code = "key_passphrase"


class BundleNotFound(InvalidInput):
    """nothing was published under that name, or no such version"""

    code = "bundle_not_found"


class BundleRefused(InvalidInput):
    """a bundle is not accepted"""

    code = "bundle_refused"

    def __init__(self, message: str | None = None, *, code: str | None = None) -> None:
        super().__init__(message)
        if code is not None:
            self.code = code


class BundleMalformed(BundleRefused):
    """not a bundle file"""

    code = "bundle_malformed"


class BundleUnsigned(BundleRefused):
    """not signed by enough of the root's authors"""

    code = "bundle_threshold"


class BundleOutOfScope(BundleRefused):
    """the bundle reaches where it may not rule"""

    code = "bundle_scope"


class BundleSetRefused(BundleRefused):
    """the bundle does not fit beside the others in force"""

    code = "bundle_set"


class BundleOutdated(BundleRefused):
    """the version is not higher than the highest seen"""

    code = "bundle_version"


class BundleExpired(BundleRefused):
    """the time of the bundle is over"""

    code = "bundle_expired"


class BundleNotYet(BundleRefused):
    """the time of the bundle has not come

    `from_ms`: when it comes.
    """

    code = "bundle_not_yet"

    def __init__(self, message: str, from_ms: int) -> None:
        super().__init__(message)
        self.from_ms = from_ms


class StampRefused(BundleRefused):
    """the stamp of the bundle store is not accepted"""

    code = "stamp_refused"


class BundleConflict(BundleRefused):
    """somebody else published at the same time"""

    code = "bundle_conflict"


class BundleFaulty(BundleRefused):
    """the bundle is not to be published as it is

    `problems` as `(where, why)`, at most `PROBLEMS_MAX`; the message names the first.
    """

    PROBLEMS_MAX = 20

    def __init__(self, message: str, problems: Sequence[tuple[str, str]]) -> None:
        self.problems = tuple(problems)[: self.PROBLEMS_MAX]
        super().__init__(message)

    def as_dict(self) -> dict[str, object]:
        """Plain values, as a problem of the HTTP API has them."""
        errors = [{"field": where, "detail": why} for where, why in self.problems]
        return {"code": self.code, "detail": str(self), "errors": errors}


class BundleTestsFailed(BundleFaulty):
    """the bundle's own tests fail"""

    code = "bundle_tests"


class BundleLintFailed(BundleFaulty):
    """the linter finds an error"""

    code = "bundle_lint"


class BundleWidens(BundleFaulty):
    """the bundle allows what was not allowed"""

    code = "bundle_widening"


class RootRefused(BundleRefused):
    """the trust root is not accepted"""

    code = "root_refused"


class RootUnreadable(RootRefused):
    """the file of the trust root cannot be read"""


class StoreUnavailable(Unavailable):
    """the bundle store did not answer"""

    code = "store_unavailable"


class RootUnavailable(Unavailable):
    """the root of whoever should check a bundle does not hold"""

    code = "root_unavailable"


class ShelfUnusable(Unavailable):
    """the kernel's directory cannot be read or written"""

    code = "shelf_unusable"


class ShelfNewer(ShelfUnusable):
    """a newer release wrote the kernel's directory"""

    code = "record_newer"
