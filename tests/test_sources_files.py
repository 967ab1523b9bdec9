"""Capture files: compression, damage, sizes. What can be read is kept, what cannot is one record in quarantine."""

from __future__ import annotations

import gzip
import random
import zlib
from pathlib import Path

import pytest
import zstandard
from capture_lines import START_MS, compress, liquidation_item, liquidation_line, write_capture

from liqlab.sources import Capture, find_captures, parse_capture, read_lines

ENDINGS = (".jsonl", ".jsonl.gz", ".jsonl.zst")


def lines_of(count: int, start: int = 0) -> list[str]:
    return [
        liquidation_line([liquidation_item(START_MS + i, price=f"{70_000 + i}.25")], START_MS + i + 300, START_MS + i)
        for i in range(start, start + count)
    ]


def text_of(lines: list[str]) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode()


def parse(path: Path, data: bytes) -> Capture:
    path.write_bytes(data)
    return parse_capture(path, path.name)


def events(capture: Capture) -> list[int]:
    """Place of each liquidation that was read, from its event time."""
    return [event - START_MS for event in capture.liquidations["event"].tolist()]


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("last_newline", [True, False])
def test_every_compression_gives_the_same(tmp_path: Path, ending: str, last_newline: bool) -> None:
    text = text_of(lines_of(50))
    data = compress(text if last_newline else text[:-1], ending)
    capture = parse(tmp_path / f"a{ending}", data)
    assert events(capture) == list(range(50))
    assert capture.liquidations["line"].tolist() == list(range(1, 51))
    assert (capture.lines, capture.quarantine) == (50, [])


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz", "a.jsonl.zst"])
@pytest.mark.parametrize("content", [".jsonl", ".jsonl.gz", ".jsonl.zst"])
def test_the_first_bytes_say_what_a_file_is_not_its_name(tmp_path: Path, name: str, content: str) -> None:
    capture = parse(tmp_path / name, compress(text_of(lines_of(5)), content))
    assert events(capture) == list(range(5))
    assert not capture.quarantine


@pytest.mark.parametrize("ending", [".jsonl.gz", ".jsonl.zst"])
@pytest.mark.parametrize("padding", [b"", b"\0" * 700])
def test_members_one_after_the_other_are_one_file(tmp_path: Path, ending: str, padding: bytes) -> None:
    members = [compress(text_of(lines_of(20, start)), ending) for start in (0, 20, 40)]
    split = text_of(lines_of(20, 60))
    members += [compress(split[:777], ending), compress(split[777:], ending)]
    capture = parse(tmp_path / f"a{ending}", b"".join(members) + padding)
    assert events(capture) == list(range(80))
    assert not capture.quarantine


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("content", [b"", b"\n", b"  \r\n\n\t\n"])
def test_an_empty_or_blank_file_holds_nothing(tmp_path: Path, ending: str, content: bytes) -> None:
    path = tmp_path / f"a{ending}"
    for data in (content, compress(content, ending)):
        capture = parse(path, data)
        assert (capture.read.total(), capture.quarantine) == (0, [])


def deflated_before(data: bytes, end: int) -> bytes:
    """What the standard library makes of the first bytes of a gzip file."""
    try:
        return zlib.decompressobj(31).decompress(data[:end])
    except zlib.error:
        return b""


def test_a_gzip_file_cut_at_any_byte_keeps_every_row_before_the_cut(tmp_path: Path) -> None:
    data = compress(text_of(lines_of(40)), ".gz")
    for end in range(1, len(data)):
        capture = parse(tmp_path / "a.jsonl.gz", data[:end])
        whole = deflated_before(data, end)
        # A last line that lacks nothing but its newline counts.
        assert events(capture) == list(range(whole.count(b"\n") + whole.endswith(b"}}"))), end
        assert [row.line for row in capture.quarantine] == [len(events(capture)) + 1], end
        assert capture.read["unrecognised"] == 1, end


def test_a_zstd_file_cut_at_any_byte_is_one_bad_record(tmp_path: Path) -> None:
    data = b"".join(compress(text_of(lines_of(5, start)), ".zst") for start in (0, 5, 10))
    ends = [len(compress(text_of(lines_of(5, start)), ".zst")) for start in (0, 5)]
    whole_members = {ends[0], ends[0] + ends[1]}
    for end in range(1, len(data)):
        capture = parse(tmp_path / "a.jsonl.zst", data[:end])
        assert events(capture) == list(range(len(capture.liquidations["event"]))), end
        assert len(capture.quarantine) == (end not in whole_members), end
        assert len(events(capture)) >= 5 * sum(end >= member for member in whole_members), end


