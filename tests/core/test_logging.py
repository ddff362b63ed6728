from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from fedmrg_secure.core.logging import REDACTED, configure_logging, get_logger, redact
from fedmrg_secure.crypto.keys import SecretBytes

SECRET = b"\x13\x37very-secret-key-material"
PEM = "-----BEGIN PRIVATE KEY-----\nMIGHAgEAMBMGByqGSM49\n-----END PRIVATE KEY-----"


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    yield io.StringIO()
    for handler in list(root.handlers):
        root.removeHandler(handler)
    for handler in before:
        root.addHandler(handler)
    root.setLevel(level)
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_record_is_one_json_object_with_party_time_and_level(stream: io.StringIO) -> None:
    configure_logging(stream=stream, party="spain")
    get_logger("fedmrg.test").info("round closed", round=3, sites=["italy", "spain"])
    (record,) = lines(stream)
    assert record.pop("timestamp").endswith("Z")
    assert record == {
        "event": "round closed",
        "level": "info",
        "logger": "fedmrg.test",
        "party": "spain",
        "round": 3,
        "sites": ["italy", "spain"],
    }


def test_levels_filter(stream: io.StringIO) -> None:
    configure_logging(stream=stream, level="warning")
    get_logger("a").info("quiet")
    get_logger("a").warning("loud")
    assert [record["event"] for record in lines(stream)] == ["loud"]
    with pytest.raises(ValueError, match="level"):
        configure_logging(level="chatty")


def test_no_form_of_a_secret_reaches_the_log(stream: io.StringIO) -> None:
    configure_logging(stream=stream)
    secret = SecretBytes(SECRET)
    log = get_logger("a")
    log.info("one", key=SECRET, signing_key="abc-xyz", password="hunter2", apikey="abc-xyz")
    log.info(
        "two", anything=secret, raw=SECRET, view=memoryview(SECRET), nested=[{"token": "abc-xyz"}]
    )
    log.info("three", detail=f"could not read {PEM} here", cut=PEM[:-12], path=Path("/kit/tls.pem"))
    log.info(PEM)
    logging.getLogger("library").warning(
        "got %s", PEM, extra={"private": "abc-xyz", "blob": SECRET}
    )
    text = stream.getvalue()
    for leak in ("very-secret", "hunter2", "abc-xyz", "MIGHAgEAMBM", "1337", "\\u00137"):
        assert leak not in text
    assert "/kit/tls.pem" in text
    assert "<private key>" in text


def test_patients_stay_out_and_figures_stay_in() -> None:
    event = {
        "report": "Mrs Smith has a nodule",
        "patient_id": "p1",
        "image": object(),
        "reports": 12,
        "tokens": 40,
        "key_epoch": 2,
        "public_key": "ab12",
        "key_maker": "spain",
        "loss": 1.5,
    }
    assert redact(None, "info", dict(event)) == {
        **event,
        "report": REDACTED,
        "patient_id": REDACTED,
        "image": REDACTED,
    }


def test_opaque_values_are_named_not_shown() -> None:
    class Kit:
        def __repr__(self) -> str:
            return "the whole kit"

    cleaned = redact(None, "info", {"kit": Kit(), "error": ValueError("bad"), "long": "x" * 2000})
    assert cleaned["kit"] == "<Kit>"
    assert cleaned["error"] == "ValueError: bad"
    assert len(cleaned["long"]) < 600


def test_an_exception_keeps_its_traceback_and_loses_its_key(stream: io.StringIO) -> None:
    configure_logging(stream=stream)
    try:
        raise ValueError(PEM)
    except ValueError:
        get_logger("a").exception("failed")
    (record,) = lines(stream)
    assert "Traceback" in record["exception"]
    assert "MIGHAgEAMBM" not in record["exception"]


def test_plain_lines_and_files(tmp_path: Path, stream: io.StringIO) -> None:
    file = tmp_path / "site.log"
    configure_logging(file=file, as_json=False)
    get_logger("a").info("uploaded", bytes=12, token="abc-xyz")
    text = file.read_text()
    assert "uploaded" in text
    assert "bytes=12" in text
    assert "abc-xyz" not in text
