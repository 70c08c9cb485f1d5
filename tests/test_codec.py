from __future__ import annotations

import copy
import json
import pickle
import string
import sys
import time
from base64 import b64decode, b64encode
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from functools import partial
from random import Random
from types import FrameType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from djsession import ConfigurationError, Session, SessionCodec, SessionError, dumps, loads
from djsession import codec as codec_module
from djsession import errors as e
from djsession.codec import FORMATS, token_format
from tests.helpers.sessions import KEY, OTHER_KEY, XIA
from tests.helpers.strategies import JSON
from tests.helpers.tokens import (
    FUTURE,
    REFUSED,
    base64url,
    forge,
    jwt_of,
    nested,
    token_of,
    token_of_blocks,
)

OBJECTS = st.dictionaries(
    st.text().filter(lambda name: name not in ("exp", "last_visited")), JSON, max_size=6
)

# Writes a token with a given JSON text in each format.
Write = Callable[[bytes], str]
NOT_JSON = (e.InvalidJSON, e.InvalidClaims)
IN_EACH_FORMAT = pytest.mark.parametrize("write", [token_of, jwt_of], ids=FORMATS)


@given(OBJECTS)
def test_what_was_dumped_loads(session: dict[str, Any]) -> None:
    assert loads(dumps(session, KEY), KEY) == session


@given(OBJECTS)
def test_what_was_dumped_as_jwt_loads_with_an_expiry(session: dict[str, Any]) -> None:
    loaded = loads(dumps(session, KEY, "jwt"), KEY)
    assert abs(loaded.pop("exp") - time.time() - 7200) < 60
    assert loaded == session


@given(st.text() | st.binary())
def test_anything_at_all_is_refused_with_a_session_error(token: str | bytes) -> None:
    with pytest.raises(SessionError):
        loads(token, KEY)


@given(st.binary(max_size=400))
def test_any_plaintext_is_a_session_or_refused(plaintext: bytes) -> None:
    for token in (token_of(plaintext), jwt_of(plaintext)):
        with suppress(SessionError):
            assert isinstance(loads(token, KEY), Session)


@given(st.binary(max_size=400))
def test_any_container_is_refused(container: bytes) -> None:
    with pytest.raises(SessionError):
        loads(b64encode(b"Salted__" + container), KEY)


@IN_EACH_FORMAT
@pytest.mark.parametrize("start", ["1", "null", "true", '"x"', "1.5", "[]", "{}", ""])
@pytest.mark.parametrize("rest", ["[" * 65, "{" * 65, '{"a":[' * 65, "[]" * 65])
def test_many_brackets_behind_a_value_are_refused(write: Write, start: str, rest: str) -> None:
    # What is decrypted with a wrong key may start with a digit and contain many brackets.
    with pytest.raises(SessionError):
        loads(write(f"{start}{rest}".encode()), KEY)


def test_long_random_ciphertexts_are_refused() -> None:
    # A few in a hundred of them decrypt to something that starts with a number.
    random = Random(1)
    for _ in range(300):
        container = b"Salted__" + random.randbytes(8 + 16 * 1_500)
        assert isinstance(SessionCodec(KEY).try_loads(b64encode(container)), SessionError)


@pytest.mark.parametrize(("error", "token"), REFUSED.values(), ids=REFUSED)
def test_the_codec_refuses_every_malformed_token(error: type[SessionError], token: str) -> None:
    with pytest.raises(SessionError) as caught:
        loads(token, KEY)
    assert type(caught.value) is error
    # What is wrong, and what to do about it.
    assert caught.value.reason
    assert caught.value.remedy
    assert str(caught.value) == f"{caught.value.reason}; {caught.value.remedy}"


@pytest.mark.parametrize(("error", "token"), REFUSED.values(), ids=REFUSED)
def test_try_loads_returns_the_error_without_a_traceback(
    error: type[SessionError], token: str
) -> None:
    found = SessionCodec(KEY).try_loads(token)
    assert type(found) is error
    assert found.__traceback__ is None
    assert found.__context__ is None
    assert found.__cause__ is None


def test_try_loads_returns_the_session() -> None:
    assert SessionCodec(KEY).try_loads(dumps(XIA, KEY)) == XIA


@pytest.mark.parametrize("token", [token for _, token in REFUSED.values()], ids=REFUSED)
def test_no_exception_holds_the_plaintext_or_the_token(token: str) -> None:
    # The exceptions of json and of the UTF-8 decoder hold the whole document.
    with pytest.raises(SessionError) as caught:
        loads(token, KEY)
    assert caught.value.__context__ is None
    assert caught.value.__cause__ is None
    assert not token or token not in str(caught.value)
    assert KEY not in str(caught.value)


