"""The wire contract: what producers send, what processors receive, what dead letters say, what rules hold."""
