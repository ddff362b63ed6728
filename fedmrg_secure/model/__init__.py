"""The report generator that is trained: encoder, diagnosis, prompts, adapted decoder."""