def test_a_wrong_key_is_reported_as_a_wrong_key() -> None:
    # One wrong key in 256 gives a padding by chance, and fails a step later.
    for _ in range(300):
        with pytest.raises(SessionError) as caught:
            loads(dumps(XIA, KEY), OTHER_KEY)
        assert "DJAODJIN_SECRET_KEY differs from the key at the proxy" in str(caught.value)
        assert isinstance(caught.value, (e.InvalidPadding, e.InvalidEncoding, e.InvalidJSON))
        assert caught.value.id == "wrong-key"


def test_a_jwt_that_verified_does_not_blame_the_key() -> None:
    for payload in (b"xia", b"\xff"):
        with pytest.raises(SessionError) as caught:
            loads(jwt_of(payload), KEY)
        assert "the payload of the jwt is not" in str(caught.value)
        assert "DJAODJIN_SECRET_KEY" not in str(caught.value)


def test_no_bit_of_a_token_can_change_without_a_refusal_or_another_session() -> None:
    # CBC without a MAC is malleable. Only a SessionError may come out, and a changed token never
    # passes as the original.
    token = dumps(XIA, KEY)
    container = b64decode(token)
    for position in range(len(container)):
        flipped = bytearray(container)
        flipped[position] ^= 1
        try:
            session = loads(b64encode(bytes(flipped)), KEY)
        except SessionError:
            continue
        assert session != XIA


@given(st.permutations(range(8)), st.integers(1, 8))
def test_swapped_and_cut_blocks_never_raise_anything_else(order: list[int], keep: int) -> None:
    container = b64decode(token_of(json.dumps({"username": "x" * 100}).encode()))
    blocks = [container[16 + 16 * index : 32 + 16 * index] for index in order[:keep]]
    with suppress(SessionError):
        loads(b64encode(container[:16] + b"".join(blocks)), KEY)


def test_a_jwt_with_one_character_changed_is_refused() -> None:
    token = dumps(XIA, KEY, "jwt")
    for position in range(len(token)):
        other = "A" if token[position] != "A" else "B"
        with pytest.raises(SessionError):
            loads(token[:position] + other + token[position + 1 :], KEY)


@pytest.mark.parametrize("format", FORMATS)
def test_bytes_are_accepted_as_well_as_text(format: Any) -> None:
    assert loads(dumps(XIA, KEY, format).encode(), KEY).username == "xia"


@pytest.mark.parametrize("format", FORMATS)
def test_the_format_of_a_token_is_recognized(format: Any) -> None:
    assert token_format(dumps(XIA, KEY, format)) == format


# An openssl token for each way to fail, and for each combination of them that takes another path.
REFUSED_PLAINTEXTS = {
    "padding": token_of_blocks(b"x" * 16),
    "padding of JSON": token_of_blocks(b'{"a": 1}' + b" " * 8),
    "padding of an array": token_of_blocks(b"[1]" + b" " * 13),
    "padding of random bytes": token_of_blocks(b"\xff" * 16),
    "text": token_of(b"\xff\xff"),
    "text in JSON": token_of(b'{"a": "\xff"}'),
    "first character": token_of(b"xx"),
    "value": token_of(b'{"a": ,}'),
    "delimiter": token_of(b'{"a": 1:}'),
    "JSON": token_of(b'{"a": 1,}'),
    "more than JSON": token_of(b"{} {}"),
    "object": token_of(b"[1]"),
    "depth": token_of(nested(65, "lists")),
    "recursion": token_of(b"[" * 10_000),
    "repeated name": token_of(b'{"a": 1, "a": 2}'),
    "last_visited": token_of(b'{"last_visited": 1}'),
    "expiry": token_of(b'{"exp": 1}'),
}


