"""`make demo`: a camera that was knocked is found again, over real ROS 2, with everything in processes of its own.

    command.py   the command line; without ROS it hands over to `crossi2p register`
    story.py     the steps, in the order in which they happen
    drive.py     the synthetic drive as a bag, and the exact extrinsic it was made with
    programs.py  node and player as processes: started, watched, ended; a DDS network of their own
    listener.py  what an ordinary ROS node hears of them
    said.py      one message of the diagnostics, as the demo reads it
    course.py    how far the repair has come by what was said, and what is still missing
    live.py      the lines on the terminal meanwhile
    ending.py    pictures, verdict and the table at the end
"""
