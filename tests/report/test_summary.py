import re

from affekt.report import page
from affekt.report.summary import escaped, summary

NOISE = {"mean": 0.0, "a-nano": 0.7, "b": 0.5, "b (untrained)": 1.5}


def made(view):
    return summary(view, page.heading(view), page.verdicts(view), page.further(view))


def unescaped(text):
    return re.sub(r"\\([^\w\s])", r"\1", text)


def test_verdict_scores_and_caveats_in_this_order(viewed):
    view = viewed(noise=NOISE, ceiling=(0.8, 0.9), synthetic=True)
    text = unescaped(made(view))
    parts = [
        "# Which encoder hears emotion best on demo? (synthetic music)",
        "**valence.** b ",
        "**arousal.** b ",
        "Pretraining adds",
        "## Scores",
        "| noise ceiling | 0.80 | 0.90 |",
        "## What to know before quoting this",
        "- Synthetic music.",
        "- Not pretrained (random weights): a-nano.",
        "- Labels: corrected.",
    ]
    places = [text.index(part) for part in parts]
    assert places == sorted(places)
    value, low, high = view.scores.r2("a-nano", "valence")
    assert f"| a-nano (random weights) | {value:.2f} [{low:.2f}, {high:.2f}] |" in text


def test_titles_cannot_break_the_table(viewed):
    text = made(viewed(noise={"a|b": 0.5, "<img src=x>": 0.6, "*_`[x](y)\n# z": 0.7}))
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len({len(re.findall(r"(?<!\\)\|", row)) for row in rows}) == 1 and len(rows) == 5
    assert not re.search(r"(?<!\\)[<`]", text)
    assert escaped("[x](y)") == r"\[x\](y)" and escaped("a\n#b") == r"a \#b"
