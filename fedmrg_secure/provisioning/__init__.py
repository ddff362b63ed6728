"""Identities: the federation's authority, enrolment, a party's kit, throw-away federations."""
