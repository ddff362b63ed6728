"""``ckks-multiparty``: ring-LWE with a key of each site's own for each round.

A site encrypts under its own uniform secret; the sum of ciphertexts opens under the sum of the
secrets, which threshold-many sites put together from shares. Nothing here has been independently
reviewed; docs/crypto-spec.md has the equations, the byte formats and what is claimed.

For sites only: the coordinator must not import this package.
"""
