"""The program `fedmrg`: one file a command or group; options in, results and errors out."""
