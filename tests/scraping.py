"""Scrapes `/_sidekey/metrics` as Prometheus does, and reads what comes with its official parser."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import aiohttp
from prometheus_client import Metric
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families

TEXT = "text/plain;version=0.0.4"
OPENMETRICS = "application/openmetrics-text;version=1.0.0"


@dataclass(frozen=True)
class Scrape:
    """The samples of one scrape, by name and labels."""

    families: dict[str, Metric]
    samples: dict[tuple[str, frozenset[tuple[str, str]]], float]

    @classmethod
    def of(cls, families: Iterable[Metric]) -> Scrape:
        by_name = {family.name: family for family in families}
        samples = [sample for family in by_name.values() for sample in family.samples]
        known = {(one.name, frozenset(one.labels.items())): one.value for one in samples}
        assert len(known) == len(samples), "two samples are called the same"
        return cls(by_name, known)

    def value(self, name: str, **labels: str) -> float:
        """The value of the one sample that has exactly these labels."""
        return self.samples[name, frozenset(labels.items())]

    def total(self, name: str, **labels: str) -> float:
        """The sum over all samples that have these labels, whatever others they have."""
        return sum(
            value
            for (found, having), value in self.samples.items()
            if found == name and having >= labels.items()
        )

    @property
    def names(self) -> set[str]:
        return {name for name, _ in self.samples}


def parsed(text: str, content_type: str) -> Scrape:
    """Read an exposition in the format that its media type names."""
    if content_type.startswith("application/openmetrics-text"):
        return Scrape.of(openmetrics.text_string_to_metric_families(text))
    assert content_type.startswith("text/plain; version="), content_type
    return Scrape.of(text_string_to_metric_families(text))


async def scrape(address: str, accept: str = TEXT) -> Scrape:
    """Scrape a proxy over a connection of its own, which any worker may take."""
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{address}/_sidekey/metrics", headers={"Accept": accept}) as answer,
    ):
        text = await answer.text()
        assert answer.status == 200, text
        return parsed(text, answer.headers["Content-Type"])
