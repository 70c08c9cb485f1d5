"""One application for each adapter, for the tests in ``test_servers.py``."""
