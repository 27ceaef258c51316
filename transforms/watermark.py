"""The watermark of a source whose elements say nothing of time: the wall clock."""

from __future__ import annotations

from typing import Any

from apache_beam.coders.coders import TimestampCoder
from apache_beam.io.watermark_estimators import WalltimeWatermarkEstimator
from apache_beam.transforms.core import WatermarkEstimatorProvider
from apache_beam.utils.timestamp import Timestamp


class WallTime(WatermarkEstimatorProvider):
    """Beam's own, with a coder for its state: what is in flight outlives a release of Beam, and
    Beam's own is pickled."""

    def initial_estimator_state(self, element: Any, restriction: Any) -> Timestamp:
        return Timestamp(0)

    def create_watermark_estimator(self, estimator_state: Timestamp) -> WalltimeWatermarkEstimator:
        return WalltimeWatermarkEstimator(estimator_state)

    def estimator_state_coder(self) -> TimestampCoder:
        return TimestampCoder()
