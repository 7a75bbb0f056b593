"""`holdgate jobs`, `approvals` and `quarantine`: what agents and approvers do at a terminal or in a script.

What always holds: everything is done by calls of the HTTP API, through `holdgate.client`; what others wrote is shown
and never obeyed by the terminal; a vote is about the job hash and the snapshot, or the digest, that were shown; how a
command ended is one of `exits.Exit`.
"""
