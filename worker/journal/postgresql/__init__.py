"""The journal in a PostgreSQL database, shared by the processes of several hosts."""