def test_a_flipped_bit_in_a_gzip_file_never_raises_and_is_never_silent(tmp_path: Path) -> None:
    text = text_of(lines_of(40))
    data = compress(text, ".gz")
    for place in range(10, len(data)):  # before it stand the time and the system, which nobody checks
        flipped = bytearray(data)
        flipped[place] ^= 1 << (place % 8)
        capture = parse(tmp_path / "a.jsonl.gz", bytes(flipped))
        assert any("gzip stream" in row.reason for row in capture.quarantine), place


def test_a_break_in_the_middle_keeps_the_lines_before_it(tmp_path: Path) -> None:
    generator = random.Random(3)
    lines = [line.replace("0.017", f"{generator.random():.9f}") for line in lines_of(30_000)]
    data = bytearray(compress(text_of(lines), ".gz"))
    middle = len(data) // 2
    data[middle : middle + 200] = bytes(200)
    capture = parse(tmp_path / "a.jsonl.gz", bytes(data))
    found = events(capture)
    assert found[:10_000] == list(range(10_000))
    assert sum("gzip stream is corrupt" in row.reason for row in capture.quarantine) == 1
    assert capture.quarantine[-1].line >= capture.lines


@pytest.mark.parametrize("place", [-8, -4])
def test_a_wrong_checksum_or_length_is_reported(tmp_path: Path, place: int) -> None:
    data = bytearray(compress(text_of(lines_of(10)), ".gz"))
    data[place] ^= 1
    capture = parse(tmp_path / "a.jsonl.gz", bytes(data))
    assert events(capture) == list(range(10))
    assert [row.reason for row in capture.quarantine] == ["the gzip stream is corrupt; the lines before are kept"]


def test_a_damaged_zstd_frame_keeps_the_frames_before_it(tmp_path: Path) -> None:
    frames = [zstandard.ZstdCompressor(write_checksum=True).compress(text_of(lines_of(9, start))) for start in (0, 9)]
    data = bytearray(b"".join(frames))
    data[-3] ^= 0xFF
    capture = parse(tmp_path / "a.jsonl.zst", bytes(data))
    assert events(capture)[:9] == list(range(9))
    assert [row.reason for row in capture.quarantine] == ["the zstd stream is corrupt; the lines before are kept"]


@pytest.mark.parametrize("name", ["a.jsonl.gz", "a.jsonl.zst", "a.jsonl"])
def test_binary_junk_is_quarantined_whatever_it_is_called(tmp_path: Path, name: str) -> None:
    junk = random.Random(1).randbytes(5_000)
    capture = parse(tmp_path / name, junk)
    assert capture.read.total() == len(capture.quarantine) >= 1
    assert all(len(row.text) < 2_100 for row in capture.quarantine)


@pytest.mark.parametrize("magic", [b"\x1f\x8b", b"\x1f\x8b\x08\x00", b"\x28\xb5\x2f\xfd"])
def test_junk_behind_a_magic_number_is_one_bad_record(tmp_path: Path, magic: bytes) -> None:
    capture = parse(tmp_path / "a.jsonl.gz", magic + random.Random(2).randbytes(3_000))
    assert len(capture.quarantine) == 1


def test_junk_after_the_last_member_is_one_bad_record(tmp_path: Path) -> None:
    capture = parse(tmp_path / "a.jsonl.gz", compress(text_of(lines_of(7)), ".gz") + b"junk" * 50)
    assert events(capture) == list(range(7))
    assert len(capture.quarantine) == 1


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_line_of_ten_megabytes_with_100_000_liquidations_is_read(tmp_path: Path, ending: str) -> None:
    items = [liquidation_item(START_MS + i, quantity=f"{i + 1}.000000000000") for i in range(100_000)]
    lines = [*lines_of(1), liquidation_line(items, START_MS + 10**6, START_MS + 10**5), *lines_of(1)]
    assert len(lines[1]) > 7_500_000
    capture = parse(tmp_path / f"a{ending}", compress(text_of(lines), ending))
    assert len(capture.liquidations["line"]) == 100_002
    assert capture.liquidations["position"][1:-1].tolist() == list(range(100_000))
    assert capture.liquidations["line"][[0, 1, -2, -1]].tolist() == [1, 2, 2, 3]
    assert not capture.quarantine


