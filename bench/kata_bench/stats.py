"""The arithmetic of the benchmark: medians, percentiles, noise, and rows that know their floor and their goal. Runs nothing."""

import math
import operator
import statistics

NOISY_FLOOR = 0.10  # a floor whose middle 80 % are further apart than this part of its median makes a ratio noisy

_COMPARISONS = {"<=": operator.le, ">=": operator.ge, "==": operator.eq}


def median(values):
    return statistics.median(values)


def percentile(values, percent):
    """Nearest rank: the smallest sample that `percent` % of all samples do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(percent / 100 * len(ordered)) - 1)]


def variation(values):
    """Distance between the 10th and the 90th percentile, as a part of the median; 0 for fewer than two samples."""
    middle = median(values)
    return (percentile(values, 90) - percentile(values, 10)) / middle if len(values) > 1 and middle else 0.0


def slope(points):
    """Least squares slope of (x, y) points: what one more step costs. 0 if all x are equal."""
    mean_x = statistics.fmean(x for x, _ in points)
    mean_y = statistics.fmean(y for _, y in points)
    square = sum((x - mean_x) ** 2 for x, _ in points)
    return sum((x - mean_x) * (y - mean_y) for x, y in points) / square if square else 0.0


class Row:
    """One line of the table. `goal` is (comparison, number) or None; `flags` say why a value is not to be trusted."""

    def __init__(self, name, value, unit, n=1, p99=None, floor=None, goal=None, noise=None, flags=(), note=""):
        self.name, self.value, self.unit, self.n = name, value, unit, n
        self.p99, self.floor, self.goal, self.noise = p99, floor, goal, noise
        self.flags, self.note = list(flags), note

    @property
    def below_floor(self):
        return "below floor" in self.flags

    @property
    def missed(self):
        """Whether there is a goal and it is not met; a skipped row has no value and misses nothing."""
        return self.goal is not None and self.value is not None and not _COMPARISONS[self.goal[0]](self.value, self.goal[1])

    def to_json(self):
        fields = {"name": self.name, "value": self.value, "unit": self.unit, "n": self.n, "p99": self.p99, "floor": self.floor}
        for name in ("goal", "noise", "flags", "note"):
            if getattr(self, name):
                fields[name] = getattr(self, name)
        return fields

    @classmethod
    def from_json(cls, fields):
        goal = fields.get("goal")
        return cls(fields["name"], fields["value"], fields["unit"], fields.get("n", 1), fields.get("p99"), fields.get("floor"),
                   tuple(goal) if goal else None, fields.get("noise"), fields.get("flags", ()), fields.get("note", ""))


def skipped(name, reason, unit=""):
    return Row(name, None, unit, 0, note=f"skipped: {reason}")


def plain(name, samples, unit, goal=None, note="", floor=None):
    """A row of samples without a floor of its own, or with one in the same unit that lies below it."""
    flags = []
    if floor is not None:
        flags = _time_flags(samples, floor)
    return Row(name, median(samples), unit, len(samples), percentile(samples, 99), median(floor) if floor else None, goal,
               variation(samples), flags, note)


def _time_flags(own, floor):
    flags = ["below floor"] if median(own) < median(floor) else []
    if variation(floor) > NOISY_FLOOR:
        flags.append(f"noisy floor {variation(floor) * 100:.0f} %")
    return flags


def time_ratio(name, own, floor, goal=None, note=""):
    """Own time ÷ floor. `own` and `floor` are seconds of the same, interleaved rounds; p99 is that of the rounds' ratios."""
    ratios = [a / b for a, b in zip(own, floor)]
    return Row(name, median(own) / median(floor), "ratio", len(own), percentile(ratios, 99), median(floor), goal, variation(own),
               _time_flags(own, floor), note)


def ratio(name, own, peer, goal=None, note=""):
    """Own ÷ peer, of the same, interleaved rounds; neither is the other's floor. The floor column shows the peer."""
    ratios = [a / b for a, b in zip(own, peer)]
    return Row(name, median(own) / median(peer), "ratio", len(own), percentile(ratios, 99), median(peer), goal, variation(own), note=note)


def over_peer(name, own, floor, peer, goal=None, note=""):
    """(own − floor) ÷ peer, all in seconds of the same, interleaved rounds: what is ours, measured in runs of the peer."""
    rounds = [(a - b) / c for a, b, c in zip(own, floor, peer)]
    flags = _time_flags(own, floor)
    if variation(peer) > NOISY_FLOOR:
        flags.append(f"noisy peer {variation(peer) * 100:.0f} %")
    return Row(name, (median(own) - median(floor)) / median(peer), "ratio", len(own), percentile(rounds, 99), median(floor), goal,
               variation(own), flags, note)


def rate_ratio(name, own, raw, amount, goal=None, note="", *, may_exceed=False):
    """Throughput ÷ raw throughput, from the seconds that the same `amount` of MiB took; p99 is the slowest rounds' ratio.

    The floor is given in MiB/s: what cannot be exceeded, unless the raw stream has a program of its own in its way (`may_exceed`).
    """
    ratios = [b / a for a, b in zip(own, raw)]
    flags = [flag for flag in _time_flags(own, raw) if not may_exceed or flag != "below floor"]
    return Row(name, median(raw) / median(own), "ratio", len(own), percentile(ratios, 1), amount / median(raw), goal, variation(own),
               flags, note)


def failures(rows):
    """Why a run counts as failed: its rows that are below their own floor or miss their goal, one sentence each."""
    found = []
    for row in rows:
        if row.below_floor:
            found.append(f"{row.name} is below its own floor: the measurement is wrong")
        elif row.missed:
            found.append(f"{row.name} is {row.value:.4g}, must be {row.goal[0]} {row.goal[1]}")
    return found
