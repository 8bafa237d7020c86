"""What a job would take, told beforehand: INPUT is listed, and replicas rehearse on some of it.

listing, or the plan of an unfinished run   → Stock: what is owed, and some stretches of it
Stock, on real replicas                     → Rehearsal: what these took, and how they failed
Rehearsal                                   → Pace → schemas.estimate.Estimate

Nothing is claimed, and nothing is written but OUTPUT/estimates/<fingerprint>.json.
"""

from workers.estimate.job import Estimated, estimate_job
from workers.estimate.rehearsal import Rehearsal
from workers.estimate.stock import Stock

__all__ = ["Estimated", "Rehearsal", "Stock", "estimate_job"]
