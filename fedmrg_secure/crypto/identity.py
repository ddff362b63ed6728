"""Everything that makes a process a party: its certificates and its private keys."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, NoReturn

from fedmrg_secure.core.errors import FedmrgError
from fedmrg_secure.crypto.certificates import coordinator_dns_name
from fedmrg_secure.crypto.keys import SecretBytes, SecretUnavailable
from fedmrg_secure.crypto.signing import SigningKey


class NoSealingKey(FedmrgError):
    """This party has no key that anything could be sealed to."""

    code: ClassVar[str] = "FMRG-4551"


@dataclass(frozen=True)
class PartyIdentity:
    """One party's own keys and certificates, as `provisioning.site_kit.load_kit` checked them.

    Args:
        federation: the federation's name.
        name: the party's name; ``coordinator`` for the coordinator.
        role: ``site`` or ``coordinator``.
        tls_chain_pem: leaf and issuing certificates, leaf first.
        tls_key_pem: the leaf's ECDSA P-256 private key, PKCS 8.
        authority_pem: the federation's root certificate: the only trust anchor of TLS.
        signing_key: Ed25519; implements `core.types.Signer`.
        hpke_private_key: X25519, 32 bytes; None at the coordinator, which must never be able to
            open what sites seal to each other.
    """

    federation: str
    name: str
    role: str
    tls_chain_pem: bytes = field(repr=False)
    tls_key_pem: SecretBytes = field(repr=False)
    authority_pem: bytes = field(repr=False)
    signing_key: SigningKey = field(repr=False)
    hpke_private_key: SecretBytes | None = field(repr=False)

    @property
    def seal_key(self) -> SecretBytes:
        """The X25519 private key of a site, 32 bytes.

        Raises:
            NoSealingKey: this is the coordinator.
        """
        if self.hpke_private_key is None:
            raise NoSealingKey(f"{self.name} has no sealing key")
        return self.hpke_private_key

    @property
    def coordinator_name(self) -> str:
        """The DNS name that TLS must find in the coordinator's certificate."""
        return coordinator_dns_name(self.federation)

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise SecretUnavailable("an identity cannot be pickled or copied")
