"""The wire: messages, signed envelopes, the round's state machine, mutual-TLS gRPC transport."""

import os

# gRPC's own notes on refused handshakes would otherwise mix with our errors on stderr.
os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
