"""Second looks at what a pattern found: checksums, entropy, structure, placeholders. Pure; a validator never raises."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from holdgate.scan.validators.personal import PERSONAL
from holdgate.scan.validators.secrets import SECRETS, entropy, is_placeholder

__all__ = ["VALIDATORS", "Validator", "entropy", "is_placeholder"]

Validator: TypeAlias = Callable[[str], bool]

VALIDATORS: dict[str, Validator] = {**SECRETS, **PERSONAL}
"""By the name that rules call them; each takes the value as text."""
