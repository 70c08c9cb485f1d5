"""Coverage-guided fuzzing of what a client sends, with atheris: ``nox -s fuzz``.

What it is to find: anything but a Session or a SessionError, and a session that nobody with the
key has written.
"""

from __future__ import annotations

import sys

import atheris

with atheris.instrument_imports():
    from djsession import AccessDenied, Gate, Session, SessionError, Settings, openssl
    from djsession.cli import examine
    from djsession.codec import SessionCodec
    from djsession.doctor import InputError

KEY = "k3y!@#$%^*-_=+ab"
CODEC = SessionCodec(KEY)
GATE = Gate(Settings(KEY, allowed_no_session=["/open"]))


def one_input(data: bytes) -> None:
    provider = atheris.FuzzedDataProvider(data)
    choice = provider.ConsumeIntInRange(0, 3)
    text = provider.ConsumeUnicode(4_096)
    if choice == 0:
        try:
            assert isinstance(CODEC.loads(text), Session)
        except SessionError:
            pass
    elif choice == 1:
        from base64 import b64encode

        # Past the decryption: what the key has written.
        token = b64encode(openssl.encrypt(text.encode("utf-8", "replace"), KEY.encode())).decode()
        try:
            assert isinstance(CODEC.loads(token), Session)
        except SessionError:
            pass
    elif choice == 2:
        environ = {"PATH_INFO": text, "HTTP_COOKIE": text, "HTTP_AUTHORIZATION": text}
        try:
            assert GATE.open(environ) == {}
        except AccessDenied:
            pass
    else:
        try:
            report = examine(text, (KEY,), allowed_no_session=["/open"])
            assert KEY not in report.as_text() + report.as_json()
        except InputError:
            pass


if __name__ == "__main__":
    import logging

    logging.disable(logging.CRITICAL)
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