@pytest.mark.parametrize("token", REFUSED_PLAINTEXTS.values(), ids=REFUSED_PLAINTEXTS)
def test_every_refusal_of_a_plaintext_does_the_same_work(
    token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The time itself is measured in tests/attacks."""
    work: Counter[str] = Counter()

    def counted(scan: Callable[[str, int], Any]) -> Callable[[str, int], Any]:
        def scanning(text: str, index: int) -> Any:
            try:
                return scan(text, index)
            except StopIteration:  # a fifth of the work of any other exception
                raise
            except Exception:
                work["failed parses"] += 1
                raise

        return scanning

    def count(frame: FrameType, event: str, value: Any) -> None:
        if frame.f_code.co_filename != codec_module.__file__:
            return
        if event == "c_exception" and value.__name__ == "decode":
            work["failed conversions"] += 1
        elif event == "c_call" and value.__name__ == "decode" and len(value.__self__) > 1:
            # What is converted only in order to fail is a single byte.
            work["conversions"] += 1

    for name in ("_scan", "_scan_strictly"):
        monkeypatch.setattr(codec_module, name, counted(getattr(codec_module, name)))
    codec, scanner = SessionCodec(KEY), codec_module._CountingScanner()
    scanner.scan = counted(scanner.scan)
    codec._scanners.append(scanner)
    sys.setprofile(count)
    try:
        found = codec.try_loads(token)
    finally:
        sys.setprofile(None)
    assert isinstance(found, SessionError)
    assert work == {"conversions": 1, "failed conversions": 1, "failed parses": 1}


def test_what_is_parsed_does_not_depend_on_a_text_that_is_not_ascii() -> None:
    """Otherwise the time would show how far an altered token is still JSON."""
    parsed: set[str] = set()
    scanner = codec_module._CountingScanner()
    scan = scanner.scan

    def recording(text: str, index: int) -> Any:
        parsed.add(text)
        return scan(text, index)

    scanner.scan = recording
    codec = SessionCodec(KEY)
    codec._scanners.append(scanner)
    start = b'{"a": ['.ljust(80) + b'"'
    for rest in (b"x" * 9, b'"]}', b'"]} ]', b"\x01", b'",', b" ", b"\\"):
        text = (start + rest).ljust(95)
        for padding in (b"\x01", b"\x00", b"\xff"):
            for position in (0, 3, 80, 81, 94):
                padded = text[:position] + b"\x80" + text[position + 1 :] + padding
                assert isinstance(codec.try_loads(token_of_blocks(padded)), SessionError)
    (decoy,) = parsed
    assert len(decoy) == pytest.approx(96, abs=80)
    with pytest.raises(json.JSONDecodeError) as caught:
        json.loads(decoy)
    assert caught.value.pos == len(decoy)


@pytest.mark.parametrize("format", FORMATS)
def test_a_codec_that_has_decoded_can_be_copied(format: Any) -> None:
    codec = SessionCodec(KEY)
    token = codec.dumps(XIA, format)
    codec.loads(token)
    for copied in (copy.copy(codec), copy.deepcopy(codec), pickle.loads(pickle.dumps(codec))):
        assert copied.loads(token).username == "xia"
        with pytest.raises(e.RepeatedName):
            copied.loads(token_of(b'{"a": 1, "a": 2}'))


class TestWhiteSpace:
    """RFC 8259 section 2 has four characters of white space, Python has more."""

    DOCUMENT = b'{"a": 1, "exp": %d}' % FUTURE

    @IN_EACH_FORMAT
    @pytest.mark.parametrize("character", " \t\r\n")
    def test_the_white_space_of_json_may_surround_the_session(
        self, write: Write, character: str
    ) -> None:
        surrounded = character.encode() * 2 + self.DOCUMENT + character.encode()
        assert loads(write(surrounded), KEY)["a"] == 1

    @IN_EACH_FORMAT
    @pytest.mark.parametrize("character", ["\x0b", "\x0c", "\x1c", "\x1d", "\x1e", "\x1f"])
    def test_other_white_space_within_ascii_is_refused(self, write: Write, character: str) -> None:
        assert character.isspace()
        for text in (character.encode() + self.DOCUMENT, self.DOCUMENT + character.encode()):
            with pytest.raises(NOT_JSON):
                loads(write(text), KEY)

    @pytest.mark.parametrize("character", ["\x85", "\xa0", "\u2003", "\u2028", "\u3000"])
    def test_white_space_beyond_ascii_is_refused_in_a_jwt(self, character: str) -> None:
        assert character.isspace()
        for text in (character.encode() + self.DOCUMENT, self.DOCUMENT + character.encode()):
            with pytest.raises(NOT_JSON):
                loads(jwt_of(text), KEY)


class TestAsciiOnly:
    """The proxy writes JSON in ASCII, so that a random byte passes only half of the time."""

    def test_the_cookie_format_takes_escapes(self) -> None:
        assert loads(token_of(b'{"username": "caf\\u00e9"}'), KEY).username == "café"

    def test_dumps_writes_escapes(self) -> None:
        assert loads(dumps({"username": "日本"}, KEY), KEY).username == "日本"

    @pytest.mark.parametrize("text", ["é", "日", "\x80", "\ufeff", "😀"])
    def test_the_cookie_format_refuses_utf_8_beyond_ascii(self, text: str) -> None:
        with pytest.raises(e.InvalidEncoding, match="not ASCII"):
            loads(token_of(f'{{"username": "{text}"}}'.encode()), KEY)

    def test_the_signature_of_a_jwt_vouches_for_utf_8(self) -> None:
        token = jwt_of(f'{{"username": "日本", "exp": {FUTURE}}}'.encode())
        assert loads(token, KEY).username == "日本"


REPEATED = [
    b'{"username": "a", "username": "a"}',
    b'{"username": "a", "x": 1, "username": "b"}',
    b'{"username": "a", "\\u0075sername": "b"}',
    b'{"": 1, "": 2}',
    b'{"a": {"b": 1, "b": 2}}',
    b'{"a": [[{"b": 1, "b": 2}]]}',
    b'{"roles": {"manager": [{"slug": "a", "subscriptions": [{"plan": 1, "plan": 2}]}]}}',
    b'{"a": {"b": 1, "b": 2}, "c": {}}',
]


@pytest.mark.parametrize("plaintext", REPEATED)
def test_the_cookie_format_refuses_a_repeated_name_at_any_depth(plaintext: bytes) -> None:
    with pytest.raises(e.RepeatedName):
        loads(token_of(plaintext), KEY)


def test_one_name_may_occur_in_several_objects() -> None:
    plaintext = b'{"slug": 1, "a": {"slug": 2}, "b": [{"slug": 3}, {"slug": 4}], "Slug": 5}'
    assert loads(token_of(plaintext), KEY)["b"] == [{"slug": 3}, {"slug": 4}]


# What surrounds a colon, and strings that look like the end of a name.
_SPACE = st.text(" \t\r\n", max_size=2).map(str.encode)
_STRINGS = st.sampled_from([b'"a"', b'"b"', b'"\\u0061"', b'""', b'":"', b'"\\":"', b'"a\\\\"'])


def _objects(values: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    member = st.tuples(_SPACE, _STRINGS, _SPACE, st.just(b":"), _SPACE, values, _SPACE)
    return st.lists(member.map(b"".join), max_size=3).map(lambda items: b"{%b}" % b",".join(items))


_DOCUMENTS = _objects(
    st.recursive(
        _STRINGS | st.just(b"1"),
        lambda inner: (
            _objects(inner)
            | st.lists(inner, max_size=3).map(lambda items: b"[%b]" % b",".join(items))
        ),
        max_leaves=6,
    )
)


@given(_DOCUMENTS)
def test_a_name_is_repeated_if_and_only_if_a_parser_sees_it_twice(plaintext: bytes) -> None:
    repeated = []

    def look(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        repeated.append(len({name for name, _ in pairs}) != len(pairs))
        return dict(pairs)

    document = json.loads(plaintext, object_pairs_hook=look)
    found = SessionCodec(KEY).try_loads(token_of(plaintext))
    if any(repeated):
        assert isinstance(found, e.RepeatedName)
    else:
        assert found == document


def test_a_repeated_name_is_found_whatever_the_value_that_it_hides() -> None:
    for hidden in (b'"x"', b'{"b": 1}', b"[[" * 40 + b"]]" * 40, b'":"', b'"\\":"', b'{"c":{}}'):
        for shown in (b"1", b'":"', b'"\\":"', b'{"b":2}'):
            for colon in (b":", b" :", b": ", b"\t:", b"\n:", b"\r:"):
                plaintext = b'{"a"%b%b,"a"%b%b}' % (colon, hidden, colon, shown)
                with pytest.raises(e.RepeatedName):
                    loads(token_of(plaintext), KEY)


@pytest.fixture
def closer_looks(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The texts in which a repeated name was searched for."""
    texts: list[str] = []
    look = codec_module._has_repeated_names

    def recording(text: str) -> bool:
        texts.append(text)
        return look(text)

    monkeypatch.setattr(codec_module, "_has_repeated_names", recording)
    return texts


@pytest.mark.parametrize(
    "session",
    [
        XIA,
        {},
        {"last_visited": "2026-11-23T06:20:17.123456+00:00"},
        {"picture": "https://example.com/xia.png", "site": {"url": "http://cowork.net:8000/"}},
        {"roles": {"manager": [{"slug": "a", "email": "a@b.c"}, {"slug": "b", "email": None}]}},
        {"name": 'Chamoix "Coworking"; café \\ {[:]}', "empty": ["", {}, [], ":"[:0]]},
    ],
)
def test_counting_names_is_enough_for_the_usual_session(
    session: dict[str, Any], closer_looks: list[str]
) -> None:
    assert loads(dumps(session, KEY), KEY) == session
    assert loads(token_of(json.dumps(session, indent=1).encode()), KEY) == session
    assert closer_looks == []


@pytest.mark.parametrize(
    "session", [{"a": ":"}, {"time": "12:30"}, {"a": 'say "a": b'}, {"a": "x", "b": [":", ":x"]}]
)
def test_a_string_that_looks_like_a_name_costs_a_closer_look(
    session: dict[str, Any], closer_looks: list[str]
) -> None:
    assert loads(dumps(session, KEY), KEY) == session
    assert len(closer_looks) == 1


def test_threads_do_not_count_each_others_names(closer_looks: list[str]) -> None:
    codec = SessionCodec(KEY)
    sessions = [{"a": [{"b": number, "c": {}}] * 300} for number in range(4)]
    tokens = list(map(codec.dumps, sessions)) * 10
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(4) as pool:
            assert list(pool.map(codec.loads, tokens)) == sessions * 10
    finally:
        sys.setswitchinterval(interval)
    assert closer_looks == []


def test_the_signature_of_a_jwt_vouches_for_its_names() -> None:
    token = jwt_of(b'{"username": "a", "exp": %d, "username": "b"}' % FUTURE)
    assert loads(token, KEY).username == "b"


class TestLastVisited:
    ALLOWED = string.ascii_letters + string.digits + "_.,:+-"
    REFUSED = "".join(sorted(set(map(chr, range(128))) - set(ALLOWED)))

    @pytest.mark.parametrize(
        "value", [None, "", "2026-11-23T06:20:15.501933+00:00", "app,tutorial", "a_b.c-d", ALLOWED]
    )
    def test_a_date_or_a_list_of_tags_passes(self, value: Any) -> None:
        token = token_of(json.dumps({"last_visited": value}).encode())
        assert loads(token, KEY)["last_visited"] == value

    @pytest.mark.parametrize("character", REFUSED, ids=lambda item: f"{ord(item):#x}")
    def test_any_other_character_is_refused(self, character: str) -> None:
        for value in (character, f"a{character}b", f"2026-11-23{character}"):
            with pytest.raises(e.InvalidLastVisited):
                loads(token_of(json.dumps({"last_visited": value}).encode()), KEY)

    @pytest.mark.parametrize("value", ["é", "٣", "\uff21", "\u017f", "\u212a"])
    def test_letters_and_digits_are_those_of_ascii(self, value: str) -> None:
        with pytest.raises(e.InvalidLastVisited):
            loads(token_of(json.dumps({"last_visited": value}).encode()), KEY)

    @pytest.mark.parametrize("value", [0, 1.5, True, False, [], ["app"], {}, {"a": "b"}])
    def test_another_type_is_refused(self, value: Any) -> None:
        with pytest.raises(e.InvalidLastVisited):
            loads(token_of(json.dumps({"last_visited": value}).encode()), KEY)

    def test_only_the_last_visited_of_the_session_itself_is_checked(self) -> None:
        session = {"site": {"last_visited": "a b"}, "last_visited": None}
        assert loads(token_of(json.dumps(session).encode()), KEY) == session

    def test_the_signature_of_a_jwt_vouches_for_it(self) -> None:
        token = jwt_of(b'{"last_visited": "a b", "exp": %d}' % FUTURE)
        assert loads(token, KEY)["last_visited"] == "a b"

    def test_dumps_does_not_write_what_would_be_refused(self) -> None:
        for value in ("a b", 'a"', 1, ["app"]):
            with pytest.raises(ValueError, match=r"^last_visited may contain .* and _\.,:\+-$"):
                dumps({"last_visited": value}, KEY)
        assert loads(dumps({"last_visited": "a b"}, KEY, "jwt"), KEY)["last_visited"] == "a b"

    def test_dumps_writes_a_datetime(self) -> None:
        moment = datetime(2026, 11, 23, 6, 20, 15, 501933, UTC)
        assert loads(dumps({"last_visited": moment}, KEY), KEY).last_visited == moment


class TestTokenExpiry:
    @pytest.fixture(autouse=True)
    def _clock(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(time, "time", lambda: 1_800_000_000.5)

    def test_the_cookie_format_does_not_need_an_exp(self) -> None:
        assert loads(token_of(b"{}"), KEY) == {}

    @pytest.mark.parametrize("payload", [b"{}", b'{"username": "xia"}', b'{"a": {"exp": 1e10}}'])
    def test_a_jwt_needs_an_exp(self, payload: bytes) -> None:
        with pytest.raises(e.InvalidExpiry, match=r"^the jwt does not have an exp; "):
            loads(jwt_of(payload), KEY)

    @IN_EACH_FORMAT
    @pytest.mark.parametrize("exp", ["1800000001", "1800000000.75", "1e300", "1" + "0" * 400])
    def test_an_exp_ahead_passes(self, write: Write, exp: str) -> None:
        assert loads(write(b'{"a": 1, "exp": %b}' % exp.encode()), KEY)["a"] == 1

    @IN_EACH_FORMAT
    @pytest.mark.parametrize(
        "exp", ["null", "true", "false", '"9999999999"', "[]", "[9999999999]", "{}", "1e999"]
    )
    def test_an_exp_that_is_not_a_finite_number_is_refused(self, write: Write, exp: str) -> None:
        with pytest.raises(e.InvalidExpiry, match="not a number"):
            loads(write(b'{"exp": %b}' % exp.encode()), KEY)

    @IN_EACH_FORMAT
    @pytest.mark.parametrize("exp", ["NaN", "Infinity", "-Infinity", "nan", "+1", "0x1", "1_0"])
    def test_a_number_that_is_not_json_is_refused(self, write: Write, exp: str) -> None:
        with pytest.raises(NOT_JSON):
            loads(write(b'{"exp": %b}' % exp.encode()), KEY)

    @IN_EACH_FORMAT
    def test_minus_infinity_by_overflow_is_refused(self, write: Write) -> None:
        with pytest.raises(e.InvalidExpiry):
            loads(write(b'{"exp": -1e999}'), KEY)

    @IN_EACH_FORMAT
    @pytest.mark.parametrize(
        "exp", ["1800000000.5", "1800000000", "0", "-1", "-1.5", "-1e308", "-1" + "0" * 400]
    )
    def test_an_exp_that_has_passed_is_refused(self, write: Write, exp: str) -> None:
        with pytest.raises(e.ExpiredToken):
            loads(write(b'{"exp": %b}' % exp.encode()), KEY)

    @IN_EACH_FORMAT
    @pytest.mark.parametrize(
        ("past", "expected"),
        [
            (0, "0 s"),
            (59, "59 s"),
            (119, "119 s"),
            (120, "2 minutes"),
            (600, "10 minutes"),
            (7199, "119 minutes"),
            (7200, "2 hours"),
            (172_799, "47 hours"),
            (172_800, "2 days"),
            (10**6, "11 days"),
            (10**30, "9999 days"),
        ],
    )
    def test_the_message_says_since_when_the_token_is_expired(
        self, write: Write, past: int, expected: str
    ) -> None:
        with pytest.raises(e.ExpiredToken, match=f"the session expired {expected} ago"):
            loads(write(b'{"exp": %d}' % (1_800_000_000 - past)), KEY)


@IN_EACH_FORMAT
@pytest.mark.parametrize("kind", ["lists", "objects", "mixed"])
class TestTokenDepth:
    def test_64_levels_pass(self, write: Write, kind: str) -> None:
        for levels in (2, 3, 63, 64):
            assert loads(write(nested(levels, kind)), KEY).username == "xia"

    @pytest.mark.parametrize("levels", [65, 66, 100, 500, 5_000, 20_000])
    def test_more_than_64_levels_are_refused(self, write: Write, kind: str, levels: int) -> None:
        codec = SessionCodec(KEY, max_token_size=10**6)
        with pytest.raises(e.NestedTooDeeply):
            codec.loads(write(nested(levels, kind)))

    def test_levels_are_counted_in_every_branch(self, write: Write, kind: str) -> None:
        for levels in (64, 65):
            inner = nested(levels, kind)[1:]
            wide = b'{"wide":[[],{},[[1],{"a":[]}],1,"[["],' + inner
            wide_behind = inner[:-1].join([b"{", b',"wide":[[],{},[[1],{"a":[]}],1]}'])
            for plaintext in (wide, wide_behind):
                if levels == 64:
                    assert loads(write(plaintext), KEY).username == "xia"
                else:
                    with pytest.raises(e.NestedTooDeeply):
                        loads(write(plaintext), KEY)


@IN_EACH_FORMAT
@pytest.mark.parametrize(
    "text",
    [
        b"[",
        b"]",
        b"{",
        b"}",
        b"][",
        b"[]",
        b"]]",
        b'\\"]\\"',
        b'\\"[\\"',
        b'\\"',
        b"\\\\",
        b'\\\\\\"]',
        b",]",
    ],
)
def test_brackets_and_quotes_in_strings_neither_hide_nor_add_a_level(
    write: Write, text: bytes
) -> None:
    for levels in (20, 63, 64, 65, 90):
        inner = b"1"
        for level in range(levels - 1):
            around = b'["%b",%b,"%b"]' if level % 2 else b'{"%b":%b,"%b ":1}'
            inner = around % (text, inner, text)
        plaintext = b'{"exp":%d,"deep":%b}' % (FUTURE, inner)
        found = SessionCodec(KEY).try_loads(write(plaintext))
        assert isinstance(found, Session if levels <= 64 else e.NestedTooDeeply), levels


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"[" * 64 + b"]" * 64, False),
        (b"[" * 65 + b"]" * 65, True),
        (b'{"a":' * 65 + b"1" + b"}" * 65, True),
        (b"[" + b",".join([b'{"a":["b",1]}'] * 65) + b"]", False),
        (b"[" + b",".join([b'["\\n"]'] * 65) + b"]", False),
        (b"[" * 63 + b'"\\"["' + b"]" * 63, False),
    ],
    ids=["64", "65", "65 objects", "wide", "escapes", "64 with one in a string"],
)
def test_the_depth_is_seen_in_the_text_wherever_it_can_be(text: bytes, expected: bool) -> None:
    class Document:
        def __iter__(self) -> Any:
            pytest.fail("its values were visited, which takes longer")

    document: Any = Document()
    outline = codec_module._outline(text)
    assert codec_module._is_nested_too_deeply(text, document, outline) is expected


