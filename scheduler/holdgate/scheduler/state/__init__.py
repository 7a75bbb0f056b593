"""What Holdgate knows: every job's state in Redis, the durable log in JetStream. One script a transition."""
