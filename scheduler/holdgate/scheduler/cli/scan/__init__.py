"""`holdgate scan`: secrets and personal data in files, for people and for CI. Needs no server.

What always holds: a value that was found is never printed; what could not be scanned to its end is said, and ends with
an exit code of its own, never as clean.
"""