def with_frames_left(left: int, function: Callable[[], object]) -> object:
    """Call a function where about so many more frames fit on the stack."""

    def room(levels: int = 0) -> int:
        try:
            return room(levels + 1)
        except RecursionError:
            return levels

    def descend(levels: int) -> object:
        return descend(levels - 1) if levels else function()

    return descend(room() - left)


@IN_EACH_FORMAT
@pytest.mark.parametrize("levels", [1, 60, 985])
def test_a_stack_that_is_almost_full_is_no_error_of_its_own(write: Write, levels: int) -> None:
    repeated = b'{"a":%b,"a":1}' % nested(levels, "lists")
    tokens = [write(nested(levels, "objects")), write(repeated)]
    codec = SessionCodec(KEY)
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(limit + 2_000)
    try:
        for left in [*range(4, 100), *range(levels + 8, levels + 40)]:
            for token in tokens:
                found = with_frames_left(left, partial(codec.try_loads, token))
                assert isinstance(found, (Session, SessionError)), left
    finally:
        sys.setrecursionlimit(limit)


@IN_EACH_FORMAT
def test_many_shallow_branches_are_not_deep(write: Write) -> None:
    plaintext = b'{"exp":%d,"a":[%b],"b":"%b"}' % (FUTURE, b",".join([b"[[{}]]"] * 500), b"[" * 500)
    assert len(loads(write(plaintext), KEY)["a"]) == 500


