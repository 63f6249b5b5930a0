"""`bag_player`: plays a bag through DDS where there is no ros2 command line, and decalibrates it on request.

    command.py        the command line
    options.py        what can be asked for, checked
    recording.py      the bag's topics, which of them can be played, and their messages
    offers.py         the quality of service that each topic was recorded with
    edits.py          the little that is changed in messages: stamps of later laps, the decalibrated transform
    decalibration.py  which transform is made wrong, and by how much
    pace.py           the bag's clock: when a message is due
    player.py         publishers, /clock and the loop over them all
    progress_line.py  how far it is, on a terminal
"""
