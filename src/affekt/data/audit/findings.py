"""What the numbers of a copy mean: each check gives findings, each with what to do.

One function for each topic; `affekt.data.audit.deam` calls them in the order in which they are read.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from affekt.data.audit.reading import GET_ANNOTATIONS, Reading
from affekt.data.audit.records import ArtistAudit, AudioAudit, Finding, Level, Loudness
from affekt.data.audit.sound import SILENCE_DB, Sound, same_content
from affekt.data.base import named
from affekt.data.curves import Curve
from affekt.data.deam import N_SONGS, STATIC_NAMES, UNCLEAR_ADVICE, DeamCopy
from affekt.data.exchange import LAST_2014_ID
from affekt.data.kaggle import KAGGLE_PAGE
from affekt.data.known import known_ids
from affekt.data.metadata import Credits, artist_key, disagreements

#: Frames of a clip's annotation, from 15 s to 44.5 s at 2 Hz.
N_FRAMES = 60
#: Clips of 45 s may lack what an encoder cuts off.
SHORTEST_CLIP_S = 44.5
#: A stretch of silence that a listener notices.
LONG_SILENCE_S = 5.0
#: Share of samples at full scale that can be heard.
MUCH_CLIPPED = 0.001
_METADATA = ("metadata_2013.csv", "metadata_2014.csv", "metadata_2015.csv")


# --- files ------------------------------------------------------------------------------------------------------


def about_files(copy: DeamCopy) -> Iterator[Finding]:
    """What of DEAM is missing, what that costs, where to get it."""
    if copy.synthetic:
        return
    there = {path.name.lower() for path in copy.files.static}
    for name, songs in zip(STATIC_NAMES, ("1744 songs of 2013 and 2014", "58 whole songs of 2015"), strict=True):
        if name not in there:
            yield Finding("warning", "files", f"{name} is missing: no labels for the {songs}.", f"{GET_ANNOTATIONS}.")
    if copy.files.dynamic is None:
        yield Finding(
            "warning",
            "files",
            "valence.csv or arousal.csv (annotations over time) is missing: nothing over time can be learnt, and "
            "labels can be checked by their numbers alone.",
            f"{GET_ANNOTATIONS}, its folder 'dynamic (per second annotations)' included.",
        )
    lacking = [name for name in _METADATA if name not in {path.name.lower() for path in copy.files.metadata}]
    if lacking:
        yield Finding(
            "note",
            "files",
            f"{', '.join(lacking)} missing: artists, titles and genres come from the audio's own tags.",
            "Put the files of the authors' metadata.zip anywhere below the folder; they are not in the Kaggle package.",
        )
    if not copy.files.ratings:
        yield Finding(
            "note",
            "files",
            "The single ratings (annotations per each rater) are missing: the noise ceiling rests on the published "
            "deviations.",
            f"{GET_ANNOTATIONS}, its folder 'annotations per each rater' included.",
        )


def about_ids(reading: Reading) -> Iterator[Finding]:
    """Songs that are in one place and not in another."""
    copy = reading.copy
    ids = set(copy.ids.tolist())
    if not copy.synthetic:
        yield from _deam_ids(ids)
    over_time = [set(series) for series in reading.series.values()]
    if len(over_time) == 2:
        yield from _ids(
            over_time[0] ^ over_time[1],
            "warning",
            "annotations over time",
            "are in one of valence.csv and arousal.csv alone",
            f"{GET_ANNOTATIONS}; they are left out of what is learnt over time.",
        )
        both = over_time[0] & over_time[1]
        yield from _ids(
            both - ids,
            "warning",
            "annotations over time",
            "have annotations over time and no label",
            f"{GET_ANNOTATIONS}.",
        )
        yield from _ids(
            ids - both,
            "warning",
            "annotations over time",
            "have a label and no annotations over time",
            f"{GET_ANNOTATIONS}.",
        )
    audio = {int(song) for song in copy.files.audio}
    yield from _ids(
        ids - audio,
        "warning",
        "audio",
        "have labels and no audio",
        f"Get DEAM_audio.zip or the Kaggle package ({KAGGLE_PAGE}); encoders that need audio leave these songs out.",
    )
    yield from _ids(
        audio - ids,
        "note",
        "audio",
        "have audio and no label",
        "Nothing: they are not used, unless labels are missing.",
    )
    written = {int(song) for song in reading.written}
    if written and not copy.synthetic:
        yield from _ids(
            ids - written,
            "note",
            "metadata",
            "are in no metadata file",
            "Add the metadata file of their year; until then their artist comes from the audio's own tags.",
        )


def _deam_ids(ids: set[int]) -> Iterator[Finding]:
    known = set(known_ids())
    yield from _ids(
        known - ids,
        "warning",
        "files",
        f"of DEAM's {N_SONGS} have no label here",
        f"{GET_ANNOTATIONS}, or say so in results.",
    )
    yield from _ids(
        ids - known,
        "warning",
        "files",
        "are not in DEAM",
        "Find out where they come from; put songs of your own into a folder.",
    )


def _ids(songs: Iterable[int], level: Level, topic: str, what: str, do: str) -> Iterator[Finding]:
    ids = tuple(map(str, sorted(songs)))
    if ids:
        have = what if len(ids) > 1 else what.replace("have ", "has ", 1).replace("are ", "is ", 1)
        yield Finding(level, topic, f"{_songs(len(ids))} {have}: {named(ids)}.", do, ids)


# --- labels -----------------------------------------------------------------------------------------------------


def about_labels(copy: DeamCopy) -> Iterator[Finding]:
    """Whether valence and arousal are exchanged, and whether labels and annotations over time agree."""
    exchange = copy.exchange
    n = exchange.n_songs
    if exchange.state == "exchanged":
        yield Finding(
            "warning",
            "labels",
            f"Valence and arousal are exchanged for {n} songs (ids up to 1000): {exchange.evidence}.",
            'Nothing: labels="corrected", the default, puts them right. Compare with results on DEAM as distributed '
            'under labels="raw" alone.',
        )
    elif exchange.state == "straight" and not copy.synthetic:
        yield Finding(
            "note",
            "labels",
            f"Valence and arousal of the {n} songs up to id 1000 are the right way round: {exchange.evidence}.",
            "Nothing: this copy was mended, and is not exchanged again.",
        )
    elif exchange.state == "unclear" and not copy.synthetic:
        yield Finding(
            "fault",
            "labels",
            f"The labels do not tell whether they are right: {exchange.evidence}.",
            UNCLEAR_ADVICE,
            tuple(map(str, exchange.altered)),
            blocks=True,
        )
    if exchange.dynamic_doubt and exchange.state != "unclear" and copy.curves:
        yield Finding(
            "fault",
            "annotations over time",
            f"The annotations over time do not agree with the labels, which are known: {exchange.dynamic_doubt}.",
            f"{GET_ANNOTATIONS}; the labels are usable, the annotations over time are refused.",
        )


def about_ratings(n_unmatched: int) -> Iterator[Finding]:
    """Single ratings that do not belong to their labels."""
    if n_unmatched:
        yield Finding(
            "note",
            "labels",
            f"The single ratings of {_songs(n_unmatched)} do not average to their labels.",
            "Nothing: they are left out of the split-half ceiling.",
        )


def about_curves(reading: Reading) -> Iterator[Finding]:
    """Annotations over time that are longer or shorter than others."""
    if len(reading.series) != 2:
        return
    valence, arousal = reading.series.values()
    unequal = [song for song in valence if song in arousal and valence[song].keys() != arousal[song].keys()]
    yield from _ids(
        unequal,
        "note",
        "annotations over time",
        "have valence and arousal of different length",
        "Nothing: the moments that both have are used.",
    )
    if reading.copy.synthetic:
        return
    lengths = {song: len(curve) for song, curve in reading.copy.curves.items() if song <= LAST_2014_ID}
    odd = {song: n for song, n in lengths.items() if n != N_FRAMES}
    yield from _ids(
        odd,
        "warning",
        "annotations over time",
        f"have other than {N_FRAMES} annotations over time ({_counted(Counter(map(str, odd.values())))})",
        f"{GET_ANNOTATIONS}: clips of 45 s have {N_FRAMES}.",
    )


# --- metadata ---------------------------------------------------------------------------------------------------


def about_artists(artists: ArtistAudit, n_songs: int) -> Iterator[Finding]:
    """Artists without a name, names with several spellings, and what a random split leaks."""
    if artists.n_known < n_songs:
        yield Finding(
            "warning",
            "metadata",
            f"The artist of {n_songs - artists.n_known} of {n_songs} songs is unknown.",
            "Add metadata_2013.csv, metadata_2014.csv and metadata_2015.csv; until then each of these songs counts as "
            "an artist of its own, and folds may leak.",
        )
    if artists.n_sharing:
        yield Finding(
            "warning",
            "splits",
            f"{artists.n_sharing} songs share their artist with another: a random 80/20 split has "
            f"{artists.expected_leak:.0%} of its test songs by artists of the training songs.",
            "Group folds by artist (split.group = artist, the default).",
        )
    if artists.respelled:
        spelt = tuple(f"{name} = {artist}" for name, artist in artists.respelled)
        yield Finding(
            "note",
            "metadata",
            f"{artists.n_names} names in the metadata files are {artists.n_artists} artists: {len(spelt)} names carry "
            "part of a title, or spell an artist in another way.",
            "Nothing: each artist has one spelling.",
            spelt,
        )


def about_titles(credits: Mapping[str, Credits], ids: Iterable[int]) -> Iterator[Finding]:
    """The same artist and title under two ids."""
    groups: dict[tuple[str, str], list[str]] = {}
    for song in map(str, ids):
        one = credits.get(song, Credits())
        if one.artist and one.title:
            groups.setdefault((artist_key(one.artist), artist_key(one.title)), []).append(song)
    pairs = tuple(" = ".join(group) for group in groups.values() if len(group) > 1)
    if pairs:
        yield Finding(
            "note",
            "metadata",
            f"{_times(len(pairs), 'title')} by one artist under two ids or more: {named(pairs)}.",
            "Nothing where folds are grouped by artist: they stay on one side of a split.",
            pairs,
        )


def about_tags(written: Mapping[str, Credits], sounds: Sequence[Sound]) -> Iterator[Finding]:
    """Artists and titles on which metadata files and the audio's own tags disagree."""
    found: dict[str, list[str]] = {"artist": [], "title": []}
    for sound in sounds:
        for name, (mine, yours) in disagreements(written.get(sound.song_id, Credits()), sound.tags).items():
            found[name].append(f'{sound.song_id}: "{mine}" in the metadata, "{yours}" in the file')
    for name, said in found.items():
        if said:
            yield Finding(
                "warning" if name == "artist" else "note",
                "metadata",
                f"Metadata and tags name another {name} for {_songs(len(said))}; the first: {said[0]}.",
                "Look at them: the metadata file counts. Mend it where the file is right."
                if name == "artist"
                else "Nothing: titles serve reading alone; the metadata file counts.",
                tuple(said),
            )