@pytest.mark.parametrize("format", FORMATS)
def test_a_token_over_the_size_limit_is_refused_before_it_is_read(format: Any) -> None:
    codec = SessionCodec(KEY)
    small, large = (
        codec.dumps({"a": "x" * 40_000}, format),
        codec.dumps({"a": "x" * 50_000}, format),
    )
    assert len(small) < 65_536 < len(large)
    codec.loads(small)
    with pytest.raises(e.TokenTooLarge):
        codec.loads(large)
    assert SessionCodec(KEY, max_token_size=400_000).loads(large)["a"] == "x" * 50_000


def test_a_token_of_exactly_the_size_limit_loads() -> None:
    token = dumps(XIA, KEY)
    assert SessionCodec(KEY, max_token_size=len(token)).loads(token) == XIA
    with pytest.raises(e.TokenTooLarge):
        SessionCodec(KEY, max_token_size=len(token) - 1).loads(token)


def test_a_large_jwt_loads_when_the_setting_allows_it() -> None:
    codec = SessionCodec(KEY, max_token_size=10**6)
    assert codec.loads(codec.dumps({"a": "x" * 200_000}, "jwt"))["a"] == "x" * 200_000


@pytest.mark.parametrize(("accepted", "refused"), [FORMATS, FORMATS[::-1]])
def test_a_codec_refuses_the_formats_it_is_not_given(accepted: Any, refused: Any) -> None:
    codec = SessionCodec(KEY, formats=[accepted])
    assert codec.loads(dumps(XIA, KEY, accepted)).username == "xia"
    with pytest.raises(e.RefusedFormat):
        codec.loads(dumps(XIA, KEY, refused))


