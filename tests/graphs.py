"""Region graphs drawn by hypothesis, for every test that wants some."""

from hypothesis import settings
from hypothesis import strategies as st

from shapekeeper.regions import Pathway, Region, RegionGraph

# A busy machine is no failure.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

# Names with all that names may hold: spaces, quotes, arrows, letters from elsewhere.
names = st.text("abc XYZ19_-'\"\\→é", min_size=1, max_size=6).filter(str.strip)
densities = st.floats(0.01, 1.0) | st.just(1.0)
positions = st.none() | st.tuples(st.floats(0, 588), st.floats(0, 480))
counts = st.none() | st.tuples(st.integers(0, 99), st.integers(0, 99))


@st.composite
def region_graphs(draw, max_regions=5, max_size=6, finished=False, feedforward=False):
    """Well-formed graphs with any detail.

    finished: has an input, and an output that a chain of known pathways reaches.
    feedforward: no loop, not even through pathways that were never tested.
    """
    chosen = draw(st.lists(names, min_size=int(finished), max_size=max_regions, unique=True))
    pairs = [(s, t) for s in chosen for t in chosen if s != t]
    if feedforward:
        pairs = [(s, t) for s, t in pairs if chosen.index(s) < chosen.index(t)]
    kinds = [draw(st.sampled_from(["none", "known", "unknown", "absent"])) for _ in pairs]
    pathways = [
        Pathway(*ends, draw(densities), kind == "known", draw(counts))
        for ends, kind in zip(pairs, kinds, strict=True)
        if kind in ("known", "unknown")
    ]
    sees, answers = _ends(draw, chosen, pathways, finished)
    regions = [
        Region(
            name,
            draw(st.integers(1, max_size)),
            draw(densities),
            draw(positions),
            draw(st.none() | st.integers(1, 9)),
            sees[name],
            answers[name],
            draw(st.sampled_from([None, 1, -1])),
        )
        for name in chosen
    ]
    absent = [ends for ends, kind in zip(pairs, kinds, strict=True) if kind == "absent"]
    return RegionGraph(regions, pathways, absent, draw(st.text(max_size=20)))


def _ends(draw, chosen, pathways, finished):
    if not finished:
        kinds = st.booleans() | st.integers(1, 9)
        return {n: draw(kinds) for n in chosen}, {n: draw(st.booleans()) for n in chosen}
    sees = {name: i == 0 or draw(st.booleans()) for i, name in enumerate(chosen)}
    reached = {name for name in chosen if sees[name]}
    for _ in chosen:
        reached |= {p.target for p in pathways if p.known and p.source in reached}
    last = draw(st.sampled_from(sorted(reached)))
    answers = {n: n == last or (n in reached and draw(st.booleans())) for n in chosen}
    return sees, answers
