"""What the experiments left in a results folder, checked; damage is named, never fatal.

May import: records, report.names, report.steps.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from signdyn.records import RecordsError, read_json
from signdyn.report.names import is_name
from signdyn.report.steps import FILE as STEPS_FILE
from signdyn.report.steps import what_is_wrong

VERDICTS = ("supported", "refuted", "inconclusive")
"""All that a claim may have."""

_TEXTS = ("title", "question", "answer", "command")
_NUMBERS = ("effect", "low", "high", "confidence", "p", "p_holm")
_DEFAULTS: Mapping[str, Any] = {
    "questions": [],
    "rule": "",
    "statistic": "",
    "confidence": None,
    "left_out": 0,
    "left_out_why": "",
    "p": None,
    "p_holm": None,
    "control": False,
    "figure": None,
    "bounds": [None, None],
    "values": [],
    "kind": "mean",
    "false_verdict": None,
}


class FigureFile(NamedTuple):
    """One figure.

    Attributes:
        name: File name without suffix.
        caption: What it shows.
        svg: The file's bytes; None if it is missing.
    """

    name: str
    caption: str
    svg: bytes | None


class Experiment(NamedTuple):
    """One experiment's folder.

    Attributes:
        name: Name of the folder.
        title: Its title, or its name.
        question: What it asks.
        answer: What it found, in a sentence or two.
        command: What to type to repeat it.
        findings: Its claims, with every field of the schema.
        figures: Its figures, in the order of the claims file.
        tables: File names of its tables.
        facts: Contents of run.json; empty without one.
        steps: Contents of steps.json; None without one.
    """

    name: str
    title: str
    question: str
    answer: str
    command: str
    findings: tuple[Mapping[str, Any], ...]
    figures: tuple[FigureFile, ...]
    tables: tuple[str, ...]
    facts: Mapping[str, Any]
    steps: Mapping[str, Any] | None = None


class Results(NamedTuple):
    """All experiments that could be read, and one sentence for everything that could not."""

    experiments: tuple[Experiment, ...]
    problems: tuple[str, ...]


def read_results(folder: Path, order: Sequence[str] = (), *, with_figures: bool = True) -> Results:
    """Read every experiment below ``folder``.

    Args:
        folder: Holds one folder an experiment.
        order: Experiments to put first; the others follow by name.
        with_figures: Whether to read figures, too.

    Returns:
        What could be read, and a sentence for each thing that is missing or damaged. A folder
        counts as an experiment's if it holds claims.json or run.json.
    """
    names = sorted({path.parent.name for name in _MARKS for path in folder.glob(f"*/{name}")})
    first = [name for name in order if name in names]
    experiments: list[Experiment] = []
    problems: list[str] = []
    for name in [*first, *(name for name in names if name not in first)]:
        try:
            experiments.append(_read_experiment(folder / name, with_figures, problems))
        except RecordsError as error:
            problems.append(str(error).replace(str(folder / name), name))
    return Results(tuple(experiments), tuple(problems))


_MARKS = ("claims.json", "run.json")


def _read_experiment(folder: Path, with_figures: bool, problems: list[str]) -> Experiment:
    name = folder.name
    path = folder / "claims.json"
    if not path.exists():
        raise RecordsError(_unfinished(folder))
    claims = read_json(path)
    wrong = [key for key in _TEXTS if not isinstance(claims.get(key, ""), str)]
    wrong += [key for key in ("findings", "figures") if not isinstance(claims.get(key, []), list)]
    if wrong or not is_name(name) or "findings" not in claims:
        raise RecordsError(f"{path} is not a claims file: {', '.join(wrong) or 'no findings'}.")
    texts = {key: claims.get(key, "") for key in _TEXTS}
    rates = _read_rates(folder / "calibration.json", problems)
    figures = claims.get("figures", []) if with_figures else []
    return Experiment(
        name=name,
        **{**texts, "title": texts["title"] or name},
        findings=tuple(
            {**finding, "false_verdict": rates.get(finding["id"])}
            for finding in _read_findings(claims["findings"], name, problems)
        ),
        figures=tuple(_read_figures(figures, folder, problems)),
        tables=tuple(sorted(file.name for file in folder.glob("tables/[!.]*"))),
        facts=_read_facts(folder / "run.json", problems),
        steps=_read_steps(folder / STEPS_FILE, problems),
    )


def _unfinished(folder: Path) -> str:
    """Return how far a run is that has no claims yet: widened ladders make it more, or less."""
    there = sum(1 for _ in folder.glob("cells/[!.]*.nc"))
    try:
        planned = read_json(folder / "run.json").get("planned_cells")
    except RecordsError:
        planned = None
    cells = f"{there} of about {planned} cells" if _is(planned, int) else f"{there} cells"
    return f"{folder} is unfinished: {cells} are there, and no claims.json yet."


def _read_findings(entries: list, name: str, problems: list[str]) -> Iterable[Mapping[str, Any]]:
    seen: set[str] = set()
    for place, entry in enumerate(entries):
        wrong = _wrong_fields(entry)
        if not wrong and entry["id"] in seen:
            wrong = ["id (a second time)"]
        if wrong:
            called = entry.get("id", place) if isinstance(entry, dict) else place
            problems.append(
                f"{name}/claims.json: finding {called!r} is left out, "
                f"its {', '.join(wrong)} cannot be used."
            )
            continue
        seen.add(entry["id"])
        yield {"experiment": name, **_DEFAULTS, **entry}


def _wrong_fields(entry: Any) -> list[str]:
    """Names of the fields that are missing or of the wrong type."""
    if not isinstance(entry, dict):
        return ["form"]
    required = ("id", "sentence", "effect", "low", "high", "n", "verdict")
    wrong = [key for key in required if key not in entry]
    full = {"id": "", "sentence": "", "n": 0, "verdict": VERDICTS[0], **_DEFAULTS, **entry}
    wrong += [
        key
        for key in ("id", "sentence", "rule", "statistic", "left_out_why", "kind")
        if not _is(full[key], str)
    ]
    wrong += [key for key in ("n", "left_out") if not _is(full[key], int)]
    wrong += [key for key in _NUMBERS if not _is_number(full.get(key))]
    wrong += ["verdict"] if full["verdict"] not in VERDICTS else []
    figure = full["figure"]
    if figure is not None and not (isinstance(figure, str) and is_name(figure)):
        wrong.append("figure")
    wrong += [] if _is_pair(full["bounds"]) else ["bounds"]
    wrong += ["values"] if not _is_list(full["values"], _is_number) else []
    wrong += ["questions"] if not _is_list(full["questions"], lambda text: _is(text, str)) else []
    if "id" not in wrong and "id" in entry and not is_name(entry["id"]):
        wrong.append("id")
    return wrong


def _is(value: Any, kind: type) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return value is None or _is(value, int) or _is(value, float)


def _is_pair(value: Any) -> bool:
    return _is_list(value, _is_number) and len(value) == 2


def _is_list(value: Any, test: Any) -> bool:
    return isinstance(value, list) and all(test(entry) for entry in value)


def _read_figures(entries: list, folder: Path, problems: list[str]) -> Iterable[FigureFile]:
    for entry in entries:
        name = entry.get("name") if isinstance(entry, dict) else None
        if not isinstance(name, str) or not is_name(name):
            problems.append(
                f"{folder.name}/claims.json: a figure without a usable name, {entry!r}."
            )
            continue
        path = folder / "figures" / f"{name}.svg"
        try:
            svg = path.read_bytes()
        except OSError as error:
            problems.append(f"{folder.name}/figures/{name}.svg cannot be read ({error.strerror}).")
            svg = None
        yield FigureFile(name, str(entry.get("caption", "")), svg)


def _read_rates(path: Path, problems: list[str]) -> Mapping[str, float | None]:
    """Return how often each claim's rule is wrong; empty if that was not measured."""
    if not path.exists():
        return {}
    try:
        rates = read_json(path).get("false_verdict", {})
    except RecordsError as error:
        problems.append(str(error).replace(str(path.parent), path.parent.name))
        return {}
    if not isinstance(rates, dict):
        problems.append(f"{path.parent.name}/calibration.json: its false_verdict cannot be used.")
        return {}
    wrong = [key for key, rate in rates.items() if not _is_number(rate)]
    problems += [f"{path.parent.name}/calibration.json: {key} is no rate." for key in wrong]
    return {key: rate for key, rate in rates.items() if key not in wrong}


def _read_steps(path: Path, problems: list[str]) -> Mapping[str, Any] | None:
    if not path.exists():
        return None
    try:
        content = read_json(path)
        wrong = what_is_wrong(content)
    except RecordsError as error:
        problems.append(str(error).replace(str(path.parent), path.parent.name))
        return None
    if wrong:
        problems.append(f"{path.parent.name}/{path.name} cannot be shown, its {wrong} is wrong.")
    return None if wrong else content


def _read_facts(path: Path, problems: list[str]) -> Mapping[str, Any]:
    if not path.exists():
        problems.append(f"{path.parent.name}/run.json is missing: no run facts are shown.")
        return {}
    try:
        return read_json(path)
    except RecordsError as error:
        problems.append(str(error).replace(str(path.parent), path.parent.name))
        return {}
