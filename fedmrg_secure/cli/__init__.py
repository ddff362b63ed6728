"""The program `fedmrg`: one file a command or group, nothing but reading options and saying results."""