@pytest.mark.parametrize("format", FORMATS)
class TestRotation:
    def test_all_keys_of_a_rotation_decode(self, format: Any) -> None:
        codec = SessionCodec([OTHER_KEY, KEY])
        assert codec.loads(dumps(XIA, KEY, format)).username == "xia"
        assert codec.loads(dumps(XIA, OTHER_KEY, format)).username == "xia"

    def test_the_first_key_of_a_rotation_encodes(self, format: Any) -> None:
        token = SessionCodec([OTHER_KEY, KEY]).dumps(XIA, format)
        assert loads(token, OTHER_KEY).username == "xia"
        with pytest.raises(SessionError):
            loads(token, KEY)

    def test_a_key_that_is_not_listed_is_refused(self, format: Any) -> None:
        with pytest.raises(SessionError):
            SessionCodec([OTHER_KEY, KEY]).loads(dumps(XIA, "q0v^8m%r3z-n1p+e", format))


@pytest.mark.parametrize(
    ("error", "token"),
    [
        item
        for item in REFUSED.values()
        if item[0].step in ("text", "JSON", "unique names", "object", "depth", "expiry") and item[1]
    ],
    ids=[
        name
        for name, item in REFUSED.items()
        if item[0].step in ("text", "JSON", "unique names", "object", "depth", "expiry") and item[1]
    ],
)
def test_the_error_is_that_of_the_key_that_got_furthest(error: Any, token: str) -> None:
    for keys in ([KEY, OTHER_KEY], [OTHER_KEY, KEY]):
        found = SessionCodec(keys).try_loads(token)
        # Under the other key one token in 256 has a padding by chance, and garbled text then.
        assert type(found) is error


