"""The process between members of a cluster. It loads nothing of the cluster, so that it is there at once."""
