"""Every benchmark that `python -m benchmarks.results` runs, in the order of the page."""

from __future__ import annotations

from benchmarks.catalogue_clusters import CLUSTERS
from benchmarks.catalogue_live import LIVE
from benchmarks.catalogue_model import MODEL
from benchmarks.catalogue_services import SERVICES
from benchmarks.catalogue_sharing import SHARING
from benchmarks.catalogue_training import TRAINING
from benchmarks.catalogue_tuners import TUNERS
from benchmarks.catalogue_tuning import TUNING

BENCHMARKS = (
    *MODEL,
    *CLUSTERS,
    *TUNERS,
    *SHARING,
    *TUNING,
    *LIVE,
    *SERVICES,
    *TRAINING,
)
