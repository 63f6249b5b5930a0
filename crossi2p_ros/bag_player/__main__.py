"""`python -m crossi2p_ros.bag_player` is `bag_player`."""

from .command import main

if __name__ == "__main__":
    main()
