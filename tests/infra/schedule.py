"""EventBridge Scheduler's rate expressions. No linter checks them; a wrong one is found only by deploying."""

import re

SECONDS = {"minute": 60, "hour": 3600, "day": 86400}


def seconds_between_runs(expression: str) -> int:
    """The period of `rate(5 minutes)`, in seconds; ValueError with the reason if the service would refuse it."""
    match = re.fullmatch(r"rate\((.*)\)", expression)
    if match is None:
        raise ValueError(f"{expression!r} is not of the form rate(value unit)")
    parts = match.group(1).split(" ")
    if len(parts) != 2:
        raise ValueError(f"{expression!r} is not a value and a unit with one space between them")
    value, unit = parts
    if re.fullmatch(r"[1-9][0-9]*", value, re.ASCII) is None:
        raise ValueError(f"{value!r} is not a positive whole number")
    name = unit.removesuffix("s")
    if name not in SECONDS:
        raise ValueError(f"{unit!r} is not minutes, hours or days")
    if (value == "1") == unit.endswith("s"):
        raise ValueError(f"{expression!r}: the unit is singular after 1 and plural after any other number")
    return int(value) * SECONDS[name]
