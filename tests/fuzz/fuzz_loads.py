"""Coverage-guided fuzzing of what a client sends, with atheris: ``nox -s fuzz``.

It looks for anything that is not a Session or a SessionError, and for a session that was not
written with the key.
"""

from __future__ import annotations

import sys

import atheris

with atheris.instrument_imports():
    from djsession import AccessDenied, Gate, Session, SessionError, Settings, openssl
    from djsession.codec import SessionCodec
    from djsession.commands import InputError, examine

KEY = "k3y!@#$%^*-_=+ab"
CODEC = SessionCodec(KEY)
SETTINGS = Settings(KEY, allowed_no_session=["/open"])
GATE = Gate(SETTINGS)


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

        # A plaintext that was written with the key.
        token = b64encode(openssl.encrypt(text.encode("utf-8", "replace"), KEY.encode())).decode()
        try:
            assert isinstance(CODEC.loads(token), Session)
        except SessionError:
            pass
    elif choice == 2:
        try:
            assert GATE.check(GATE.decode(text, text, text), "GET", text) == {}
        except AccessDenied:
            pass
    else:
        try:
            report = examine(text, SETTINGS)
            assert KEY not in report.as_text() + report.as_json()
        except InputError:
            pass


if __name__ == "__main__":
    import logging

    logging.disable(logging.CRITICAL)
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