@pytest.mark.parametrize("key", [None, "", [], [""], [KEY, ""]])
def test_a_codec_without_a_key_is_an_error(key: Any) -> None:
    with pytest.raises(ConfigurationError, match="DJAODJIN_SECRET_KEY"):
        SessionCodec(key)


def test_a_codec_does_not_show_its_keys() -> None:
    assert KEY not in repr(SessionCodec(KEY))


@pytest.mark.parametrize("format", FORMATS)
def test_dates_and_decimals_are_written_as_the_proxy_writes_them(format: Any) -> None:
    session = {
        "at": datetime(2030, 1, 1, 9, tzinfo=UTC),
        "offset": datetime(2030, 1, 1, 9, 0, 0, 5, timezone(timedelta(hours=2))),
        "day": date(2030, 1, 1),
        "price": Decimal("9.50"),
        "exp": FUTURE,
    }
    assert loads(dumps(session, KEY, format), KEY) == {
        "at": "2030-01-01T09:00:00+00:00",
        "offset": "2030-01-01T09:00:00.000005+02:00",
        "day": "2030-01-01",
        "price": 9.5,
        "exp": FUTURE,
    }


def test_dumping_what_json_cannot_hold_is_an_error() -> None:
    with pytest.raises(TypeError, match="object"):
        dumps({"a": object()}, KEY)
    for value in (float("nan"), float("inf"), Decimal("NaN")):
        with pytest.raises(ValueError, match="JSON"):
            dumps({"a": value}, KEY)
    itself: dict[str, Any] = {}
    itself["itself"] = itself
    with pytest.raises(ValueError, match="Circular"):
        dumps(itself, KEY)


