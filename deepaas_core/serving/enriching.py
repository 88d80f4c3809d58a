"""Rows that are enriched before they are checked and put to an endpoint's part."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

import orjson

from deepaas_core import errors
from deepaas_core.domain.enrichment import Enriched, Ignored
from deepaas_core.domain.features import Checked, pointer
from deepaas_core.domain.model import Capability, Model
from deepaas_core.domain.service import Endpoint
from deepaas_core.serving.enricher import Enricher
from deepaas_core.serving.predictor import Predictor
from deepaas_core.serving.scoring import Portion, Scorer, Witness
from deepaas_core.serving.services import Live


def scorer_of(
    predictor: Predictor,
    enricher: Enricher,
    live: Live,
    endpoint: Endpoint,
    model: Model,
    values: Mapping[str, Any],
    timeout_s: float | None = None,
    witness: Witness | None = None,
) -> Scorer:
    """What puts rows to an endpoint, with what its datasets know of them; see ``Scorer``."""
    if not endpoint.enrichments:
        return Scorer(predictor, model, endpoint, values, timeout_s, witness)
    return EnrichingScorer(predictor, model, endpoint, values, timeout_s, witness, enricher=enricher, live=live)


class EnrichingScorer(Scorer):
    """A scorer that enriches rows first; see ``Scorer``.

    Args:
        predictor, model, endpoint, values, timeout_s, witness: As those of a scorer.
        enricher: Fetches.
        live: The generation whose datasets are meant.
    """

    def __init__(
        self,
        predictor: Predictor,
        model: Model,
        endpoint: Endpoint,
        values: Mapping[str, Any],
        timeout_s: float | None,
        witness: Witness | None,
        *,
        enricher: Enricher,
        live: Live,
    ):
        super().__init__(predictor, model, endpoint, values, timeout_s, witness)
        self._enricher, self._generation = enricher, live.kept.generation
        self._enrichments = endpoint.enrichments
        self._last: tuple[Sequence[Any], Checked] | None = None
        arguments = model.arguments_of(Capability.PREDICT)
        self._sources = {pointer(name): each.dataset for each in self._enrichments for name in each.columns}
        self._fetched = endpoint.fetched
        takes_rows = not endpoint.inputs and (arguments.any_other or arguments.keys().isdisjoint(self._fetched))
        #: Keys that the model does not know: what was fetched takes their place.
        self._replaced = frozenset() if takes_rows else endpoint.keys - {*self.checker.names, *arguments}

    @property
    def names(self) -> list[str]:
        names = super().names
        return [*names, *sorted(self._replaced)] if names else []

    def missing(self, names: Collection[str]) -> list[errors.Issue]:
        return super().missing([*names, *self._fetched])

    async def issues(self, rows: Sequence[Any]) -> Mapping[int, list[errors.Issue]]:
        found = await super().issues(rows)
        return {
            place: issues
            for place, issues in found.items()
            if not isinstance(issues, _LeftOut) or isinstance(issues.verdict, errors.InvalidInput)
        }

    async def _check(self, rows: Sequence[Any]) -> Checked:
        if self._last is None or self._last[0] is not rows:  # rows are looked at before they are answered
            self._last = rows, await self._enrich(rows)
        return self._last[1]

    async def _enrich(self, rows: Sequence[Any]) -> Checked:
        enriched = await self._fetch([row if isinstance(row, Mapping) else {} for row in rows])
        sound: dict[int, Any] = {}
        for place, (row, record) in enumerate(zip(rows, enriched.records, strict=True)):
            if not isinstance(row, Mapping):
                sound[place] = row  # the checker has something to say of that
            elif record is not None:
                sound[place] = {name: value for name, value in record.items() if name not in self._replaced}
        found = await super()._check(list(sound.values()))
        checked = Checked([None] * len(rows), _left_out(enriched))
        for at, place in enumerate(sound):
            checked.records[place] = found.records[at]
            checked.issues.pop(place, None)
            if at in found.issues:
                checked.issues[place] = self._with_source(found.issues[at])
        return self._with_more(checked, enriched, lambda name, at: rows[at].get(name))

    async def _check_cells(self, table: Mapping[str, Sequence[str]], count: int, comma: bool) -> Checked:
        names = [name for enrichment in self._enrichments for name in enrichment.keys if name in table]
        enriched = await self._fetch([{name: table[name][at] for name in names} for at in range(count)])
        cells = {name: column for name, column in table.items() if name not in self._replaced}
        for name in self._fetched:
            cells[name] = ["" if record is None else _cell(record[name]) for record in enriched.records]
        checked = await super()._check_cells(cells, count, comma)
        for place, issues in checked.issues.items():
            checked.issues[place] = self._with_source(issues)
        for place, issues in _left_out(enriched).items():
            checked.records[place], checked.issues[place] = None, issues
        return self._with_more(checked, enriched, lambda name, at: table[name][at] if name in table else None)

    def _with_source(self, issues: Sequence[errors.Issue]) -> list[errors.Issue]:
        """What is wrong with a row, and of what no caller has sent, where it comes from."""
        return [
            replace(issue, detail=f"{issue.detail} It is fetched from dataset {self._sources[issue.pointer]!r}.")
            if issue.pointer in self._sources
            else issue
            for issue in issues
        ]

    def _with_more(self, checked: Checked, enriched: Enriched, sent: Callable[[str, int], Any]) -> Checked:
        """With what answers and the prediction log show of rows besides what the model gets."""
        for place, record in enumerate(checked.records):
            if record is not None and (self._replaced or enriched.shown[place]):
                checked.records[place] = more = _Record(record)
                more.shown = enriched.shown[place]
                more.found_by = {name: key for name in self._replaced if (key := sent(name, place)) is not None}
        return checked

    def _noted(self, checked: Checked) -> Sequence[Mapping[str, Any] | None]:
        return [{**one.found_by, **one} if isinstance(one, _Record) else one for one in checked.records]

    async def _answer(self, checked: Checked) -> Portion:
        portion = await super()._answer(checked)
        left_out = {place: found.verdict for place, found in checked.issues.items() if isinstance(found, _LeftOut)}
        shown = {
            place: record.shown
            for place, record in enumerate(checked.records)
            if isinstance(record, _Record) and record.shown
        }
        if not left_out and not shown:
            return portion
        answers, refused = orjson.loads(portion.body), dict(portion.refused)
        for place, fetched in shown.items():
            if place not in refused:
                answer = answers[place]
                answers[place] = {**(answer if isinstance(answer, dict) else {"result": answer}), "enriched": fetched}
        for place, verdict in left_out.items():
            if isinstance(verdict, Ignored):
                del refused[place]
                answers[place] = verdict.to_plain()
            else:
                refused[place] = verdict
        return replace(portion, body=orjson.dumps(answers), refused=refused)

    async def _fetch(self, records: Sequence[Mapping[str, Any]]) -> Enriched:
        return await self._enricher.enrich(self._generation, self._enrichments, records)


class _LeftOut(list[errors.Issue]):
    """What is wrong with a row that cannot be enriched, and what that means."""

    def __init__(self, verdict: Ignored | errors.DeepaasError):
        issues = verdict.issues if isinstance(verdict, errors.InvalidInput) else ()
        super().__init__(issues or [errors.Issue("", "The row cannot be enriched.")])
        self.verdict = verdict


class _Record(dict[str, Any]):
    """A record that was enriched.

    Attributes:
        shown: What of it the answer shows.
        found_by: By what it was enriched, where that is no input.
    """

    shown: Mapping[str, Any]
    found_by: Mapping[str, Any]


def _left_out(enriched: Enriched) -> dict[int, list[errors.Issue]]:
    verdicts: dict[int, Ignored | errors.DeepaasError] = {**enriched.refused, **enriched.ignored}
    return {place: _LeftOut(verdict) for place, verdict in verdicts.items()}


def _cell(value: Any) -> str:
    """A value as a cell of a CSV file has it."""
    if value is None:
        return ""
    return value if isinstance(value, str) else orjson.dumps(value).decode()
