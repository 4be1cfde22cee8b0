"""What the worker tells about itself: spans and log lines. It observes and never steers."""
