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

# From a peer on this machine, gunicorn takes the mount point out of the header SCRIPT_NAME, which a
# client can set. Where the application has a mount point, set SCRIPT_NAME in the environment.
forwarder_headers = ""

# gunicorn 25.1 and later open a control socket in the home directory. Where a service cannot write
# there, the log shows an error at each start.
control_socket_disable = True
