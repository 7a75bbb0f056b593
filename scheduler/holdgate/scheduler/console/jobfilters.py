"""Which jobs a list shows, as its address says. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlencode

NAMES = ("id", "state", "topic", "actor", "label")


@dataclass(frozen=True, slots=True)
class JobFilters:
    """Empty text: any."""

    id: str = ""
    state: str = ""
    topic: str = ""
    actor: str = ""
    label: str = ""
    cursor: str = ""

    @property
    def query(self) -> dict[str, str]:
        """Those that are given, without the cursor."""
        given = {name: getattr(self, name) for name in NAMES}
        return {name: value for name, value in given.items() if value}

    @property
    def any(self) -> bool:
        """Whether something is left out."""
        return bool(self.query)

    def path(self, path: str) -> str:
        """`path` with these filters, and where the list goes on."""
        query = {**self.query, **({"cursor": self.cursor} if self.cursor else {})}
        return f"{path}?{urlencode(query)}" if query else path


def filters_of(query: Mapping[str, str]) -> JobFilters:
    """The filters of an address, without spaces around them; a job id may be given without its `job_`."""
    given = {name: query.get(name, "").strip() for name in (*NAMES, "cursor")}
    if given["id"] and not given["id"].startswith("job_"):
        given["id"] = f"job_{given['id']}"
    return JobFilters(**given)
