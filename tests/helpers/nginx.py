"""nginx on the loopback interface."""

from __future__ import annotations

import grp
import os
import pwd
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.helpers.commands import command
from tests.helpers.servers import free_port, running_server

CONFIGURATION = """
daemon off;
worker_processes 1;
pid "{folder}/nginx.pid";
error_log stderr warn;
{user}
events {{ worker_connections 256; }}
http {{
    access_log off;
    client_body_temp_path "{folder}/body";
    proxy_temp_path "{folder}/proxy";
    fastcgi_temp_path "{folder}/fastcgi";
    uwsgi_temp_path "{folder}/uwsgi";
    scgi_temp_path "{folder}/scgi";
    {http}
}}
"""


@contextmanager
def running_nginx(http: str, folder: Path) -> Iterator[int]:
    """Run nginx with these directives in its ``http`` block, and yield its port.

    ``{port}`` in the directives becomes a free port, ``{folder}`` the folder for its files.
    """
    nginx, port = command("nginx"), free_port()
    configuration = folder / "nginx.conf"
    configuration.write_text(
        CONFIGURATION.format(
            folder=folder,
            # As root, nginx would give up the right to read the folder of the test.
            user=f"user {account()};" if os.geteuid() == 0 else "",
            http=http.replace("{port}", str(port)).replace("{folder}", str(folder)),
        )
    )
    arguments = (nginx, "-e", "stderr", "-p", str(folder), "-c", str(configuration))
    with running_server(arguments, folder / "nginx.log", port=port):
        yield port


def account() -> str:
    """Return the user and the group of this process, as in nginx's configuration."""
    return f"{pwd.getpwuid(os.geteuid()).pw_name} {grp.getgrgid(os.getegid()).gr_name}"