# --- audio ------------------------------------------------------------------------------------------------------


def about_audio(sounds: Sequence[Sound], curves: Mapping[int, Curve], audio: AudioAudit) -> Iterator[Finding]:
    """Files that cannot be used, or say something else than their song's annotation."""
    whole = [sound for sound in sounds if sound.fault is None]
    yield from _of_files(
        {s.song_id: s.fault for s in sounds if s.fault is not None},
        "fault",
        "cannot be read",
        "Get them again; until then a comparison skips them and says so.",
    )
    yield from _of_files(
        {s.song_id: f"{s.level_db:.0f} dB" for s in whole if s.level_db < SILENCE_DB},
        "fault",
        "are silent",
        "Get them again, or take them away: their annotation belongs to other sound.",
    )
    yield from _of_files(
        {
            s.song_id: f"{s.silent_s:.0f} of {s.duration_s:.0f} s"
            for s in whole
            if s.silent_s >= LONG_SILENCE_S and s.level_db >= SILENCE_DB
        },
        "warning",
        f"are silent for {LONG_SILENCE_S:g} s or longer at a stretch",
        "Listen to them: a silent stretch in a clip may be a damaged file.",
    )
    yield from _of_files(
        {s.song_id: f"{s.clipped_share:.1%} of the samples" for s in whole if s.clipped_share >= MUCH_CLIPPED},
        "note",
        "are clipped (runs of samples at full scale)",
        "Nothing, if the record is so; what the raters heard was clipped as well.",
    )
    yield from _of_files(
        {s.song_id: short for s in whole if (short := _too_short(s, curves.get(int(s.song_id))))},
        "warning",
        "are too short",
        "Get them again: the annotation is of more than is there.",
    )
    groups = tuple(" = ".join(group) for group in same_content(whole))
    if groups:
        yield Finding(
            "warning",
            "audio",
            f"{_times(len(groups), 'piece of sound', 'pieces of sound')} under two ids or more, sample for sample: "
            f"{named(groups)}.",
            "Find out which id is right; take the wrong file away, so that it does not stand on both sides of a split.",
            groups,
        )
    for kind, counts in (
        ("sample rate (Hz: files)", audio.sample_rates_hz),
        ("channels (number: files)", audio.channels),
    ):
        if len(counts) > 1:
            yield Finding(
                "note",
                "audio",
                f"Files differ in their {kind}: {_counted(counts)}.",
                "Nothing: encoders resample, and mix down.",
            )
    yield from _about_licences(sounds, audio)
    yield from map(_about_loudness, audio.loudness)


