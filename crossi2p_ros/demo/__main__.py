"""`python -m crossi2p_ros.demo` is what `make demo` runs."""

from .command import main

if __name__ == "__main__":
    main()
