"""The API as commands about policy call it: a URL, and a key from a file or the environment, never from an option."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from holdgate.bundles.cli.stores import ApiPublished, api_key_of
from holdgate.kernel.errors import InvalidInput
from holdgate.scheduler.settings import plaintext

ApiUrl = Annotated[str, typer.Option("--api", envvar="HOLDGATE_API_URL", help="Where the API is")]
ApiKeyFile = Annotated[
    Path | None,
    typer.Option("--api-key-file", envvar="HOLDGATE_API_KEY_FILE", help="Holds your API key [else: HOLDGATE_API_KEY]"),
]
ApiKey = Annotated[str | None, typer.Option("--api-key", envvar="HOLDGATE_API_KEY", hidden=True)]


def api_at(context: typer.Context, url: str, key_file: Path | None, key: str | None) -> ApiPublished:
    """The API at `url`; InvalidInput where the key stands on the command line, or would cross a network in clear."""
    source = context.get_parameter_source("api_key")
    if source is not None and source.name == "COMMANDLINE":
        raise InvalidInput("others see what is on a command line; use `--api-key-file` or HOLDGATE_API_KEY")
    return ApiPublished(url, api_key_of(key_file, key), plaintext=plaintext())
