"""Tokens both ways with other implementations: djaodjin-deployutils, PyJWT, crypto-js, openssl."""

from __future__ import annotations

import json
import os
import subprocess
from typing import Any

import pytest

from djsession import dumps, loads
from tests.helpers.commands import command
from tests.helpers.proxy import LARGE, PROXY_PYTHON, SESSIONS
from tests.helpers.sessions import KEY, XIA

DOCUMENTS: list[dict[str, Any]] = [
    {},
    XIA,
    LARGE,
    SESSIONS["日本"],
    {"a": [None, True, 1.5, "\x00"]},
]

# Each reads from stdin, as JSON, what to do, a key, and a token or a session.
DEPLOYUTILS = """
import json, sys
from deployutils.crypt import decrypt, encrypt
what, key, value = json.load(sys.stdin)
if what == "encrypt":
    token = encrypt(json.dumps(value), passphrase=key)
    print(token.decode() if isinstance(token, bytes) else token)
else:
    print(json.dumps(json.loads(decrypt(value, passphrase=key))))
"""

PYJWT = """
import json, sys, time, warnings
warnings.simplefilter("ignore")
import jwt
what, key, value = json.load(sys.stdin)
if what == "encrypt":
    print(jwt.encode({**value, "exp": int(time.time()) + 60}, key, "HS256"))
else:
    print(json.dumps(jwt.decode(value, key, algorithms=["HS256"])))
"""

CRYPTO_JS = r"""
const CryptoJS = require("crypto-js");
const [what, key, value] = JSON.parse(require("fs").readFileSync(0, "utf8"));
// The proxy writes JSON in ASCII, and djsession accepts nothing else in this format.
const escape = (c) => "\\u" + c.charCodeAt(0).toString(16).padStart(4, "0");
const json = JSON.stringify(value).replace(/[\u0080-\uffff]/g, escape);
if (what === "encrypt") console.log(CryptoJS.AES.encrypt(json, key).toString());
else console.log(CryptoJS.AES.decrypt(value, key).toString(CryptoJS.enc.Utf8));
"""

TOOLS: dict[str, tuple[Any, list[str]]] = {
    "deployutils": ("openssl", [PROXY_PYTHON, "-c", DEPLOYUTILS]),
    "PyJWT": ("jwt", [PROXY_PYTHON, "-c", PYJWT]),
    "crypto-js": ("openssl", ["node", "-e", CRYPTO_JS]),
}


def run(tool: str, what: str, value: Any) -> str:
    done = subprocess.run(
        TOOLS[tool][1],
        input=json.dumps([what, KEY, value]),
        capture_output=True,
        text=True,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": ""},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("tool", TOOLS)
@pytest.mark.parametrize("document", DOCUMENTS, ids=range(len(DOCUMENTS)))
def test_djsession_reads_tokens_that_other_tools_write(tool: str, document: dict[str, Any]) -> None:
    session = loads(run(tool, "encrypt", document), KEY)
    session.pop("exp", None)
    assert session == document


@pytest.mark.parametrize("tool", TOOLS)
@pytest.mark.parametrize("document", DOCUMENTS, ids=range(len(DOCUMENTS)))
def test_other_tools_read_tokens_that_djsession_writes(tool: str, document: dict[str, Any]) -> None:
    found = json.loads(run(tool, "decrypt", dumps(document, KEY, TOOLS[tool][0])))
    found.pop("exp", None)
    assert found == document


@pytest.mark.parametrize("document", DOCUMENTS, ids=range(len(DOCUMENTS)))
def test_the_openssl_command_and_djsession_read_each_others_tokens(
    document: dict[str, Any],
) -> None:
    base = [command("openssl"), "enc", "-aes-256-cbc", "-md", "md5", "-a", "-A"]

    def openssl(*options: str, text: str) -> str:
        return subprocess.run(
            [*base, *options, "-pass", f"pass:{KEY}"],
            input=text.encode(),
            capture_output=True,
            check=True,
        ).stdout.decode()

    assert loads(openssl(text=json.dumps(document)).strip(), KEY) == document
    assert json.loads(openssl("-d", text=dumps(document, KEY))) == document
