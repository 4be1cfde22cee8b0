"""The control plane (connection, topology) and the lanes that carry deliveries and publishes."""
