"""Words for people that pages and terminals share: what one of them says, the other says alike. Pure."""
