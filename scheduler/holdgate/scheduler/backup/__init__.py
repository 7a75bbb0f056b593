"""One file with everything that a system knows, and a system from such a file.

archive   the file: parts, their digests, a manifest
rdb       what Redis sends to a replica, key by key
redis     the state: all keys as they were at one moment, and back
streams   the log: streams of JetStream with their consumers, and back
files     the audit archive, a kernel's directory, keys under a passphrase
run       the order of it all
"""
