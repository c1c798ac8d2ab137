"""The app that shows a blinded reader study: `served` in, answers in one SQLite file, readings.csv out.

`server.serve` shows it; `organizer` invites, tells who is where, exports and deletes.
"""
