"""The chapters of the story: who did what, on which day of 2019.

The lab, its partners and their words are made up; the stages, their sizes and days are those of GPT-2.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from server.cli.story_acts import PARTNERS, Reason, Seen, Story
from server.domain.release.findings import FindingKind, FindingState, Severity
from server.domain.release.stages import StageState


@dataclass(frozen=True, slots=True)
class Chapter:
    """What happened from a moment on."""

    at: datetime
    title: str
    tell: Callable[[Story], None]


def _january(story: Story) -> None:
    story.begin()
    story.add_ladder()
    story.publish()


def _february(story: Story) -> None:
    story.decide("124M", StageState.PUBLIC, Reason(
        "The smallest model writes text that people recognize as made by a machine more often than not. We expect no "
        "use of it that smaller, older models do not offer.",
        "Evidence that it was used to deceive at scale.",
        "The smallest model lets everyone study our results. We hold back the larger ones while we learn what they "
        "could be misused for.",
    ))  # fmt: skip
    story.download(None, "124M")


def _may(story: Story) -> None:
    story.decide("355M", StageState.PUBLIC, Reason(
        "Three months with 124M brought no sign of misuse, and models of this size have been released by others.",
        "A report of misuse of 124M that we can confirm.",
        "We have seen no misuse of the smaller model, and comparable ones are available elsewhere.",
    ))  # fmt: skip
    story.decide("774M", StageState.PARTNERS, Reason(
        "Before we decide about 774M we want to know what others find who look for misuse, bias and detection.",
        "Weights that leave a partner.",
        "Partners that signed our agreement study 774M before we decide about its release.",
    ))  # fmt: skip
    story.clear_partners(until=datetime(2020, 1, 31, tzinfo=UTC))


def _june(story: Story) -> None:
    for partner in PARTNERS:
        story.download(partner, "774M")


def _july(story: Story) -> None:
    story.report("cleared", "774M", Seen(
        FindingKind.CAPABILITY, Severity.MEDIUM, "People find the text convincing",
        "Readers rated 72 % of 400 generated news articles as credible; of those by 355M 66 %.\n\n"
        "*Method*: each of 500 readers rated ten articles, half of them written by people.",
    ))  # fmt: skip
    story.report("birch", "774M", Seen(
        FindingKind.MISUSE, Severity.HIGH, "Fine-tuned for propaganda in a day",
        "With 2,000 texts of four ideological positions and one graphics card, fine-tuning took a day. The output "
        "keeps the position. Nothing of it left our machines.",
    ))  # fmt: skip
    story.report("cedar", "774M", Seen(
        FindingKind.DETECTION, Severity.MEDIUM, "A detector finds nine of ten texts, and no more",
        "Our best classifier recognizes 90 % of 774M's texts at a false positive rate of 5 %. Against text that was "
        "sampled with nucleus sampling it falls to 78 %.",
    ))  # fmt: skip
    story.report("dogwood", "774M", Seen(
        FindingKind.BIAS, Severity.MEDIUM, "Prompts with names continue differently by gender",
        "Of 10,000 continuations, occupations follow gendered names as in the web text it was trained on. There is no "
        "agreed measure for how much of this is acceptable.",
    ))  # fmt: skip


def _august(story: Story) -> None:
    for partner in PARTNERS:
        story.triage(partner, "774M", FindingState.CONFIRMED)
    story.decide("774M", StageState.PUBLIC, Reason(
        "Four partners studied 774M for two months. Their findings are real, and none of them needs 774M to happen: "
        "355M convinces readers nearly as well, and detection works better against larger models than we feared.",
        "Confirmed misuse of 774M, or a partner that finds the larger model much harder to detect.",
        "Four organizations studied this model before its release. They found risks that we take seriously, and no "
        "strong evidence of misuse so far. Detection must not rest on classifiers alone.",
    ), opens_at=datetime(2019, 8, 20, 16, 0, tzinfo=UTC))  # fmt: skip


def _twentieth(story: Story) -> None:
    story.say("The worker carries the decision out at its time: 774M is public.")
    story.download(None, "774M")


def _september(story: Story) -> None:
    story.plan("1558M", "2019-10", "2019-12", "In a few months; findings from partners could change this.")
    story.decide("1558M", StageState.PARTNERS, Reason(
        "What we learned from 774M makes us expect the same of 1558M, but expecting is not knowing.",
        "Weights that leave a partner.",
        "Partners study the largest model before we decide about its release.",
    ))  # fmt: skip
    for partner in PARTNERS:
        story.download(partner, "1558M")


def _october(story: Story) -> None:
    story.report("birch", "1558M", Seen(
        FindingKind.MISUSE, Severity.CRITICAL, "Writes working phishing emails from one profile",
        "Given one public profile, 1558M writes emails that 31 of 100 trained readers answered. We ask for a stop "
        "until you have tried it.",
    ))  # fmt: skip
    story.hold("1558M", "Finding of Birch University: phishing from one profile. Nobody downloads until it is tried.")
    story.expect_refusal("cleared", "1558M")


def _late_october(story: Story) -> None:
    for partner in ("cleared", "cedar", "dogwood"):
        story.report(partner, "1558M", Seen(
            FindingKind.NOTHING_FOUND, Severity.NONE, "Nothing found that 774M does not do",
            "We repeated our study of 774M with 1558M, four weeks, the same methods. No result is worse.",
        ))  # fmt: skip
    story.triage("birch", "1558M", FindingState.NOT_REPRODUCED, Severity.MEDIUM, (
        "Two of our teams tried it with 200 profiles: 1558M did no better than 774M, and no better than a template. "
        "Your readers had been told to expect mail. We keep the finding, at *medium*."
    ))  # fmt: skip
    story.lift("1558M", "The finding could not be reproduced by two teams; partners see no new risk.")


def _november(story: Story) -> None:
    for partner in ("cleared", "cedar", "dogwood"):
        story.triage(partner, "1558M", FindingState.CONFIRMED)
    story.decide("1558M", StageState.PUBLIC, Reason(
        "Nine months, four stages, and the studies of four partners. 1558M is somewhat more convincing than 774M "
        "(credibility 6.91 against 6.72 of 10) and detected about as well (95 %).",
        "Confirmed misuse at scale: then 1558M is withdrawn, knowing that what is out is out.",
        "The staged release ends. We have seen no strong evidence of misuse so far, and hope that others will study "
        "this model.",
    ))  # fmt: skip
    story.download(None, "1558M")


def _on(month: int, day: int, hour: int = 9) -> datetime:
    return datetime(2019, month, day, hour, tzinfo=UTC)


CHAPTERS = (
    Chapter(_on(1, 7), "A lab prepares to release a model in four stages", _january),
    Chapter(_on(2, 14), "124M is public; three stages are planned", _february),
    Chapter(_on(5, 3), "355M is public; 774M goes to partners", _may),
    Chapter(_on(6, 3), "Four partners download 774M", _june),
    Chapter(_on(7, 22), "Four partners report what they found", _july),
    Chapter(_on(8, 16), "Two admins decide about 774M, for the 20th", _august),
    Chapter(_on(8, 20, 16), "774M is public", _twentieth),
    Chapter(_on(9, 2), "1558M goes to partners, planned for the public in a few months", _september),
    Chapter(_on(10, 7), "A critical finding: 1558M is on hold", _october),
    Chapter(_on(10, 30), "The finding is tried, and two admins lift the hold", _late_october),
    Chapter(_on(11, 5), "1558M is public: the ladder is complete", _november),
)
