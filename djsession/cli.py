"""The djsession command: keygen, encrypt, decrypt, doctor, serve and migrate.

The key comes from the environment or from a file. It never comes from the command line, which other
users of the machine can see. The exit code is 0 on success, 1 for a refused token or bad input
(with one line on stderr), and 2 for wrong usage or a missing or wrong setting. The help of migrate
lists its own exit codes.
"""

from __future__ import annotations

import argparse
import getpass
import os
import re
import sys
import warnings
from collections.abc import Sequence
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any, TextIO

from .commands import decrypt, encrypt, examine
from .doctor import Configuration, InputError, Keys, Report, differences, trim
from .errors import ConfigurationError, DjsessionError, MockupError
from .keys import generate_key
from .migrate import migrate
from .settings import KEY_NAME, Settings

__all__ = ["main"]


# An argument that is meant to be the name of a file, and not a token.
_FILE = re.compile(r"[\w./\\~ -]+\.(?:txt|json|log|http)", re.ASCII)


class _CommandParser(argparse.ArgumentParser):
    """Rejects abbreviated options, since ``--key KEY`` would be read as ``--key-file KEY``."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options, allow_abbrev=False)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command with its arguments (default: ``sys.argv``) and return its exit code."""
    argv = sys.argv[1:] if argv is None else list(argv)
    try:
        parser = _parser()
        if not argv:
            parser.print_help(sys.stderr)
            return 2
        arguments = parser.parse_args(argv)
        code: int = arguments.run(arguments)
        sys.stdout.flush()
        return code
    except MockupError as error:
        for problem in error.problems:
            print(f"djsession: {problem}", file=sys.stderr)
        return 1
    except ConfigurationError as error:
        print(f"djsession: {error}", file=sys.stderr)
        return 2
    except (DjsessionError, InputError) as error:
        print(f"djsession: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        # The reader of the output has closed it, or the disk is full. Nothing is written at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):
            print(f"djsession: {error.strerror}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="djsession",
        description="Work with sessions of the DjaoDjin proxy: make keys, read and write tokens,"
        " and serve an application with mockup logins.",
        epilog=f"The key is read from the environment variable {KEY_NAME}; several keys, newest"
        " first, are separated by commas.",
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {_version()}")
    commands = parser.add_subparsers(
        title="commands",
        required=True,
        metavar="COMMAND",
        parser_class=_CommandParser,
    )

    keygen = commands.add_parser(
        "keygen", help="print a new key", description="Print a new random key."
    )
    keygen.set_defaults(run=_keygen)

    encrypt = commands.add_parser(
        "encrypt",
        help="turn JSON into a token",
        description="Read a session, which is a JSON object, and print it as a token.",
    )
    encrypt.add_argument(
        "file",
        nargs="?",
        default="-",
        metavar="FILE",
        help="a JSON object, or a file that contains one (default: stdin)",
    )
    encrypt.add_argument(
        "--format",
        choices=("openssl", "jwt"),
        default="openssl",
        help="openssl for the cookie (default), jwt for the Authorization header",
    )
    _add_key_file(encrypt)
    encrypt.set_defaults(run=_encrypt)

    decrypt = commands.add_parser(
        "decrypt",
        help="turn a token into JSON",
        description="Print the session in a token as JSON.",
    )
    _add_token(decrypt)
    decrypt.set_defaults(run=_decrypt)

    doctor = commands.add_parser(
        "doctor",
        help="explain why a token is refused",
        description="Show each step of decoding a token with each key, with secrets masked, and"
        " explain why it is refused and what to do. The exit code is 0 if the session decodes,"
        " otherwise 1.",
    )
    source = doctor.add_mutually_exclusive_group()
    source.add_argument(
        "input",
        nargs="?",
        default="-",
        metavar="INPUT",
        help="a token, a Cookie: or Authorization: header, what the proxy's dashboard prints, a"
        " whole HTTP request, or a file that contains one of these (default: stdin)",
    )
    source.add_argument(
        "--listen",
        nargs="?",
        type=_port,
        const=8000,
        metavar="PORT",
        help="listen on this port in place of the application (default: 8000) and answer each"
        " request that the proxy sends with a diagnosis",
    )
    source.add_argument(
        "--compare",
        action="store_true",
        help="ask for the key that the site's settings show at DjaoDjin, without displaying it, and"
        " report where it differs from the application's key; the exit code is 0 if they match",
    )
    doctor.add_argument(
        "--host",
        default="127.0.0.1",
        help="the address for --listen, such as 0.0.0.0 when the proxy is on another machine;"
        " anyone who can reach that address sees the diagnosis (default: 127.0.0.1)",
    )
    doctor.add_argument("--cookie-name", metavar="NAME", help="default: sessionid")
    doctor.add_argument(
        "--settings",
        metavar="MODULE",
        help="read key and settings from a module, such as Django's",
    )
    doctor.add_argument("--json", action="store_true", help="print JSON, for machines")
    _add_key_file(doctor)
    doctor.set_defaults(run=_doctor)

    serve = commands.add_parser(
        "serve",
        help="serve an application with mockup logins, for development",
        description="Serve a WSGI application on this machine, for development. With --mockup it"
        " stands in for the proxy: it checks the rules in the file and attaches a session to each"
        " request. Pass the URL of a server instead of an application to run in front of that"
        " server.",
    )
    serve.add_argument(
        "target",
        metavar="TARGET",
        help="MODULE:APP, MODULE:create_app or a URL such as http://127.0.0.1:8001",
    )
    serve.add_argument(
        "--mockup", metavar="FILE", help="a YAML file with sessions and optional access rules"
    )
    serve.add_argument(
        "--format",
        choices=("openssl", "jwt"),
        default="openssl",
        help="how the application receives the session: openssl in the cookie (default), or jwt in"
        " the Authorization header",
    )
    serve.add_argument(
        "--websockets",
        action="store_true",
        help="forward WebSockets, for development servers that use one to reload pages; the proxy"
        " does not forward them",
    )
    serve.add_argument("--host", default="127.0.0.1", help="default: 127.0.0.1")
    serve.add_argument(
        "--port", type=_port, default=8000, help="default: 8000; 0 picks a free port"
    )
    serve.add_argument(
        "--allow-host",
        action="append",
        default=[],
        metavar="NAME",
        help="another host name, besides localhost, that mockup logins accept",
    )
    serve.add_argument(
        "--allow-remote",
        action="store_true",
        help="let mockup logins answer requests from other machines; signing in then needs the key"
        " in the URL that is printed at startup",
    )
    _add_key_file(serve)
    serve.set_defaults(run=_serve)

    migrate = commands.add_parser(
        "migrate",
        help="move a project from djaodjin-deployutils",
        description="Print the changes that move a project from djaodjin-deployutils to djsession"
        " as a diff, followed by what to check by hand. The diff shows the lines around a change"
        " unmasked, including any secrets in them.",
        epilog="The exit code is 0 if there is nothing to change or if --write changed everything,"
        " 1 if there are changes to write or a file that names deployutils was skipped, and 2 for"
        " wrong usage.",
    )
    migrate.add_argument("path", type=_existing, metavar="PATH", help="a project, or a file in it")
    migrate.add_argument("--write", action="store_true", help="change the files")
    migrate.set_defaults(run=_migrate)
    return parser


def _version() -> str:
    try:
        return metadata.version("djsession")
    except metadata.PackageNotFoundError:
        return "(not installed)"


def _add_token(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "token",
        nargs="?",
        default="-",
        metavar="TOKEN",
        help="a token, or a whole Cookie: or Authorization: header (default: stdin)",
    )
    parser.add_argument("--cookie-name", metavar="NAME", help="default: sessionid")
    _add_key_file(parser)


def _add_key_file(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--key-file",
        metavar="FILE",
        help=f"read the keys from a file instead of {KEY_NAME}; one key per line, newest first",
    )


def _port(value: str) -> int:
    if value.isdecimal() and int(value) <= 65535:
        return int(value)
    raise argparse.ArgumentTypeError("expected a number from 0 to 65535")


def _existing(value: str) -> Path:
    path = Path(value)
    if path.exists():
        return path
    raise argparse.ArgumentTypeError(f"{value} does not exist")


def _secret_keys(key_file: str | None) -> list[str] | None:
    """Return the keys in a file, or None to use the environment if no file is given."""
    if key_file is None:
        return None
    # Only line ends are removed. Anything else around a key is a mistake to report.
    return _read_key_file(key_file).rstrip("\r\n").splitlines()


def _read_key_file(path: str) -> str:
    try:
        return _read_text(path)
    except InputError as error:
        # Somebody may have passed the key itself as the name of the file.
        raise InputError(f"the key file cannot be read:{str(error).rpartition(':')[2]}") from None


def _read_text(path: str, stdin: TextIO | None = None) -> str:
    """Return the text of a file. If ``stdin`` is given, ``-`` stands for it."""
    try:
        if path == "-" and stdin is not None:
            _prompt("a session as JSON")
            return stdin.read()
        return Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: not UTF-8") from None


def _keygen(_: argparse.Namespace) -> int:
    print(generate_key())
    return 0


def _encrypt(arguments: argparse.Namespace) -> int:
    settings = Settings.from_environ(secret_key=_secret_keys(arguments.key_file))
    is_json = arguments.file.lstrip().startswith("{")
    text = arguments.file if is_json else _read_text(arguments.file, sys.stdin)
    print(encrypt(text, settings, arguments.format))
    return 0


def _decrypt(arguments: argparse.Namespace) -> int:
    print(decrypt(_token_text(arguments), _token_settings(arguments)))
    return 0


def _doctor(arguments: argparse.Namespace) -> int:
    configuration = _doctor_configuration(arguments)
    if arguments.compare:
        return _compare(configuration.keys)
    as_text = partial(Report.as_text, colour=_has_colour(sys.stdout))
    render = Report.as_json if arguments.json else as_text
    if arguments.listen is not None:
        # Imported here because the server and the pages need WebOb and PyYAML.
        from .doctor.listen import listen

        return listen(configuration, render, arguments.host, arguments.listen)
    report = examine(_doctor_input(arguments.input), configuration)
    print(render(report))
    return 0 if report.decodes else 1


def _compare(keys: Keys) -> int:
    if not any(keys.raw):
        raise InputError(f"the application has no secret key to compare with: set {KEY_NAME}")
    try:
        with warnings.catch_warnings():
            # Without a terminal, getpass would echo the key.
            warnings.simplefilter("error", getpass.GetPassWarning)
            entered = getpass.getpass("The key that the site's settings show (it stays hidden): ")
    except (getpass.GetPassWarning, EOFError):
        raise InputError("--compare asks for the key on a terminal, but there is none") from None
    site_key = trim(entered)
    if not site_key:
        raise InputError("no key was entered")
    found = differences(keys, site_key)
    print("\n".join(found) or "The application has the site's key.")
    return 1 if found else 0


def _doctor_configuration(arguments: argparse.Namespace) -> Configuration:
    explicit: dict[str, Any] = {"cookie_name": arguments.cookie_name}
    if arguments.key_file is not None:
        # Unchanged, so that the doctor can report what is wrong with it.
        keys = _read_key_file(arguments.key_file).split("\n")
        explicit["secret_key"] = keys[:-1] if len(keys) > 1 and not keys[-1] else keys
    if arguments.settings is not None:
        return Configuration.from_module(arguments.settings, **explicit)
    return Configuration.from_environ(os.environ, **explicit)


def _doctor_input(argument: str) -> str:
    """Return stdin, the text of a file, or the argument itself."""
    if argument == "-":
        # Read as bytes, since a copy may have any encoding.
        if sys.stdin is None:
            raise InputError("there is no standard input")
        _prompt("a token, a header or a request")
        binary = getattr(sys.stdin, "buffer", None)
        return binary.read().decode("utf-8", "replace") if binary else sys.stdin.read()
    try:
        path = Path(argument)
        if path.is_file():
            return path.read_bytes().decode("utf-8", "replace")
    except (OSError, ValueError):  # too long for a path, or a NUL in it
        pass
    if _FILE.fullmatch(argument):
        raise InputError("there is no such file, and it is not a token")
    return argument


def _has_colour(stream: TextIO) -> bool:
    """Whether to colour the output to a stream. See https://no-color.org/"""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def _token_text(arguments: argparse.Namespace) -> str:
    if arguments.token != "-":
        return str(arguments.token)
    _prompt("a token or a header")
    return sys.stdin.read()


def _prompt(wanted: str) -> None:
    """On a terminal, print what the command waits for."""
    if sys.stdin.isatty():
        print(f"Paste {wanted}, then press Enter and Ctrl+D:", file=sys.stderr)


def _token_settings(arguments: argparse.Namespace) -> Settings:
    return Settings.from_environ(
        secret_key=_secret_keys(arguments.key_file), cookie_name=arguments.cookie_name
    )


def _serve(arguments: argparse.Namespace) -> int:
    # Imported here because only this command needs WebOb, PyYAML and a server.
    from .serve import serve

    keys = _secret_keys(arguments.key_file)
    if keys is not None:
        # The application that is about to be imported reads the environment.
        if any("," in key for key in keys):
            raise InputError(f"{arguments.key_file}: a key contains a comma, which separates keys")
        os.environ[KEY_NAME] = ",".join(keys)
    return serve(
        arguments.target,
        host=arguments.host,
        port=arguments.port,
        mockup=arguments.mockup,
        format=arguments.format,
        websockets=arguments.websockets,
        hosts=arguments.allow_host,
        allow_remote=arguments.allow_remote,
    )


def _migrate(arguments: argparse.Namespace) -> int:
    migration = migrate(arguments.path, write=arguments.write)
    encoding = sys.stdout.encoding or "utf-8"
    print(migration.as_text().encode(encoding, "backslashreplace").decode(encoding))
    return 0 if migration.is_complete else 1