def _too_short(sound: Sound, curve: Curve | None) -> str | None:
    last_s = float(curve.times_s[-1]) if curve is not None and len(curve) else 0.0
    if int(sound.song_id) <= LAST_2014_ID and sound.duration_s < SHORTEST_CLIP_S:
        return f"{sound.duration_s:.1f} s, a clip has 45"
    return f"{sound.duration_s:.1f} s, annotated until {last_s:.1f}" if sound.duration_s < last_s - 0.1 else None


def _about_licences(sounds: Sequence[Sound], audio: AudioAudit) -> Iterator[Finding]:
    if not audio.n_files:
        return
    bound = [sound.song_id for sound in sounds if not _is_open(sound.licence)]
    yield Finding(
        "note",
        "audio",
        f"Licences by the files' own tags: {_counted(audio.licences)}.",
        f"Look up a song's licence before you pass its audio on: {_songs(len(bound))} forbid commercial use or "
        "changes, or do not say in a licence of Creative Commons that they allow them.",
        tuple(f"{sound.song_id}: {sound.licence or 'not stated'}" for sound in sounds),
    )


def _is_open(licence: str | None) -> bool:
    """Whether it allows commercial use and changes."""
    words = (licence or "").replace("-", " ").split()
    return words[:1] in (["CC"], ["CC0"]) and not {"NC", "ND"} & {*words}


