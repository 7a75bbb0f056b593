"""Files of a result."""

from __future__ import annotations

from holdgate.scheduler.api.schemas.shapes import COUNT, DIGEST, Schema, listed, nullable, record, text

ARTIFACTS: Schema = {
    **listed(record({"name": text(), "media_type": nullable(text()), "bytes": COUNT, "digest": DIGEST})),
    "description": "Files that the run left, each to be had by its name.",
}
ARTIFACTS_COMPONENTS: dict[str, Schema] = {"ArtifactBytes": {}}
