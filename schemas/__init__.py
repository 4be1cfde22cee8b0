"""The wire contract: what producers send, what processors receive, what a dead letter says, what rules hold."""