def _about_loudness(one: Loudness) -> Finding:
    said = (
        f"Loudness correlates {one.arousal:.2f} with arousal and {one.valence:.2f} with valence over "
        f"{_songs(one.n_songs)} ({one.songs}, Spearman, labels put right)"
    )
    if one.interval is None:
        return Finding("note", "audio", f"{said}: too few to prove anything.", "Nothing.")
    low, high = one.interval
    difference = f"the difference is {one.arousal - one.valence:.2f} [{low:.2f}, {high:.2f}]"
    if high < 0:
        return Finding(
            "warning",
            "audio",
            f"{said}: it follows valence more than arousal, {difference}.",
            "Check the labels and whether audio files belong to their ids: loudness follows arousal.",
        )
    if low > 0:
        return Finding("note", "audio", f"{said}: it follows arousal, as it should; {difference}.", "Nothing.")
    return Finding("note", "audio", f"{said}: neither clearly more than the other; {difference}.", "Nothing.")


def _of_files(found: Mapping[str, str], level: Level, what: str, do: str) -> Iterator[Finding]:
    if found:
        said = tuple(f"{song}: {why}" for song, why in found.items())
        verb = what if len(said) > 1 else what.replace("are ", "is ", 1)
        files = _times(len(said), "audio file")
        yield Finding(
            level, "audio", f"{files} {verb}: {named([f'{song} ({why})' for song, why in found.items()])}.", do, said
        )


def _songs(n: int) -> str:
    return _times(n, "song")


def _times(n: int, one: str, many: str = "") -> str:
    return f"{n} {one if n == 1 else many or f'{one}s'}"


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name}: {n}" for name, n in counts.items())
