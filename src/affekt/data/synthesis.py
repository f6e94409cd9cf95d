"""From cues to sound: short pieces of music that carry an emotion by construction.

`render` turns a `Piece` into samples: `compose` writes eight bars (melody, chords, bass, percussion), each distinct
note is synthesised once from a band-limited wavetable and added wherever it occurs, and the eight bars are repeated.

Conventions: a cue is standardised (mean 0, standard deviation 1 over pieces; mode is -1 or 1) and limited to +-2; its
physical value is a property of `Cues`. Pitches are MIDI numbers (69 is 440 Hz), durations in beats or seconds as named,
levels in dB relative to full scale. Everything is drawn from the piece's own seed: a piece sounds the same whoever
renders it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

SAMPLE_RATE_HZ = 22_050
CUE_NAMES = ("mode", "tempo", "loudness", "articulation", "register", "brightness")

BEATS_PER_BAR = 4
N_BARS = 8

_TABLE_LENGTH = 2048
_SCALES = {1: (0, 2, 4, 5, 7, 9, 11), -1: (0, 2, 3, 5, 7, 8, 10)}  # major, natural minor; semitones above the tonic
# Degrees of the scale, one chord a bar. Each begins on the tonic, so that the mode can be heard from the start.
_PROGRESSIONS = ((0, 3, 4, 0), (0, 5, 3, 0), (0, 3, 0, 4), (0, 5, 3, 4))
_RHYTHMS = ((1, 1, 1, 1), (1, 0.5, 0.5, 1, 1), (1.5, 0.5, 1, 1), (1, 1, 0.5, 0.5, 1), (0.5, 0.5, 1, 1.5, 0.5))


@dataclass(frozen=True)
class Cues:
    """What makes a piece sound as it does; standardised, in the order of `CUE_NAMES`."""

    mode: float
    tempo: float
    loudness: float
    articulation: float
    register: float
    brightness: float

    @property
    def tempo_bpm(self) -> float:
        """Beats per minute, 50 to 200."""
        return float(100.0 * 2 ** (0.5 * self.tempo))

    @property
    def loudness_dbfs(self) -> float:
        """Root mean square of the whole piece in dB relative to full scale, -32 to -16."""
        return -24.0 + 4.0 * self.loudness

    @property
    def staccato(self) -> float:
        """0 for legato to 1 for staccato."""
        return (self.articulation + 2.0) / 4.0

    @property
    def tonic_midi(self) -> int:
        """The melody's tonic, 52 to 80; so the key follows from the register."""
        return round(66.0 + 7.0 * self.register)

    @property
    def rolloff(self) -> float:
        """Exponent p of the harmonics' amplitudes k^-p: 3.2 (dull) to 0.8 (bright)."""
        return 2.0 - 0.6 * self.brightness

    def as_row(self) -> np.ndarray:
        """The cues as an array, shape (6,)."""
        return np.array([getattr(self, field.name) for field in fields(self)], dtype=np.float64)


@dataclass(frozen=True)
class Style:
    """How the accompaniment is laid out in a bar of four beats.

    Attributes:
        name: given to the songs as their genre.
        chords: (beat, duration in beats, tones of the chord) of each stroke.
        bass: (beat, duration in beats).
        kick, snare, hat: beats.
    """

    name: str
    chords: tuple[tuple[float, float, tuple[int, ...]], ...]
    bass: tuple[tuple[float, float], ...]
    kick: tuple[float, ...] = ()
    snare: tuple[float, ...] = ()
    hat: tuple[float, ...] = ()


_TRIAD = (0, 1, 2)
_EIGHTHS = tuple(i / 2 for i in range(8))

STYLES = (
    Style("Chorale", tuple((b, 1.0, _TRIAD) for b in (0, 1, 2, 3)), ((0, 2), (2, 2))),
    Style(
        "Pulse",
        tuple((b, 0.5, _TRIAD) for b in (0, 1, 2, 3)),
        tuple((b, 0.5) for b in (0, 1, 2, 2.5, 3)),
        kick=(0, 1, 2, 3),
        hat=(0.5, 1.5, 2.5, 3.5),
    ),
    Style("Ballad", tuple((b, 0.5, (i,)) for b, i in zip(_EIGHTHS, (0, 1, 2, 1) * 2, strict=True)), ((0, 2), (2, 2))),
    Style(
        "March",
        tuple((b, 0.5, _TRIAD) for b in (0.5, 1.5, 2.5, 3.5)),
        tuple((b, 0.5) for b in (0, 1, 2, 3)),
        kick=(0, 2),
        snare=(1, 3, 3.5),
    ),
)


@dataclass(frozen=True)
class Piece:
    """Everything that determines a piece's sound.

    Attributes:
        cues: what carries the emotion.
        style: index into `STYLES`.
        timbre: factor for each of the lowest harmonics, shared by all pieces of an artist.
        seed: for melody, rhythm, progression and noise.
    """

    cues: Cues
    style: int
    timbre: tuple[float, ...]
    seed: int


