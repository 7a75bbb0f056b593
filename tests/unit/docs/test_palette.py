"""Pictures of the docs keep their form, and lose colours only beyond the palette."""

from __future__ import annotations

import importlib.util
import struct
import sys
import zlib
from pathlib import Path
from types import ModuleType

import pytest

FILE = Path(__file__).parents[3] / "docs" / "palette.py"


@pytest.fixture(scope="module")
def palette() -> ModuleType:
    """The script beside the docs."""
    spec = importlib.util.spec_from_file_location("palette", FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["palette"] = module
    spec.loader.exec_module(module)
    return module


def png(palette: ModuleType, rows: list[list[tuple[int, int, int]]]) -> bytes:
    """A picture as Chromium writes it, without filters."""
    head = struct.pack(">IIBBBBB", len(rows[0]), len(rows), 8, 2, 0, 0, 0)
    data = b"".join(b"\0" + bytes(part for colour in row for part in colour) for row in rows)
    parts = [(b"IHDR", head), (b"IDAT", zlib.compress(data)), (b"IEND", b"")]
    return bytes(palette.SIGNATURE + b"".join(palette._chunk(*part) for part in parts))


def test_a_picture_of_few_colours_stays_as_it_is(palette: ModuleType) -> None:
    """Point for point."""
    rows = [[(255, 0, 0), (0, 255, 0)], [(0, 0, 255), (255, 0, 0)]]
    chunks = dict(palette._chunks(palette.shrink(png(palette, rows))))
    colours = [tuple(chunks[b"PLTE"][at : at + 3]) for at in range(0, len(chunks[b"PLTE"]), 3)]
    data = zlib.decompress(chunks[b"IDAT"])
    assert [[colours[number] for number in data[at + 1 : at + 3]] for at in (0, 3)] == rows


def test_what_is_beyond_the_palette_takes_the_nearest_colour(palette: ModuleType) -> None:
    """No picture has more colours than that."""
    row = [(value, value, value) for value in range(256)]
    chunks = dict(palette._chunks(palette.shrink(png(palette, [row]))))
    assert len(chunks[b"PLTE"]) == 3 * palette.COLOURS


def test_every_filter_of_the_format_is_undone(palette: ModuleType) -> None:
    """Sub, up, average and Paeth (PNG, section 9.2)."""
    above = bytes([10, 20, 30, 40, 50, 60])
    wanted = bytes([11, 22, 33, 44, 55, 66])
    filtered = {
        1: [11, 22, 33, 33, 33, 33],
        2: [1, 2, 3, 4, 5, 6],
        3: [6, 12, 18, 19, 19, 20],
        4: [1, 2, 3, 4, 5, 6],
    }
    for kind, row in filtered.items():
        assert palette._unfiltered(kind, bytearray(row), above, 3) == wanted, kind
