"""gunicorn behind the session proxy. See https://docs.gunicorn.org/en/stable/settings.html"""

# Only the proxy, on the same machine, may reach the application.
bind = "127.0.0.1:8000"

worker_class = "gthread"
workers = 2
threads = 4

# gunicorn refuses a header over 8,190 bytes by default, with 400 or 431 before any application sees
# it. The session travels in one header: 6 KB of its JSON are past that as base64. This takes
# some 24 KB, for users with a role in a hundred organizations.
limit_request_field_size = 32_768

# gunicorn takes the header SCRIPT_NAME of who connects from this machine for the mount point, and
# that decides which paths are open. Set it in the environment where there is one.
forwarder_headers = ""
