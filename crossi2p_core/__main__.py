"""`python -m crossi2p_core`: the command line where its executable is not on the path."""

from .cli import main

main()
