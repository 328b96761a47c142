"""What all headlines share: they tell a number only where the verdicts bear the words around it."""

from collections.abc import Iterable, Mapping

from signdyn.claims import SUPPORTED, Finding


def needed(supported: Iterable[str], **others: str) -> dict[str, str]:
    """Return claim -> the verdict that words need, `SUPPORTED` or as given by name.

    Example:
        >>> needed(["slower"], cures="refuted")
        {'slower': 'supported', 'cures': 'refuted'}
    """
    return {**dict.fromkeys(supported, SUPPORTED), **others}


def open_ones(findings: Iterable[Finding], needs: Mapping[str, str]) -> list[str]:
    """Return the claims, in the order of ``needs``, whose verdict is not the one needed.

    Raises:
        KeyError: If a claim that is needed was not decided.
    """
    verdicts = {finding.claim.id: finding.verdict for finding in findings}
    return [id for id, verdict in needs.items() if verdicts[id] != verdict]


def unconfirmed(open_ids: Iterable[str]) -> str:
    """Return the sentence that names the claims which do not bear the answer.

    Example:
        >>> unconfirmed(["steps_relu", "steps_tanh"])
        'This run does not confirm the picture: see steps_relu, steps_tanh.'
    """
    return f"This run does not confirm the picture: see {', '.join(open_ids)}."


def effects(findings: Iterable[Finding]) -> dict[str, float]:
    """Return claim -> estimate."""
    return {finding.claim.id: finding.evidence.interval.estimate for finding in findings}
