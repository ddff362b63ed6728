"""The wire: messages, signed envelopes, the round's state machine, mutual-TLS gRPC transport."""
