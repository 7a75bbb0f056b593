"""Templates into HTML. The engine is loaded at the first page, because most api processes of a test serve none.

What always holds: everything that a template shows is escaped unless the template itself wrote it; a name that is not
given is an error, not an empty string.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from holdgate.kernel.clock import rfc3339
from holdgate.scheduler.console.static import StaticFiles
from holdgate.scheduler.visible import visible_on_page

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

_TICKS = re.compile("`([^`]+)`")
TEMPLATES = Path(__file__).parent / "templates"


def ticked(text: str) -> Markup:
    """A sentence of ours with `names` in it, these as code. What it quotes is text: it is escaped before."""
    from markupsafe import Markup, escape

    return Markup(_TICKS.sub(r"<code>\1</code>", str(escape(visible_on_page(text)))))  # noqa: S704  escaped above


class Renderer:
    """The templates of this folder."""

    def __init__(self, files: StaticFiles) -> None:
        self._files = files

    def whole(self, template: str, context: Mapping[str, Any]) -> str:
        """The whole page."""
        return self._environment.get_template(template).render(context)

    def block(self, template: str, block: str, context: Mapping[str, Any]) -> str:
        """One block of a page, without what stands around it."""
        found = self._environment.get_template(template)
        return "".join(found.blocks[block](found.new_context(dict(context))))

    @cached_property
    def _environment(self) -> Environment:
        from jinja2 import Environment, FileSystemLoader, StrictUndefined

        environment = Environment(
            loader=FileSystemLoader(TEMPLATES),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
            cache_size=200,
        )
        environment.filters |= {"visible": visible_on_page, "ticked": ticked, "rfc3339": rfc3339}
        names = sorted(self._files.files)
        environment.globals |= {
            "static": self._files.url,
            # base.css first: the others use its tokens.
            "styles": sorted((name for name in names if name.endswith(".css")), key=lambda name: name != "base.css"),
            # Vendored ones first: ours use them.
            "scripts": sorted((name for name in names if name.endswith(".js")), key=lambda name: "/" not in name),
        }
        return environment
