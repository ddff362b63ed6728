"""Files of identities: private to their owner, written whole or not at all."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Final

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from fedmrg_secure.core.errors import InputError
from fedmrg_secure.core.foreign_json import JsonRefused, read_json

_LONGEST_FILE: Final = 16 * 1024 * 1024

PrivateKey = EllipticCurvePrivateKey | Ed25519PrivateKey | X25519PrivateKey


class IdentityFileMissing(InputError):
    """A file of a kit or an authority is not there."""

    code: ClassVar[str] = "FMRG-6601"


class IdentityFileInvalid(InputError):
    """A file of a kit, an authority, a request or a grant is not what it should be."""

    code: ClassVar[str] = "FMRG-6602"


class IdentityFileExposed(InputError):
    """A private key's file can be read by others."""

    code: ClassVar[str] = "FMRG-6603"


class IdentityFolderInUse(InputError):
    """A folder that is to hold new keys already holds some."""

    code: ClassVar[str] = "FMRG-6604"


def make_private_folder(folder: Path) -> None:
    """Create `folder` (mode 0700) with its parents; an existing one is kept."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    folder.chmod(0o700)


def write_private(path: Path, content: bytes) -> None:
    """Write a file of mode 0600: under its name it is complete or absent, whenever one looks."""
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def read_bounded(path: Path) -> bytes:
    """The bytes of an identity's file.

    Raises:
        IdentityFileMissing: there is no such file.
        IdentityFileInvalid: it is longer than 16 MiB.
    """
    try:
        with path.open("rb") as stream:
            content = stream.read(_LONGEST_FILE + 1)
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        raise IdentityFileMissing(
            f"there is no file {path.name} in {path.parent}",
            hint="is this the folder that `fedmrg provision` or `fedmrg run` made?",
            location=str(path),
        ) from None
    if len(content) > _LONGEST_FILE:
        raise IdentityFileInvalid(f"{path.name} is too long", location=str(path))
    return content


def write_key(path: Path, key: PrivateKey) -> None:
    """Store a private key as unencrypted PKCS 8, mode 0600."""
    write_private(path, key_pem(key))


def key_pem(key: PrivateKey) -> bytes:
    """A private key as unencrypted PKCS 8 PEM."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def read_key(path: Path) -> object:
    """A private key from its file, of whatever kind `cryptography` knows.

    Raises:
        IdentityFileMissing: there is no such file.
        IdentityFileExposed: its mode lets group or others in.
        IdentityFileInvalid: it holds no private key.
    """
    content = read_bounded(path)
    mode = path.stat().st_mode & 0o777
    if mode & 0o077:
        raise IdentityFileExposed(
            f"the private key {path.name} can be read by others (mode {mode:04o})",
            hint=f"chmod 600 {path}; if others may have read it, make new keys",
            location=str(path),
        )
    try:
        return load_pem_private_key(content, password=None)
    except (ValueError, TypeError):
        raise IdentityFileInvalid(f"{path.name} holds no private key", location=str(path)) from None


def read_object(path: Path, version: str) -> Mapping[str, Any]:
    """A JSON object whose ``version`` is the given one.

    Raises:
        IdentityFileMissing, IdentityFileInvalid: see `read_bounded` and `parse_object`.
    """
    return parse_object(read_bounded(path), version, str(path))


def parse_object(content: bytes, version: str, location: str = "") -> Mapping[str, Any]:
    """A JSON object whose ``version`` is the given one.

    Raises:
        IdentityFileInvalid: not JSON as `core.foreign_json` reads it, not an object, or of another
            version.
    """
    try:
        value = read_json(content)
    except JsonRefused as error:
        raise IdentityFileInvalid(
            f"the file {error}",
            hint="was it meant to be given here, and did it come whole?",
            location=location,
        ) from None
    if not isinstance(value, dict) or value.get("version") != version:
        raise IdentityFileInvalid(f"the file is not of the form {version}", location=location)
    return value


def text_field(value: Mapping[str, Any], key: str) -> str:
    """A string field of a JSON object; raises `IdentityFileInvalid`."""
    text = value.get(key)
    if not isinstance(text, str):
        raise IdentityFileInvalid(f"the field {key} is missing or not a string")
    return text


def hex_field(value: Mapping[str, Any], key: str) -> bytes:
    """A hexadecimal field of a JSON object; raises `IdentityFileInvalid`."""
    try:
        return bytes.fromhex(text_field(value, key))
    except ValueError:
        raise IdentityFileInvalid(f"the field {key} is not hexadecimal") from None
