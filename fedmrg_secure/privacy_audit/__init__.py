"""Attacks on our own differential privacy: does what leaves say more than what is claimed?"""
