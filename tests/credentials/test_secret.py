"""A secret is shown by `reveal()` and by nothing else."""

from __future__ import annotations

import copy
import json
import logging
import pickle
from dataclasses import dataclass

import pytest
from pydantic import BaseModel, TypeAdapter, ValidationError

from proxy.credentials.secret import MASK, Secret

SECRET = Secret("canary")


@dataclass
class Holder:
    secret: Secret


class Model(BaseModel):
    secret: Secret


def test_reveal_returns_the_text() -> None:
    assert SECRET.reveal() == "canary"


@pytest.mark.parametrize(
    "shown",
    [
        str(SECRET),
        repr(SECRET),
        f"{SECRET}",
        f"{SECRET!r:>40}",
        f"{SECRET:>40}",
        "%s %r" % (SECRET, SECRET),  # noqa: UP031  the old way of logging
        str([SECRET]),
        repr(Holder(SECRET)),
        repr(Model(secret=SECRET)),
        str(Model(secret=SECRET).model_dump()),
        Model(secret=SECRET).model_dump_json(),
        str(TypeAdapter(Secret).dump_python(SECRET)),
    ],
)
def test_nothing_prints_it(shown: str) -> None:
    assert "canary" not in shown
    assert MASK in shown


def test_a_log_line_does_not_show_it(caplog: pytest.LogCaptureFixture) -> None:
    logging.getLogger("test").warning("%s %r", SECRET, {"secret": SECRET})
    assert "canary" not in caplog.text


def test_it_is_not_pickled_nor_written_as_json() -> None:
    with pytest.raises(TypeError, match="never pickled") as caught:
        pickle.dumps(SECRET)
    assert "canary" not in str(caught.value)
    with pytest.raises(TypeError):
        copy.copy(SECRET)
    with pytest.raises(TypeError):
        json.dumps(SECRET)


def test_it_has_no_attributes_to_look_into() -> None:
    assert not hasattr(SECRET, "__dict__")
    with pytest.raises(TypeError):
        vars(SECRET)


def test_equal_texts_make_equal_secrets_and_a_text_is_no_secret() -> None:
    assert Secret("canary") == SECRET
    assert Secret("canarx") != SECRET
    assert Secret("é") != Secret("e")
    assert SECRET != "canary"
    assert {SECRET: 1}[Secret("canary")] == 1
    assert hash(SECRET) != hash("canary")


def test_an_empty_secret_is_false() -> None:
    assert not Secret("")
    assert SECRET


def test_a_model_takes_a_text_or_a_secret() -> None:
    assert Model.model_validate({"secret": "canary"}).secret == SECRET
    assert Model.model_validate_json('{"secret": "canary"}').secret == SECRET
    assert Model(secret=SECRET).secret is SECRET


@pytest.mark.parametrize("value", ["", None, 1, ["canary"], {"a": "canary"}])
def test_a_model_takes_nothing_else(value: object) -> None:
    with pytest.raises(ValidationError):
        Model.model_validate({"secret": value})


def test_the_json_schema_is_that_of_a_text_which_is_not_to_be_shown() -> None:
    schema = TypeAdapter(Secret).json_schema()
    assert schema == {"type": "string", "minLength": 1, "writeOnly": True}