def test_of_a_line_of_ten_megabytes_of_junk_the_beginning_is_kept(tmp_path: Path) -> None:
    lines = [*lines_of(1), "x" * 10_000_000, *lines_of(1, 1)]
    capture = parse(tmp_path / "a.jsonl.gz", compress(text_of(lines), ".gz"))
    assert events(capture) == [0, 1]
    (row,) = capture.quarantine
    assert (row.line, row.text[:2_000]) == (2, "x" * 2_000)
    assert row.text[2_000:] == "… (10,000,000 bytes in all)"


@pytest.mark.parametrize("depth", [900, 5_000, 2_000_000])
def test_deep_nesting_is_read_or_quarantined(tmp_path: Path, depth: int) -> None:
    nest = "[" * depth + "]" * depth
    for line in (nest, f'{{"ts":{START_MS},"stream":"liquidation","symbol":"A","result":{{"data":[{nest}]}}}}'):
        capture = parse(tmp_path / "a.jsonl", text_of([*lines_of(1), line]))
        assert events(capture) == [0]
        assert len(capture.quarantine) == 1


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("block_bytes", [1, 100, 1_000, 5_000])
def test_lines_across_block_borders_are_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str, block_bytes: int
) -> None:
    generator = random.Random(4)
    lines = [
        generator.choice((line, "", f"{line} ", line[:40], "x" * generator.randrange(900))) for line in lines_of(400)
    ]
    path = tmp_path / f"a{ending}"
    expected = parse(path, compress(text_of(lines), ending))
    monkeypatch.setattr("liqlab.sources._lines._READ_BYTES", 64 if ending == ".jsonl" else 16)
    monkeypatch.setattr("liqlab.sources._lines._BLOCK_BYTES", block_bytes)
    found = parse_capture(path, path.name)
    assert found.quarantine == expected.quarantine
    assert (found.lines, found.read) == (expected.lines, expected.read) != (0, {})
    for name, column in expected.liquidations.items():
        assert found.liquidations[name].tolist() == column.tolist()
    assert [line.decode() for _, line in read_lines(path)] == lines


def test_a_small_read_buffer_loses_nothing_before_a_break(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = bytearray(compress(text_of(lines_of(300)), ".gz"))
    data[len(data) // 2] ^= 0x55
    path = tmp_path / "a.jsonl.gz"
    expected = parse(path, bytes(data))
    monkeypatch.setattr("liqlab.sources._lines._READ_BYTES", 7)
    found = parse_capture(path, path.name)
    assert events(found) == events(expected)
    assert found.quarantine == expected.quarantine


def test_more_names_than_a_block_has_room_for_are_all_read(tmp_path: Path) -> None:
    symbols = [f"S{i}USDT" for i in range(1_000)]
    lines = [
        liquidation_line([liquidation_item(START_MS, symbol=name)], START_MS, START_MS, name)
        for name in [*symbols, *symbols]
    ]
    capture = parse(tmp_path / "a.jsonl", text_of(lines))
    assert [capture.names[i] for i in capture.liquidations["symbol"]] == [*symbols, *symbols]


def test_captures_are_found_below_any_layout_and_nothing_else(tmp_path: Path) -> None:
    layout = "dt=2026-02-09/hr=19/exchange=bybit/source=ws/market=linear/stream=liquidation/symbol=BTCUSDT"
    names = ["BTCUSDT/liquidation_2026-02-09_19.jsonl.gz", f"{layout}/data.jsonl.zst", "a.jsonl"]
    for name in names:
        write_capture(tmp_path / name, lines_of(1))
    for other in ("notes.txt", "a.json", "BTCUSDT/.a.jsonl.gz", "a.jsonl.gz.tmp", "jsonl"):
        (tmp_path / other).write_text("x")
    assert [path.relative_to(tmp_path).as_posix() for path in find_captures(tmp_path)] == sorted(names)


def test_gzip_files_of_the_standard_library_at_every_level_are_read(tmp_path: Path) -> None:
    for level in range(10):
        capture = parse(tmp_path / "a.jsonl.gz", gzip.compress(text_of(lines_of(300)), level))
        assert events(capture) == list(range(300))
        assert not capture.quarantine
