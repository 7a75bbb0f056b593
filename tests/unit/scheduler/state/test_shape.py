"""Held jobs of one shape differ in nothing that one look must see."""

from __future__ import annotations

import json
from typing import Any

import pytest

from holdgate.scheduler.state.approvals.shape import BYTES_MAX, DEPTH_MAX, NODES_MAX, job_shape, shape_of
from support.state import make_job

PAYLOAD: dict[str, Any] = {"image": "v1", "hosts": ["a", "b"], "opts": {"dry": True, "n": 1, "x": None}}


def shape(payload: Any = PAYLOAD, **changes: Any) -> str:
    """Of a job with this payload, held by one rule."""
    job = make_job(1, payload=json.dumps(payload).encode(), labels=changes.pop("labels", {"env": "prod"}), **changes)
    return shape_of(job_shape(job), ["rule"])


@pytest.mark.parametrize(
    "payload",
    [
        {"image": "v2", "hosts": ["a", "b"], "opts": {"dry": True, "n": 1, "x": None}},
        {"image": "v1", "hosts": ["c"], "opts": {"dry": False, "n": 2.5, "x": None}},
        {"opts": {"x": None, "n": 1, "dry": True}, "hosts": ["a"], "image": ""},
    ],
)
def test_other_values_of_the_same_types_are_alike(payload: Any) -> None:
    assert shape(payload) == shape()


@pytest.mark.parametrize(
    "payload",
    [
        {**PAYLOAD, "more": 1},
        {"image": "v1", "hosts": ["a"]},
        {**PAYLOAD, "image": 1},
        {**PAYLOAD, "image": None},
        {**PAYLOAD, "hosts": "a"},
        {**PAYLOAD, "hosts": []},
        {**PAYLOAD, "hosts": ["a", 1]},
        {**PAYLOAD, "opts": {**PAYLOAD["opts"], "dry": 1}},
        {**PAYLOAD, "Image": "v1"},
        [PAYLOAD],
        None,
    ],
)
def test_other_keys_or_types_are_not(payload: Any) -> None:
    assert shape(payload) != shape()


@pytest.mark.parametrize(
    "changes",
    [
        {"topic": "job.demo.write"},
        {"capability": "infra.write"},
        {"risk_tags": ("money",)},
        {"requires": ("gpu",)},
        {"secrets": ("db",)},
        {"labels": {"env": "prod", "team": "a"}},
        {"labels": {}},
        {"prompt": "do it"},
    ],
)
def test_what_rules_look_at_sets_jobs_apart(changes: dict[str, Any]) -> None:
    assert shape(**changes) != shape()


def test_labels_count_by_key_and_lists_of_tags_by_what_is_in_them() -> None:
    assert shape(labels={"env": "test"}) == shape()
    assert shape(risk_tags=("a", "b")) == shape(risk_tags=("b", "a"))


def test_other_rules_are_another_shape_in_any_order() -> None:
    of_job = job_shape(make_job(1))
    assert shape_of(of_job, ["a", "b"]) == shape_of(of_job, ["b", "a"]) != shape_of(of_job, ["a"])
    assert shape_of("", ["a"]) == ""


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"text": "x" * BYTES_MAX}, {"text": "y" * BYTES_MAX}),
        ([0] * (NODES_MAX + 1), [1] * (NODES_MAX + 1)),
        (json.loads("[" * (DEPTH_MAX + 2) + "1" + "]" * (DEPTH_MAX + 2)),
         json.loads("[" * (DEPTH_MAX + 2) + "2" + "]" * (DEPTH_MAX + 2))),
    ],
    ids=["large", "long", "deep"],
)  # fmt: skip
def test_what_is_too_large_or_too_deep_is_alike_only_to_itself(one: Any, other: Any) -> None:
    assert shape(one) == shape(one) != shape(other)


def test_a_payload_that_is_not_here_is_alike_only_to_itself() -> None:
    one, other = (make_job(1, payload=data).with_payload(None) for data in (b"1", b"2"))
    assert job_shape(one) == job_shape(one) != job_shape(other)
