"""How a key differs from the one at the site, without a character of either."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from djsession.doctor import Keys, differences

SITE = "aB3$eF6%iJ9!mN2#"


@pytest.mark.parametrize(
    ("key", "said"),
    [
        (SITE.replace("e", "x"), "differs at character 5 of 16"),
        (SITE.replace("2#", "z"), "differs at character 15 of 16, and has 15 characters"),
        (SITE.lower(), "differs only in upper and lower case, first at character 2 of 16"),
        (SITE[:-1], "lacks 1 character, from character 16 of 16 on"),
        (SITE[:3], "lacks 13 characters, from character 4 of 16 on"),
        (SITE.replace("$eF6", ""), "lacks 4 characters, from character 4 of 16 on"),
        (SITE + "x", "has 1 character too many, from character 17 on"),
        (f"xy{SITE}", "has 2 characters too many, from character 1 on"),
        (f" {SITE}", "has white space or a line end around it, and is otherwise the same"),
        (f'"{SITE}"', "has quotes around it, and is otherwise the same"),
        (f"'{SITE[:-1]}'", "lacks 1 character, from character 16 of 16 on; it also has quotes"),
        (SITE.replace("$", "$$"), "has every $ doubled, which is only needed in a Compose file"),
        (SITE.replace("%", "%%"), "has every % doubled, which is only needed in an ini file"),
        (SITE.replace("!", "\\!"), "has a backslash before a character"),
        ("", "lacks 16 characters, from character 1 of 16 on"),
    ],
)
def test_the_first_difference_between_two_keys_is_named(key: str, said: str) -> None:
    [sentence] = differences(Keys((key,)), SITE)
    assert sentence.startswith(f"The secret key {said}")
    assert sentence.endswith(".")


def test_comparing_keys_recognizes_one_that_was_split_at_its_comma() -> None:
    [sentence] = differences(Keys(("ab", "cd")), "ab,cd")
    assert sentence == (
        "The proxy's key contains 1 comma: the environment variable was read as 2 keys, since"
        " commas separate keys in it."
    )


def test_every_key_is_compared_unless_one_equals_the_site_key() -> None:
    assert differences(Keys((SITE,)), SITE) == []
    assert differences(Keys(("x", SITE)), SITE) == []
    first, second = differences(Keys((SITE[1:], SITE.lower())), SITE)
    assert first == "Secret key 1 of 2 lacks 1 character, from character 1 of 16 on."
    assert second.startswith("Secret key 2 of 2 differs only in upper and lower case")


# Capitals and signs that no sentence contains.
@given(st.text("XYZ@^*+=", max_size=20), st.text("XYZ@^*+=", min_size=1, max_size=20))
def test_comparing_keys_shows_no_character_of_either(key: str, site_key: str) -> None:
    said = " ".join(differences(Keys((key,)), site_key))
    assert (said == "") == (key == site_key)
    assert not set(said) & set("XYZ@^*+=")
