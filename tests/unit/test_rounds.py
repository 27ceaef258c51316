"""What the in-process runner needs of Beam's insides, so that a new Beam cannot take it away."""

from __future__ import annotations

from apache_beam.runners.worker import statesampler
from apache_beam.utils.counters import CounterFactory

from pipelines import rounds


def test_beams_state_sampler_takes_the_short_period():
    rounds._shorten_sampling()
    sampler = statesampler.StateSampler("test", CounterFactory())
    assert sampler.sampling_period_ms == rounds.SAMPLING_PERIOD_MS