@dataclass(frozen=True)
class Note:
    """One event of the score; `midi` is 0 for percussion."""

    voice: str
    onset_beats: float
    duration_beats: float
    midi: int
    velocity: float


# Amplitude of each voice before the whole is brought to its loudness.
_LEVELS = {"melody": 1.0, "chords": 0.3, "bass": 0.6, "kick": 0.6, "snare": 0.25, "hat": 0.12}


def render(piece: Piece, length_s: float = 45.0, sample_rate_hz: int = SAMPLE_RATE_HZ) -> np.ndarray:
    """Samples of a piece, mono, shape (round(length_s * sample_rate_hz),), float32 within +-1.

    The loudness is the cue's own: it is never normalised away.
    """
    n_samples = round(length_s * sample_rate_hz)
    samples_per_beat = 60.0 / piece.cues.tempo_bpm * sample_rate_hz
    loop_beats = N_BARS * BEATS_PER_BAR
    score = compose(piece)
    sounds = _sounds(piece, score, sample_rate_hz)
    mix = np.zeros(n_samples, dtype=np.float32)  # (time,)
    for repeat in range(int(n_samples / samples_per_beat // loop_beats) + 1):
        for note in score:
            start = round((repeat * loop_beats + note.onset_beats) * samples_per_beat)
            sound = sounds[note.voice, note.midi, note.duration_beats][: max(0, n_samples - start)]
            mix[start : start + len(sound)] += np.float32(note.velocity) * sound
    return _mastered(mix, piece.cues.loudness_dbfs, sample_rate_hz)


def compose(piece: Piece) -> tuple[Note, ...]:
    """The score of a piece: eight bars in four four time, all voices, in no particular order."""
    rng = np.random.default_rng(piece.seed)
    scale = _SCALES[int(piece.cues.mode)]
    tonic_midi = piece.cues.tonic_midi
    progression = _PROGRESSIONS[rng.integers(len(_PROGRESSIONS))]
    rhythms = [_RHYTHMS[i] for i in rng.integers(len(_RHYTHMS), size=2)]
    notes = []
    degree = 0
    for bar in range(N_BARS):
        root = progression[bar % len(progression)]
        # Rhythm AABA: regular enough to be heard as one tune.
        rhythm = rhythms[1] if bar % 4 == 2 else rhythms[0]
        melody, degree = _melody(rng, rhythm, root, degree)
        start = bar * BEATS_PER_BAR
        notes += [Note("melody", start + b, d, tonic_midi + _pitch(scale, step), v) for b, d, step, v in melody]
        notes += _accompaniment(STYLES[piece.style], scale, root, tonic_midi, start)
    return tuple(notes)


def frequency_hz(midi: float) -> float:
    """Fundamental frequency of a MIDI pitch in equal temperament."""
    return float(440.0 * 2 ** ((midi - 69) / 12))


def _melody(
    rng: np.random.Generator, rhythm: Sequence[float], root: int, degree: int
) -> tuple[list[tuple[float, float, int, float]], int]:
    """A bar of melody as (beat, duration, step of the scale, velocity), and the step it ends on.

    A walk by steps, drawn to the chord on whole beats and held within a sixth of the tonic.
    """
    bar = []
    beat = 0.0
    for duration in rhythm:
        degree = int(np.clip(degree + rng.integers(-2, 3), -3, 7))
        if beat.is_integer():
            degree = min((root + 7 * octave + third for octave in (-1, 0, 1) for third in (0, 2, 4)),
                         key=lambda step: abs(step - degree))  # fmt: skip
        bar.append((beat, duration, degree, 1.0 if beat == 0 else float(rng.uniform(0.75, 0.95))))
        beat += duration
    return bar, degree


def _accompaniment(style: Style, scale: Sequence[int], root: int, tonic_midi: int, start: float) -> list[Note]:
    """Chords, bass and percussion of one bar."""
    notes = [
        Note("chords", start + beat, duration, tonic_midi - 12 + _pitch(scale, root + 2 * tone), 1.0)
        for beat, duration, tones in style.chords
        for tone in tones
    ]
    bass_midi = tonic_midi - 24 + _pitch(scale, root) % 12  # within one octave, never below 41 Hz
    notes += [Note("bass", start + beat, duration, bass_midi, 1.0) for beat, duration in style.bass]
    for voice in ("kick", "snare", "hat"):
        notes += [Note(voice, start + beat, 1.0, 0, 1.0) for beat in getattr(style, voice)]
    return notes


def _pitch(scale: Sequence[int], step: int) -> int:
    """Semitones above the tonic of a step of the scale, which may lie in another octave."""
    octave, degree = divmod(step, len(scale))
    return 12 * octave + scale[degree]


def _sounds(piece: Piece, score: Sequence[Note], sample_rate_hz: int) -> dict[tuple[str, int, float], np.ndarray]:
    """Each distinct sound of a score, synthesised once: at most a hundred, where the score plays a thousand notes."""
    rng = np.random.default_rng([piece.seed, 1])
    sounds = {}
    for voice, midi, duration in sorted({(n.voice, n.midi, n.duration_beats) for n in score}):
        if midi == 0:
            sound = _percussion(rng, voice, piece.cues, sample_rate_hz)
        else:
            sound = _tone(frequency_hz(midi), duration * 60.0 / piece.cues.tempo_bpm, piece, sample_rate_hz)
        sounds[voice, midi, duration] = (_LEVELS[voice] * sound).astype(np.float32)
    return sounds


def _tone(pitch_hz: float, duration_s: float, piece: Piece, sample_rate_hz: int) -> np.ndarray:
    """One note, amplitude about 1, from a wavetable that holds no harmonic above the Nyquist frequency."""
    staccato = piece.cues.staccato
    sounding_s = duration_s * (1.0 - 0.7 * staccato)
    release_s = 0.03
    time_s = np.arange(round((sounding_s + release_s) * sample_rate_hz), dtype=np.float32) / sample_rate_hz
    phase = (time_s * np.float32(pitch_hz * _TABLE_LENGTH)).astype(np.int32) % _TABLE_LENGTH
    # Legato notes swell in 60 ms and hold; staccato notes strike in 4 ms and die away.
    attack_s = 0.06 * (0.004 / 0.06) ** staccato
    decay_s = 2.0 * (0.12 / 2.0) ** staccato
    rise = np.minimum(time_s / np.float32(attack_s), 1.0)
    fall = np.clip((sounding_s + release_s - time_s) / np.float32(release_s), 0.0, 1.0)
    table = _wavetable(pitch_hz, piece.cues.rolloff, piece.timbre, sample_rate_hz)
    tone: np.ndarray = table[phase] * rise * fall * np.exp(-time_s / np.float32(decay_s))
    return tone


def _wavetable(pitch_hz: float, rolloff: float, timbre: Sequence[float], sample_rate_hz: int) -> np.ndarray:
    """One period with amplitudes k^-rolloff, root mean square 0.7, shape (2048,)."""
    n_harmonics = max(1, min(64, int(0.45 * sample_rate_hz / pitch_hz)))
    k = np.arange(1, n_harmonics + 1)
    amplitudes = k**-rolloff
    n_coloured = min(len(timbre), n_harmonics)
    amplitudes[:n_coloured] *= np.asarray(timbre)[:n_coloured]
    spectrum = np.zeros(_TABLE_LENGTH // 2 + 1, dtype=np.complex128)
    spectrum[1 : n_harmonics + 1] = -1j * amplitudes
    table = np.fft.irfft(spectrum)
    return (table * (0.7 / np.sqrt(np.mean(table**2)))).astype(np.float32)


def _percussion(rng: np.random.Generator, voice: str, cues: Cues, sample_rate_hz: int) -> np.ndarray:
    """One stroke, amplitude about 1: the kick a falling sine, snare and hat noise that brightness opens."""
    length_s = {"kick": 0.25, "snare": 0.15, "hat": 0.05}[voice]
    time_s = np.arange(round(length_s * sample_rate_hz)) / sample_rate_hz
    if voice == "kick":
        falling_hz = 50.0 + 80.0 * np.exp(-time_s / 0.03)
        return np.asarray(np.sin(2 * np.pi * np.cumsum(falling_hz) / sample_rate_hz) * np.exp(-time_s / 0.08))
    noise = rng.standard_normal(len(time_s))
    cutoff_hz = 1500.0 * 2 ** (0.75 * cues.brightness) * (2.0 if voice == "hat" else 1.0)
    spectrum = np.fft.rfft(noise)
    spectrum /= 1.0 + (np.fft.rfftfreq(len(noise), 1 / sample_rate_hz) / cutoff_hz) ** 2
    return np.asarray(np.fft.irfft(spectrum, len(noise)) * np.exp(-time_s / (length_s / 4)))


def _mastered(mix: np.ndarray, loudness_dbfs: float, sample_rate_hz: int) -> np.ndarray:
    """The mix at its root mean square, with 10 ms of fading at both ends and the rare high peak bent under 1."""
    n_fade = min(len(mix) // 2, sample_rate_hz // 100)
    if n_fade:
        ramp = np.linspace(0.0, 1.0, n_fade, dtype=np.float32)
        mix[:n_fade] *= ramp
        mix[-n_fade:] *= ramp[::-1]
    rms = np.sqrt(np.mean(mix**2, dtype=np.float64))
    mix *= np.float32(10 ** (loudness_dbfs / 20) / max(float(rms), 1e-9))
    over = np.abs(mix) > 0.8
    mix[over] = np.sign(mix[over]) * (0.8 + 0.19 * np.tanh((np.abs(mix[over]) - 0.8) / 0.19))
    return mix
