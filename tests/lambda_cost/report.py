"""The figures as a table, beside their goals."""

FIGURES = {
    "start_ms": "start to first poll, ms",
    "init_cpu_ms": "CPU of that, ms",
    "first_ms": "first invocation, ms",
    "first_cpu_ms": "CPU of that, ms",
    "warm_ms": "warm invocation, ms",
    "warm_cpu_ms": "CPU of that, ms",
    "database_ms": "its statements from a plain client, ms",
    "over_database_ms": "warm invocation over these, ms",
    "select_1_ms": "select 1, ms",
    "peak_mb": "largest resident memory, MB",
    "resident_mb": "resident memory at the end, MB",
    "size_mb": "program (stripped) or bundle, MB",
}


def goals(ours, node):
    """Each with whether it decides the exit status: ratios do, and memory, which does not wander with the machine's load."""
    times = {key: node[key] / ours[key] for key in ("init_cpu_ms", "first_cpu_ms", "warm_cpu_ms", "peak_mb")}
    rows = [
        ("init CPU, times less than Node.js", times["init_cpu_ms"], "≥", 15, True),
        ("first invocation's CPU, times less", times["first_cpu_ms"], "≥", 6, True),
        ("warm invocation's CPU, times less", times["warm_cpu_ms"], None, None, False),
        ("memory, times less", times["peak_mb"], None, None, False),
        ("largest resident memory, MB", ours["peak_mb"], "≤", 16, True),
        ("init CPU, ms", ours["init_cpu_ms"], "≤", 8, False),
        ("first invocation's CPU, ms", ours["first_cpu_ms"], "≤", 8, False),
        ("warm invocation over its database time, ms", ours["over_database_ms"], "≤", 2, False),
    ]
    result = []
    for name, value, sign, limit, judged in rows:
        met = None if limit is None else (value >= limit if sign == "≥" else value <= limit)
        result.append(
            {"name": name, "value": value, "goal": limit and f"{sign} {limit}", "judged": judged, "met": met}
        )
    return result


def table(figures, judged):
    names = list(figures)
    rows = [["", *names]]
    for key, words in FIGURES.items():
        rows.append([words, *(f"{figures[n][key]:.2f}" if key in figures[n] else "-" for n in names)])
    return "\n\n".join(["\n".join(lines(rows)), "\n".join(lines(goal_rows(judged)))])


def goal_rows(judged):
    yield ["health-check", "figure", "goal", ""]
    for goal in judged:
        word = {None: "", True: "met", False: "missed"}[goal["met"]]
        if goal["met"] is not None and not goal["judged"]:
            word += " (not judged)"
        yield [goal["name"], f"{goal['value']:.2f}", goal["goal"] or "", word]


def lines(rows):
    rows = [list(row) for row in rows]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        first = row[0].ljust(widths[0])
        yield "  ".join([first, *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:]))]).rstrip()
