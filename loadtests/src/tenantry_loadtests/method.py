"""How the figures of a run were measured, in sentences: what they can and cannot say."""

from __future__ import annotations

from tenantry_loadtests.recording import (
    ACCEPTED,
    DUE,
    FOLLOWED,
    LOOKS,
    LOST_SIGHT,
    NOT_STORED,
    Span,
)
from tenantry_loadtests.results import Result
from tenantry_loadtests.text import number_text, seconds_text, share_text


def method_of(result: Result) -> list[str]:
    """One sentence or two for each thing that a reader could take for something else."""
    plan = result.plan
    span, whole = result.span(), Span(result.recorder)
    seconds = result.seconds() or 1.0
    due, accepted = span.count(DUE) / seconds, span.count(ACCEPTED) / seconds
    lines = [
        (
            f"Rate: {number_text(due)} messages a second were due, {number_text(accepted)} were"
            f" accepted ({share_text(result.achieved_share(span))}). Arrivals are {plan.arrivals}"
            " and follow a clock: a message that is sent late counts from when it was due, retries"
            " and waiting for Retry-After included, so a stall is not hidden by those that were"
            " not sent meanwhile."
        ),
        (
            "A message that was given up counts with all the time that it took; one that was"
            " refused at once counts as failed and makes no percentile better. Percentiles are by"
            " nearest rank, at most 1 % too high. The warm-up is in no figure but the accounting."
        ),
        _following(result, whole),
    ]
    if result.workers:
        lines.append(f"{result.workers} generator processes; their clocks are taken to agree.")
    busiest = result.busiest()
    if busiest is not None:
        lines.append(f"The generator took {busiest:.0f} % of a core in its busiest five seconds.")
    lines += _not_observed(result)
    if plan.events is None:
        lines.append(f"Messages are made up: sizes {plan.sizes}; types {plan.types}.")
    else:
        lines.append("Messages are real events of a file, in its order.")
    return lines


def _following(result: Result, whole: Span) -> str:
    followed, looks = whole.count(FOLLOWED), whole.count(LOOKS)
    if not followed:
        return "No message was followed to the table, so the way through the queue is not known."
    span = result.span()
    between = span.histogram("between")
    share = share_text(result.following_share())
    text = (
        f"{followed} messages were followed from their 202 by {looks} looks, {share} of all"
        f" requests. A time ends when a look finds the message, so it is never too short; it is"
        f" too long by {seconds_text(between.percentile(50))} at most for half of them (p99"
        f" {seconds_text(between.percentile(99))})"
    )
    stamped = span.histogram("stamped")
    if len(stamped):
        text += (
            f". By the items' own stamps the same messages took"
            f" {seconds_text(stamped.percentile(50))} (p50) and"
            f" {seconds_text(stamped.percentile(99))} (p99) until their write began"
        )
    if missing := whole.count(NOT_STORED):
        text += f". {missing} were not stored in {seconds_text(result.plan.follow_seconds)}"
    if lost := whole.count(LOST_SIGHT):
        text += f". {lost} were still followed when the run ended"
    return text + "."


def _not_observed(result: Result) -> list[str]:
    lines = []
    seen = result.observations
    if not any(o.depth is not None for o in seen):
        lines.append(
            "The queues' depth was not observed: it needs queue_url in the list of tenants and"
            " AWS_REGION, with credentials that may GetQueueAttributes."
        )
    if not any(o.age is not None for o in seen):
        lines.append(
            "Age of the oldest message and stored a second were not observed: they need"
            " METRICS_URL, the consumers' /metrics."
        )
    calls = sum(o.calls for o in seen)
    if calls:
        lines.append(f"Observing took {calls} AWS calls, which are no part of the load.")
    return lines
