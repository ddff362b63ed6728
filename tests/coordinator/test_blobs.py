import hashlib
import os
import resource
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedmrg_secure.coordinator.blobs import BlobFolder
from fedmrg_secure.coordinator.errors import StorageDamaged
from fedmrg_secure.protocol.errors import CoordinatorFull


@given(st.binary(max_size=300))
def test_a_blob_is_named_by_its_content(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    blobs = BlobFolder(tmp_path_factory.mktemp("blobs"))
    name = blobs.put(data)
    assert name == hashlib.sha256(data).hexdigest()
    assert blobs.put(data) == name
    assert blobs.read(name) == data


def test_a_changed_or_missing_blob_is_damage(tmp_path: Path) -> None:
    blobs = BlobFolder(tmp_path)
    name = blobs.put(b"residues")
    path = tmp_path / name[:2] / name
    path.write_bytes(b"residueS")
    with pytest.raises(StorageDamaged, match="changed on disk"):
        blobs.read(name)
    path.unlink()
    with pytest.raises(StorageDamaged, match="cannot be read"):
        blobs.read(name)


def test_only_what_is_referred_to_is_kept(tmp_path: Path) -> None:
    blobs = BlobFolder(tmp_path)
    names = [blobs.put(bytes([i])) for i in range(5)]
    assert blobs.keep_only({names[1], names[3]}) == 3
    assert blobs.keep_only({names[1], names[3]}) == 0
    assert blobs.read(names[3]) == b"\3"


def test_what_an_interrupted_write_left_is_removed(tmp_path: Path) -> None:
    name = BlobFolder(tmp_path).put(b"whole")
    torn = tmp_path / name[:2] / f"{name}.0011.part"
    torn.write_bytes(b"who")
    blobs = BlobFolder(tmp_path)
    assert not torn.exists()
    assert blobs.read(name) == b"whole"


def test_no_room_leaves_nothing_behind(tmp_path: Path) -> None:
    blobs = BlobFolder(tmp_path)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(CoordinatorFull):
            blobs.put(os.urandom(5000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not list(tmp_path.glob("??/*"))