def test_a_codec_writes_the_cookie_format_unless_asked_for_another() -> None:
    assert token_format(SessionCodec(KEY).dumps(XIA)) == "openssl"


def test_dumping_in_an_unknown_format_is_an_error() -> None:
    unknown: Any = "jwe"
    with pytest.raises(ValueError, match="unknown format"):
        dumps({}, KEY, unknown)


def test_the_json_in_a_token_is_compact() -> None:
    # The size of a cookie is limited.
    payload = dumps({"a": [1, {}], "exp": 1}, KEY, "jwt").split(".")[1]
    assert payload == base64url(b'{"exp":1,"a":[1,{}]}')


def test_a_jwt_keeps_the_exp_of_the_session() -> None:
    exp = int(time.time()) + 30
    assert loads(dumps({"exp": exp}, KEY, "jwt"), KEY) == {"exp": exp}


def test_max_age_of_dumps_is_in_seconds() -> None:
    codec = SessionCodec(KEY)
    assert abs(codec.loads(codec.dumps({}, "jwt", max_age=60))["exp"] - time.time() - 60) < 5
    with pytest.raises(e.ExpiredToken):
        codec.loads(codec.dumps({}, "jwt", max_age=-1))


def test_dumps_leaves_the_session_as_it_was() -> None:
    session: dict[str, Any] = {}
    dumps(session, KEY, "jwt")
    assert session == {}


def test_a_jwt_of_another_key_does_not_reach_the_claims_of_this_one() -> None:
    token = forge({"alg": "HS256"}, b'{"exp": 1}', key=OTHER_KEY)
    with pytest.raises(e.InvalidSignature):
        loads(token, KEY)
