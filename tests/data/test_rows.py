from __future__ import annotations

import csv
import gzip
import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedmrg_secure.data.errors import DataError, ManifestUnreadable, MissingColumn
from fedmrg_secure.data.rows import Row, read_rows, stream_csv


def written(folder: Path, name: str, text: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_jsonl_values_become_text(tmp_path: Path) -> None:
    path = written(tmp_path, "a.jsonl", '{"id": 7, "x": null, "y": true}\n\n{"id": "b"}\n')
    rows, bad = read_rows(path)
    assert rows == [Row(1, {"id": "7", "x": "", "y": "true"}), Row(3, {"id": "b"})]
    assert bad == []


def test_bad_json_lines_are_named_and_the_others_kept(tmp_path: Path) -> None:
    nested = "[" * 100_000
    path = written(tmp_path, "a.jsonl", f'{{"id": 1}}\n{{"id": \n[1]\n{nested}\n{{"id": 2}}')
    rows, bad = read_rows(path)
    assert [row.line for row in rows] == [1, 5]
    assert [line for line, _ in bad] == [2, 3, 4]
    assert bad[0][1].location == f"{path}:2"


def test_csv_reads_quotes_newlines_and_a_byte_order_mark(tmp_path: Path) -> None:
    text = '\ufeffid,report\n1,"two\nlines, and a ""quote"""\n2,plain\n'
    rows, bad = read_rows(written(tmp_path, "a.csv", text))
    assert rows == [
        Row(2, {"id": "1", "report": 'two\nlines, and a "quote"'}),
        Row(4, {"id": "2", "report": "plain"}),
    ]
    assert bad == []


def test_a_csv_line_with_a_missing_field_is_bad(tmp_path: Path) -> None:
    rows, bad = read_rows(written(tmp_path, "a.csv", "id,report\n1\n2,x\n"))
    assert [row.line for row in rows] == [3]
    assert bad[0][0] == 2
    assert "1 fields, the header 2" in bad[0][1].message


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", b"\xff\xfe\x00", "not UTF-8"),
        ("a.csv", "", "no header"),
        ("a.csv", "id,id\n1,2\n", "no header of different"),
        ("a.csv", 'id,report\n1,"open\n', "not valid CSV"),
    ],
)
def test_an_unreadable_file_is_one_clear_error(
    tmp_path: Path, name: str, content: str | bytes, message: str
) -> None:
    with pytest.raises(ManifestUnreadable, match=message):
        read_rows(written(tmp_path, name, content))


def test_a_missing_file_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(ManifestUnreadable, match="cannot be read"):
        read_rows(tmp_path / "absent.jsonl")


CELL = st.text(alphabet=st.characters(exclude_categories=("Cs", "Cc")), max_size=20)


@given(st.lists(st.tuples(CELL.filter(str.strip), CELL), max_size=12))
def test_what_is_written_as_csv_or_jsonl_is_read_back(cells: list[tuple[str, str]]) -> None:
    expected = [{"id": first, "report": second} for first, second in cells]
    with tempfile.TemporaryDirectory() as name:
        as_csv, as_jsonl = Path(name, "a.csv"), Path(name, "a.jsonl")
        with as_csv.open("w", newline="", encoding="utf-8") as stream:
            csv.writer(stream).writerows([("id", "report"), *cells])
        lines = [json.dumps(row, ensure_ascii=False) for row in expected]
        as_jsonl.write_text("\n".join(lines), encoding="utf-8")
        for path in (as_csv, as_jsonl):
            rows, bad = read_rows(path)
            assert [row.values for row in rows] == expected
            assert bad == []


TABLE = b"dicom_id,split\na,train\nbroken\nb,test\n"


@pytest.mark.parametrize("name", ["t.csv", "t.csv.gz"])
def test_a_table_is_streamed_packed_or_not(tmp_path: Path, name: str) -> None:
    path = written(tmp_path, name, gzip.compress(TABLE) if name.endswith("gz") else TABLE)
    found = list(stream_csv(path, ["split"]))
    assert [line for line, _ in found] == [2, 3, 4]
    assert found[0][1] == Row(2, {"dicom_id": "a", "split": "train"})
    assert isinstance(found[1][1], DataError)
    assert found[1][1].location == f"{path}:3"


@pytest.mark.parametrize(
    ("content", "error", "message"),
    [
        (gzip.compress(TABLE * 1000, mtime=0)[:-20], ManifestUnreadable, "to its end"),
        (b"no gzip", ManifestUnreadable, "to its end"),
        (gzip.compress(b"dicom_id,split\n\xff,train\n", mtime=0), ManifestUnreadable, "not UTF-8"),
        (gzip.compress(b"", mtime=0), ManifestUnreadable, "no header"),
        (gzip.compress(b"dicom_id,parts\n", mtime=0), MissingColumn, "no column 'split'"),
    ],
)
def test_a_damaged_table_is_one_clear_error(
    tmp_path: Path, content: bytes, error: type[DataError], message: str
) -> None:
    path = written(tmp_path, "t.csv.gz", content)
    with pytest.raises(error, match=message) as caught:
        list(stream_csv(path, ["split"]))
    assert caught.value.location.startswith(str(path))


def test_a_line_without_end_does_not_fill_the_memory(tmp_path: Path) -> None:
    endless = gzip.compress(b"dicom_id,split\n" + b"x" * (3 * 2**20))
    with pytest.raises(ManifestUnreadable, match="not valid CSV"):
        list(stream_csv(written(tmp_path, "t.csv.gz", endless), ["split"]))
