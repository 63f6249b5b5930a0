"""One module per command of `crossi2p`, and the rooms they share.

options, selection (of frames), starts (of registrations), records and words (what is reported), results (what is
written) and progress. No torch, cv2 or scipy at the top of these modules: they are imported where used, so that
`crossi2p --help` answers at once.
"""
