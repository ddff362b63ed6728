"""SPEC.md, the .proto files and the code agree, and rule numbers are unique."""

import importlib.util
import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest
from google.protobuf.descriptor import FieldDescriptor

from fedmrg_secure.protocol import certified as c
from fedmrg_secure.protocol import codec
from fedmrg_secure.protocol import messages as m
from fedmrg_secure.protocol import snapshots as sn
from fedmrg_secure.protocol.manifest import SessionManifest
from fedmrg_secure.protocol.phases import Presence, RoundPhase, SessionPhase
from fedmrg_secure.protocol.status import STATUS
from fedmrg_secure.protocol.v1 import messages_pb2, transport_pb2

ROOT = Path(__file__).parents[2]
SPEC = (ROOT / "protocols" / "SPEC.md").read_text(encoding="utf-8")
GENERATED = ROOT / "fedmrg_secure" / "protocol" / "v1"


def test_rule_numbers_are_unique_ascending_and_used_where_mentioned() -> None:
    rules = [int(number) for number in re.findall(r"^- \*\*R-(\d{3})\*\*", SPEC, re.MULTILINE)]
    assert rules == sorted(set(rules))
    assert len(rules) >= 50
    mentioned = {int(number) for number in re.findall(r"R-(\d{3})", SPEC)}
    assert mentioned == set(rules)


def test_the_error_registry_is_the_codes() -> None:
    rows = re.findall(r"^\| (FMRG-5\d{3}) \| (\w+) \|", SPEC, re.MULTILINE)
    assert rows == [(cls.code, status.name) for cls, status in STATUS.items()]


def test_the_manifest_table_is_the_manifest() -> None:
    table = SPEC.split("### 4.1")[1].split("## 5.")[0]
    first_cells = re.findall(r"^\| ([^|]*) \|", table, re.MULTILINE)
    listed = {name for cell in first_cells for name in re.findall(r"`(\w+)`", cell)}
    assert listed == {field.name for field in fields(SessionManifest)}


def test_every_message_of_the_proto_is_a_dataclass_with_the_same_fields() -> None:
    for name, descriptor in messages_pb2.DESCRIPTOR.message_types_by_name.items():
        dataclass = getattr(c, name, None) or getattr(sn, name, None) or getattr(m, name)
        assert [field.name for field in fields(dataclass)] == [
            field.name for field in descriptor.fields
        ], name


@pytest.mark.parametrize(
    ("enum", "prefix", "descriptor"),
    [
        (
            codec.MessageType,
            "MESSAGE_TYPE_",
            transport_pb2.DESCRIPTOR.enum_types_by_name["MessageType"],
        ),
        *(
            (enum, prefix, messages_pb2.DESCRIPTOR.enum_types_by_name[enum.__name__])
            for enum, prefix in (
                (SessionPhase, "SESSION_PHASE_"),
                (RoundPhase, "ROUND_PHASE_"),
                (Presence, "PRESENCE_"),
            )
        ),
    ],
)
def test_enums_have_the_wire_numbers(enum, prefix, descriptor) -> None:
    wire = {value.name.removeprefix(prefix): value.number for value in descriptor.values}
    wire.pop("UNSPECIFIED")
    assert wire == {item.name: item.value for item in enum if item.name != "NONE"}


def test_every_type_number_has_a_message_and_a_method_takes_envelopes() -> None:
    assert set(codec._CLASSES) == set(codec.MessageType)
    service = transport_pb2.DESCRIPTOR.services_by_name["Federation"]
    assert {method.name for method in service.methods} >= {"Upload", "Download", "GetSession"}
    for method in service.methods:
        streamed = method.name.startswith(("Upload", "Download"))
        assert (method.input_type.name == "Envelope") or streamed
        assert (method.output_type.name == "Envelope") or streamed


def test_no_field_is_a_float_or_a_map() -> None:
    floats = (FieldDescriptor.TYPE_FLOAT, FieldDescriptor.TYPE_DOUBLE)
    for file in (messages_pb2.DESCRIPTOR, transport_pb2.DESCRIPTOR):
        for descriptor in file.message_types_by_name.values():
            assert not descriptor.nested_types, "a map has no canonical order"
            assert all(field.type not in floats for field in descriptor.fields)


@pytest.mark.skipif(
    importlib.util.find_spec("grpc_tools") is None,
    reason="grpcio-tools lives in its own environment: make proto",
)
def test_the_committed_code_is_what_the_proto_files_give(tmp_path: Path) -> None:
    sources = sorted((ROOT / "protocols" / "fedmrg" / "v1").glob("*.proto"))
    subprocess.run(
        [
            *(sys.executable, "-m", "grpc_tools.protoc", f"-I{ROOT / 'protocols'}"),
            *(f"--python_out={tmp_path}", f"--pyi_out={tmp_path}", *map(str, sources)),
        ],
        check=True,
    )
    made = {path.name: path.read_text() for path in (tmp_path / "fedmrg" / "v1").iterdir()}
    assert made == {name: (GENERATED / name).read_text() for name in made}


def test_the_committed_code_carries_the_descriptors_of_the_proto_files() -> None:
    """Without the compiler: every message, field and number of the sources is in the code."""
    for file, module in (("messages", messages_pb2), ("transport", transport_pb2)):
        source = (ROOT / "protocols" / "fedmrg" / "v1" / f"{file}.proto").read_text()
        source = re.sub(r"//.*", "", source)
        bodies = re.findall(r"^message (\w+) \{\n(.*?)^\}", source, re.MULTILINE | re.DOTALL)
        wanted = {name: set(re.findall(r"(\w+) = (\d+);", body)) for name, body in bodies}
        assert len(wanted) >= 3
        for message, numbered in wanted.items():
            descriptor = module.DESCRIPTOR.message_types_by_name[message]
            assert {(f.name, str(f.number)) for f in descriptor.fields} == numbered, message
